"""Different programs of one run agree to the last bit, with the compiler as users have it.

The settings with which tests compile quickly round differently in different programs.
"""

import sys
from pathlib import Path

import pytest

USUAL = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
LIMIT = 300.0


@pytest.mark.timeout(LIMIT + 20)
@pytest.mark.parametrize(
    ("names", "count"),
    [(("evolve", "protocol"), 5), pytest.param(("storage",), 1, marks=pytest.mark.slow)],
    ids=["runs", "stores"],
)
def test_runs_agree_to_the_last_bit(launch, names, count):
    files = [Path(__file__).with_name(f"test_{name}.py") for name in names]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "bits", "-p", "no:cacheprovider", *files]
    program = launch(command, **USUAL)
    assert program.end(LIMIT) == 0 and f"{count} passed" in program.text, program.text
