"""What loggers are told: W&B and MLflow through stand-ins, as starting the real ones takes longer than all of this."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from arn import loggers
from arn.errors import ArnError
from arn.loggers import CsvFile, Place, RunLogger, ShownImage, TensorBoard, Wandb, open_loggers
from arn.runs import Run

WANDB = {"_target_": "pytorch_lightning.loggers.WandbLogger", "project": "arn"}
PICTURE = np.full((4, 6, 3), 9, np.uint8)
TALL = np.full((8, 3, 3), 9, np.uint8)
MAP = np.array([[0, 127, 128, 255, 0, 0]] * 4, np.uint8)


class Lightning:
    """A logger of Lightning's that remembers."""

    def __init__(self):
        self.metrics, self.hyperparams, self.status = [], None, None
        self.experiment = SimpleNamespace(id="abc", summary={}, artifacts=[], logged=[], defined={})
        self.experiment.log_artifact = self.experiment.artifacts.append
        self.experiment.log = self.experiment.logged.append
        self.experiment.define_metric = lambda key, **options: self.experiment.defined.update({key: options})

    def log_metrics(self, metrics, step=None):
        self.metrics.append((metrics, step))

    def log_hyperparams(self, params):
        self.hyperparams = params

    def watch(self, network, **options):
        self.watched = (network, options)

    def finalize(self, status):
        self.status = status


class Artifact:
    def __init__(self, name, type, metadata):
        self.name, self.type, self.files, self.metadata = name, type, [], metadata

    def add_file(self, path):
        self.files.append(path)


@pytest.fixture
def wandb(monkeypatch):
    fake = SimpleNamespace(
        Image=lambda data, **options: SimpleNamespace(data=data, **options),
        Table=lambda columns, data: SimpleNamespace(columns=columns, data=data),
        Artifact=Artifact,
        finished=[],
    )
    fake.finish = lambda exit_code: fake.finished.append(exit_code)
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
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda name: name)
    return made


def test_each_logger_of_a_training_has_its_adapter(tmp_path, built, wandb):
    chosen = {"csv": {"_target_": "x.CSVLogger"}, "wandb": WANDB, "other": {"_target_": "x.CometLogger"}}
    with open_loggers(chosen, Place(tmp_path, "train")) as found:
        assert [type(one) for one in found] == [CsvFile, Wandb, RunLogger]
        assert [place for place, _ in built] == ["logger.csv", "logger.wandb", "logger.other"]
        assert wandb.finished == []
    assert wandb.finished == [0]
    assert found[2].lightning.status == "success"
    with open_loggers(None, Place(tmp_path, "train")) as found:
        assert found == []
    with open_loggers({"csv": chosen["csv"]}, Place(tmp_path, "bench")) as found:
        assert found == []  # a bench writes its own


def test_a_logger_whose_library_is_missing_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda name: None)
    chosen = {"tensorboard": {"_target_": "pytorch_lightning.loggers.TensorBoardLogger"}}
    told = r"logger=tensorboard needs tensorboard: pip install 'arn-saliency\[tensorboard\]'"
    with pytest.raises(ArnError, match=told), open_loggers(chosen, Place(tmp_path, "train")):
        pass


def test_a_wandb_run_is_told_its_sweep_and_who_it_was_and_ends_with_the_training(tmp_path, built, wandb):
    place = Place(tmp_path, "train", "ab")
    for _ in range(2):  # the second time as a resumed run does
        with pytest.raises(KeyError), open_loggers({"csv": {"_target_": "x.CSVLogger"}, "wandb": WANDB}, place):
            raise KeyError
    assert wandb.finished == [1, 1]  # a training that fails ends its W&B run as failed
    (_, csv_extra), (_, first), _, (_, again) = built
    assert csv_extra == {}
    assert first == again
    identity = Run(tmp_path).logger_id("wandb").read_text()
    assert first == {"id": identity, "resume": "allow", "group": "ab", "job_type": "train"}


def test_only_the_first_rank_names_the_wandb_run(tmp_path, monkeypatch):
    monkeypatch.setattr(loggers, "first_rank", lambda: False)
    assert Wandb.arguments(Place(tmp_path, "train"), WANDB)["id"] is None
    assert not Run(tmp_path).logger_id("wandb").exists()


