"""Every recipe of conf/experiment with every logger, start method of loader processes and number of ranks.

Through the real command line, with two loader processes and two steps on tiny data: what these libraries do to each
other shows in a process of its own only. On every push each recipe meets all four loggers in one run, and the start
methods and ranks in turn, so that every pair of (recipe, logger), (logger, start method), (logger, ranks) and (start
method, ranks) is there. `-m nightly` runs every recipe with each logger alone, too.
"""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from arn.config import config_dir
from arn.data.scenes import draw_scene

pytestmark = pytest.mark.slow

RECIPES = sorted(path.stem for path in (config_dir() / "experiment").glob("*.yaml"))
LOGGERS = ("csv", "wandb", "tensorboard", "mlflow")
STARTS = ("fork", "spawn", "forkserver")
RANKS = (1, 2)
SETS = ("DUTS-TR", "MSRA10K", "MSRA-B", "DUT-OMRON", "PASCAL-S", "HKU-IS", "ECSSD")
TINY = [
    *("network.input_size=64", "pretrained=false", "start_from=null", "panels=1"),
    *("data.sizes=null", "data.cache=64", "data.train_limit=4", "data.test_limit=2", "data.val=2", "data.seed=0"),
    *("data.batch_size=2", "data.workers=2", "data.augment.crop=0.75", "data.augment.colour=0.5"),
    *(
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=1.0",
        "trainer.max_steps=2",
        "trainer.accumulate_grad_batches=1",
    ),
]
UNSPLIT = ["data.split=null", "data.test=[ECSSD]"]  # the paper's split wants thousands of pictures
SPECIAL = {"folder": ["data.train=[DUTS-TR]"], "paper2018": UNSPLIT, "dhsnet2017": UNSPLIT}
IN_TURN = [
    (recipe, start, ranks)
    for recipe, (start, ranks) in zip(RECIPES, itertools.cycle(itertools.product(STARTS, RANKS)), strict=False)
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Every data set that a recipe names, with eight drawn pictures each."""
    import cv2

    root = tmp_path_factory.mktemp("data")
    for name in SETS:
        for number in range(8):
            picture, mask = draw_scene(number, len(name), (72, 96))
            for kind, image, suffix in (("images", picture[..., ::-1], "jpg"), ("masks", mask, "png")):
                file = root / name / kind / f"{number}.{suffix}"
                file.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(file), image)
    return root


@pytest.fixture(scope="module")
def tracking(tmp_path_factory):
    """MLflow takes half a minute to make a database, and a moment to use one."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def train(folder, root, tracking, recipe, loggers, start, ranks):
    several = (
        ["trainer=ddp_cpu", "trainer.devices=2", "data.batch_size=4"] if ranks == 2 else ["trainer.accelerator=cpu"]
    )
    command = [
        *(sys.executable, "-m", "arn", "train", f"experiment={recipe}", f"logger=[{','.join(loggers)}]"),
        *(*several, *TINY, *SPECIAL.get(recipe, ()), f"data.start_method={start}", "hydra.run.dir=run"),
    ]
    if ranks == 2:
        command.remove("data.batch_size=2")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("SLURM_")},
        "ARN_DATA_DIR": str(root),
        "MLFLOW_TRACKING_URI": tracking,
        "WANDB_MODE": "offline",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, " ".join(command) + "\n" + done.stdout[-2000:] + done.stderr[-4000:]
    assert "Traceback" not in done.stderr
    run = Path(folder) / "run"
    assert (run / "metrics.json").is_file()
    shown = {
        "csv": list(run.glob("csv/metrics.csv")),
        "wandb": list(run.glob("wandb/offline-run-*/run-*.wandb")),
        "tensorboard": list(run.glob("tensorboard/events.*")),
        "mlflow": list(run.glob("mlflow.id")),
    }
    for logger in loggers:
        assert shown[logger], f"{logger} wrote nothing"


def test_what_runs_in_turn_covers_every_pair():
    assert {(start, ranks) for _, start, ranks in IN_TURN} == set(itertools.product(STARTS, RANKS))
    assert {recipe for recipe, _, _ in IN_TURN} == set(RECIPES)


SLOW = {"nldf2017", "paper2018", "srm2017", "ucf2017"}  # minutes on a busy machine: nightly


@pytest.mark.parametrize(
    ("recipe", "start", "ranks"),
    [pytest.param(*one, marks=[pytest.mark.nightly] if one[0] in SLOW else []) for one in IN_TURN],
)
def test_every_recipe_with_all_loggers(tmp_path, root, tracking, recipe, start, ranks):
    train(tmp_path, root, tracking, recipe, LOGGERS, start, ranks)


@pytest.mark.nightly
@pytest.mark.parametrize("logger", LOGGERS)
@pytest.mark.parametrize(("recipe", "start", "ranks"), IN_TURN)
def test_every_recipe_with_each_logger_alone(tmp_path, root, tracking, recipe, start, ranks, logger):
    train(tmp_path, root, tracking, recipe, dict.fromkeys(("csv", logger)), start, ranks)


def test_a_resumed_training_goes_on_as_the_same_run_of_wandb(tmp_path, tiny_overrides, read_wandb):
    def arn(*arguments):
        command = [sys.executable, "-m", "arn", "train", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
        assert done.returncode == 0, done.stderr[-4000:]

    arn(*tiny_overrides, "logger=wandb", "hydra.run.dir=run")
    arn("resume=run", "trainer.max_epochs=2")
    first, second = (read_wandb(path) for path in sorted(tmp_path.glob("run/wandb/offline-run-*/run-*.wandb")))
    assert first.run.run_id == second.run.run_id == (tmp_path / "run/wandb.id").read_text()
    steps = [[line["trainer/global_step"] for line in part.history if "val/mae" in line] for part in (first, second)]
    assert steps[0]
    assert steps[1]
    assert max(steps[0]) < min(steps[1])
