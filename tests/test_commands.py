"""Every command of the docs is run as it is typed: each shell block through a real bash, line by line, on tiny data.

`arn` and `make` are the real ones, found through a folder on the PATH whose `arn` adds to a training or a bench what
makes it small. What stands for a reader's own things (RUN, DATA, PATH ...) is made beforehand under just these names.
A block after `<!-- parsed only: WHY -->` is left to tests/test_docs.py, which reads every command.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from arn.data.scenes import draw_scene

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"(?:<!-- parsed only: (?P<why>.+?) -->\n)?^```sh\n(?P<block>.*?)^```", re.MULTILINE | re.DOTALL)
EVERY_PUSH = ("README", "predict", "video")  # the others, a quarter of an hour, nightly
NOT_HERE = {"make test": "it is what runs this"}

TRAINING = (
    "network.input_size=64 data.sizes=null data.cache=64 data.train_limit=8 data.test_limit=2 data.val=2 "
    "data.batch_size=4 data.workers=0 pretrained=false start_from=null trainer.max_epochs=1 panels=1"
)
SMALLER = {
    "train": TRAINING,
    "sweep": f"{TRAINING} seed=0",
    "bench": "resamples=50 timing=0 coverage=intersect workers=1",
    "table1": "resamples=50 timing=0 coverage=intersect workers=1",
    "report": "resamples=50",
}
WRAPPER = """#!{bash}
declare -A smaller=({table})
words=("$@")
for word in "$@"; do case "$word" in --*|list|fetch|verify|audit|scan|cache) exec {python} -m arn "$@";; esac; done
[ $# -gt 1 ] || [ "$1" != sweep ] || exec {python} -m arn sweep
exec {python} -m arn "$@" ${{smaller[$1]}}
"""


def blocks():
    for page in PAGES:
        for number, found in enumerate(FENCE.finditer(page.read_text()), 1):
            if found["why"] is None:
                lines = found["block"].replace("\\\n", " ").splitlines()
                commands = [line for line in lines if line.strip() and not line.startswith("#")]
                often = page.stem in EVERY_PUSH
                marks = [] if often else [pytest.mark.nightly]
                yield pytest.param(commands, id=f"{page.relative_to(ROOT)}-{number}", marks=marks)


BLOCKS = list(blocks())


@pytest.fixture(scope="module")
def place(tmp_path_factory, trained):
    """A folder with what the docs name, and the environment of a shell in it."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("DATA/DUTS-TR", "DATA/ECSSD", "DATA/SOD", "PATH"):
        for number in range(6):
            picture, mask = draw_scene(len(name), number, (80, 96))
            for kind, image, suffix in (("images", picture[..., ::-1], "jpg"), ("masks", mask, "png")):
                (folder / name / kind).mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(folder / name / kind / f"{number:02d}.{suffix}"), image)
    for name in ("ECSSD", "SOD"):
        shutil.copytree(folder / "DATA" / name / "masks", folder / "maps" / name / "DSS")
    shutil.copytree(folder / "PATH/images", folder / "holiday")
    for name in ("dog.jpg", "a.jpg", "b (1).png"):
        shutil.copy(folder / "PATH/images/00.jpg", folder / name)
    shutil.copytree(trained, folder / "RUN")
    clip = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, (96, 80))
    for number in range(4):
        clip.write(cv2.imread(str(folder / f"PATH/images/{number:02d}.jpg")))
    clip.release()
    # What `make` starts is looked for beside the Python that it is given.
    own = folder / "bin"
    own.mkdir()
    (own / "python").symlink_to(sys.executable)
    table = " ".join(f"[{verb}]={shlex.quote(added)}" for verb, added in SMALLER.items())
    (own / "arn").write_text(WRAPPER.format(bash=shutil.which("bash"), python=shlex.quote(sys.executable), table=table))
    make = f'exec {shutil.which("make")} -f {ROOT}/Makefile PYTHON={own}/python "$@"'
    (own / "make").write_text(f"#!{shutil.which('bash')}\n{make}\n")
    for script in ("arn", "make"):
        (own / script).chmod(0o755)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "HYDRA_", "PYTEST_"))},
        "PATH": f"{own}:{os.environ['PATH']}",
        "ARN_DATA_DIR": str(folder / "DATA"),
        "OMP_NUM_THREADS": "1",
    }
    return folder, environment


def test_most_blocks_are_run():
    assert sum(len(block.values[0]) for block in BLOCKS) > 20


@pytest.mark.parametrize("commands", BLOCKS)
def test_it_runs_as_typed(commands, place):
    folder, environment = place
    for command in commands:
        if any(command.startswith(what) for what in NOT_HERE):
            continue
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert "Traceback" not in done.stderr, command
