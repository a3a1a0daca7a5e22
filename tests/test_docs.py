"""The examples of the documentation do what the text beside them says."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "any-magnet.md"


@pytest.mark.slow
def test_the_examples_of_any_magnet_hold():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5 and sum(block.count("assert") for block in blocks) == 5
    names = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)
