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
    ("name", "chosen", "count"),
    [("evolve", "test", 2), ("protocol", "bias", 1), ("protocol", "not bias", 2), ("storage", "test", 1)],
)
def test_runs_agree_to_the_last_bit(launch, name, chosen, count):
    file = Path(__file__).with_name(f"test_{name}.py")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "bits", "-k", chosen, "-p", "no:cacheprovider", file]
    program = launch(command, **USUAL)
    assert program.end(LIMIT) == 0 and f"{count} passed" in program.text, program.text
