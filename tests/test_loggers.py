"""What loggers are told: W&B through stand-ins, as starting the real one takes longer than all of this."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from arn import loggers
from arn.errors import ArnError
from arn.loggers import CsvFile, ShownImage, TrainingLogger, WandbTraining, result_logger, training_loggers
from arn.runs import Run

WANDB = {"_target_": "pytorch_lightning.loggers.WandbLogger", "project": "arn"}
PICTURE = np.zeros((4, 6, 3), np.uint8)
MASK = np.zeros((4, 6), np.bool_)


class Lightning:
    """A logger of Lightning's that remembers."""

    def __init__(self):
        self.metrics, self.hyperparams = [], None
        self.experiment = SimpleNamespace(id="abc", summary={}, artifacts=[])
        self.experiment.log_artifact = self.experiment.artifacts.append

    def log_metrics(self, metrics, step=None):
        self.metrics.append((metrics, step))

    def log_hyperparams(self, params):
        self.hyperparams = params


class Artifact:
    def __init__(self, name, type):
        self.name, self.type, self.files, self.metadata = name, type, [], {}

    def add_file(self, path):
        self.files.append(path)


@pytest.fixture
def wandb(monkeypatch):
    fake = SimpleNamespace(
        Image=lambda data, **options: SimpleNamespace(data=data, **options), Artifact=Artifact, finished=0
    )
    fake.finish = lambda: setattr(fake, "finished", fake.finished + 1)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


@pytest.fixture
def built(monkeypatch):
    """Every logger that is built, as (place, what it is built with beside its config)."""
    made = []

    def instantiate(config, place, **extra):
        made.append((place, extra))
        return Lightning()

    monkeypatch.setattr(loggers, "instantiate", instantiate)
    return made


def test_each_logger_of_a_training_has_its_adapter(tmp_path, built, wandb):
    chosen = {"csv": {"_target_": "x.CSVLogger"}, "wandb": WANDB, "other": {"_target_": "x.TensorBoardLogger"}}
    with training_loggers(chosen, Run(tmp_path)) as found:
        assert [type(one) for one in found] == [CsvFile, WandbTraining, TrainingLogger]
        assert [place for place, _ in built] == ["logger.csv", "logger.wandb", "logger.other"]
        assert wandb.finished == 0
    assert wandb.finished == 1
    with training_loggers(None, Run(tmp_path)) as found:
        assert found == []


def test_a_wandb_run_is_told_its_sweep_and_who_it_was_and_ends_with_the_training(tmp_path, built, wandb):
    run = Run(tmp_path)
    for _ in range(2):  # the second time as a resumed run does
        with pytest.raises(KeyError), training_loggers({"csv": {"_target_": "x.CSVLogger"}, "wandb": WANDB}, run, "ab"):
            raise KeyError
    assert wandb.finished == 2  # a training that fails ends its W&B run as well
    (_, csv_extra), (_, first), _, (_, again) = built
    assert csv_extra == {}
    assert first == again
    assert first == {"id": run.wandb_id.read_text(), "resume": "allow", "group": "ab", "job_type": "train"}


def test_only_the_first_rank_names_the_wandb_run(tmp_path, monkeypatch):
    monkeypatch.setattr(loggers, "first_rank", lambda: False)
    assert WandbTraining.arguments(Run(tmp_path), None)["id"] is None
    assert not Run(tmp_path).wandb_id.exists()


def test_wandb_gets_scalars_images_with_masks_summary_and_artifact(tmp_path, wandb):
    lightning = Lightning()
    logger = WandbTraining(lightning)
    logger.config({"seed": 0})
    logger.scalars({"loss": 1.0}, 3)
    logger.images("validation", [ShownImage(PICTURE), ShownImage(PICTURE, "0001", {"mask": MASK, "map": ~MASK})], 4)
    logger.summary({"test/scenes/mae": 0.1})
    logger.artifact("net", "model", [tmp_path / "best.ckpt"], {"best": {"step": 4}})
    assert lightning.hyperparams == {"seed": 0}
    (scalars, first), (images, second) = lightning.metrics
    assert (scalars, first, second) == ({"loss": 1.0}, 3, 4)
    plain, shown = images["validation"]
    assert vars(plain).keys() == {"data"}
    assert shown.caption == "0001"
    assert set(shown.masks) == {"mask", "map"}
    assert shown.masks["map"]["mask_data"].dtype == np.uint8
    assert shown.masks["map"]["mask_data"].all()
    assert shown.masks["map"]["class_labels"][1] == "map"
    assert lightning.experiment.summary == {"test/scenes/mae": 0.1}
    (artifact,) = lightning.experiment.artifacts
    assert (artifact.name, artifact.type) == ("net-abc", "model")
    assert artifact.files == [str(tmp_path / "best.ckpt")]
    assert artifact.metadata == {"best": {"step": 4}}


def test_any_other_logger_gets_scalars_and_says_once_what_it_leaves_out(tmp_path, capsys):
    for adapter, lines in ((TrainingLogger(Lightning()), 1), (CsvFile(Lightning()), 0)):
        adapter.scalars({"loss": 1.0}, 3)
        assert adapter.lightning.metrics == [({"loss": 1.0}, 3)]
        assert capsys.readouterr().out == ""
        adapter.images("validation", [ShownImage(PICTURE)])
        adapter.artifact("net", "model", [tmp_path / "best.ckpt"])
        adapter.table("scores", ["a"], [[1]])
        adapter.curves("pr", "PR", {"net": ([0], [1])}, x="recall")
        adapter.summary({"mae": 0.1})
        told = capsys.readouterr().out.splitlines()
        assert len(told) == lines
        assert all("Lightning takes scalars only" in line for line in told)
        assert len(adapter.lightning.metrics) == 1


def test_a_logger_that_cannot_show_a_result_is_named(tmp_path):
    with pytest.raises(ArnError, match="CSVLogger cannot show a bench"):
        result_logger({"_target_": "x.CSVLogger"}, tmp_path, "bench", {})


def test_wandb_is_not_imported_with_the_loggers():
    code = "import sys, arn.loggers, arn.report.dashboard; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
