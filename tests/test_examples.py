"""Every Python example of the docs is run as it stands, in a folder with the pictures that it names."""

import re
from pathlib import Path

import pytest
from PIL import Image

from arn.data.scenes import draw_scene

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in (ROOT / "README.md", ROOT / "docs/predict.md")
    for number, block in enumerate(BLOCK.findall(page.read_text()), 1)
    if "import arn\n" in block
]


def test_there_are_examples():
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_runs(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("dog.jpg", "a.jpg")):
        Image.fromarray(draw_scene(0, number, (60, 80))[0]).save(tmp_path / name)
    exec(compile(example, "example", "exec"), {"__name__": "example"})