def test_wandb_gets_scalars_images_with_masks_summary_and_artifact(tmp_path, wandb):
    lightning = Lightning()
    logger = Wandb(lightning, Place(tmp_path, "train"))
    logger.config({"seed": 0})
    logger.goals({"val/mae": "min"})
    logger.watch("network", "gradients", 10)
    logger.scalars({"loss": 1.0}, 3)
    shown = [ShownImage(TALL), ShownImage(PICTURE, "0001", {"truth": MAP, "prediction": 255 - MAP})]
    logger.images("validation", shown, 4)
    logger.summary({"test/scenes/mae": 0.1})
    logger.artifact("net", "model", [tmp_path / "best.ckpt"], {"best": {"step": 4}})
    assert lightning.hyperparams == {"seed": 0}
    assert lightning.experiment.defined == {"val/mae": {"summary": "min", "step_metric": "trainer/global_step"}}
    assert lightning.watched == ("network", {"log": "gradients", "log_freq": 10, "log_graph": False})
    (scalars, first), (images, second) = lightning.metrics
    assert (scalars, first, second) == ({"loss": 1.0}, 3, 4)
    plain, over = images["validation"]
    assert plain.masks is None
    assert plain.data.shape == over.data.shape == (8, 6, 3)  # W&B shows all in the size of the first
    assert over.caption == "0001"
    assert set(over.masks) == {"truth", "prediction"}
    data = over.masks["truth"]["mask_data"]
    assert data.shape == (8, 6)
    assert data[0].tolist() == [0, 0, 1, 1, 0, 0]
    assert not data[4:].any()
    assert lightning.experiment.summary == {"test/scenes/mae": 0.1}
    (artifact,) = lightning.experiment.artifacts
    assert (artifact.name, artifact.type) == ("net-abc", "model")
    assert artifact.files == [str(tmp_path / "best.ckpt")]
    assert artifact.metadata == {"best": {"step": 4}}


def test_what_a_bench_tells_wandb_is_one_step(tmp_path, wandb):
    logger = Wandb(Lightning(), Place(tmp_path, "bench"))
    logger.table("scores", ["a", "b"], [[1, 2]])
    logger.images("figures/pr", [ShownImage(tmp_path / "pr.png")])
    assert logger.lightning.experiment.logged == []
    logger.close()
    (logged,) = logger.lightning.experiment.logged
    assert (logged["scores"].columns, logged["scores"].data) == (["a", "b"], [[1, 2]])
    assert logged["figures/pr"].data == str(tmp_path / "pr.png")


def test_any_other_logger_gets_scalars_and_says_once_what_it_leaves_out(tmp_path, capsys):
    place = Place(tmp_path, "train")
    for adapter, lines in ((RunLogger(Lightning(), place), 1), (CsvFile(Lightning(), place), 0)):
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
        assert all("Lightning takes scalars and the config only" in line for line in told)
        assert len(adapter.lightning.metrics) == 1
        adapter.watch("network", "all", 10)
        assert ("draws no histograms" in capsys.readouterr().out) == bool(lines)


def test_event_files_hold_pictures_by_step_tables_and_the_summary(tmp_path):
    from pytorch_lightning.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    lightning = TensorBoardLogger(str(tmp_path), name="", version="tensorboard", default_hp_metric=False)
    logger = TensorBoard(lightning, Place(tmp_path, "train"))
    logger.config({"seed": 3, "network": {"rcl": {"steps": 5}}})
    for step in (4, 8):
        logger.scalars({"val/mae": 0.5 / step}, step)
        logger.images("validation", [ShownImage(PICTURE, "0001", {"truth": MAP}), ShownImage(TALL, "0002")], step)
    logger.table("scores", ["method", "mae"], [["net", 0.1], ["other", None]])
    logger.summary({"test/scenes/mae": 0.1, "config_hash": "abc"})
    logger.close()
    held = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"images": 0, "tensors": 0})
    held.Reload()
    assert [event.step for event in held.Images("validation/0001")] == [4, 8]
    assert (held.Images("validation/0001")[0].width, held.Images("validation/0002")[0].height) == (12, 8)
    assert [event.step for event in held.Scalars("val/mae")] == [4, 8]
    assert held.Scalars("test/scenes/mae")[0].value == pytest.approx(0.1)
    assert b"| net | 0.1 |\n| other |  |" in held.Tensors("scores/text_summary")[0].tensor_proto.string_val[0]
    written = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").glob("events*"))
    assert b"network/rcl/steps" in written
    assert b"config_hash" in written


def test_wandb_is_not_imported_with_the_loggers():
    code = "import sys, arn.loggers, arn.report.dashboard; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
