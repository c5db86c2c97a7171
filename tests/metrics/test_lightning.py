"""SaliencyMetrics in a LightningModule and a MetricCollection that know nothing else of this package."""

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from torchmetrics import MetricCollection

from arn.errors import ArnError
from arn.metrics import SaliencyMetrics

SCRIPT = Path(__file__).with_name("anyones_module.py")


def run(ranks, file):
    command = [sys.executable, str(SCRIPT), str(ranks), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=file.parent)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lightning")
    return {ranks: run(ranks, folder / f"{ranks}.json") for ranks in (1, 2)}


def test_what_lightning_logs_is_the_score_of_all_pictures(logged):
    spec = spec_from_file_location("anyones_module", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    import pytorch_lightning as pl

    pl.seed_everything(0, verbose=False)
    network = module.Anyones().net
    pictures, masks = module.data().tensors
    metric = SaliencyMetrics(measures=("mae", "f", "s", "e"))
    with torch.inference_mode():
        metric.update(network(pictures).sigmoid(), masks)
    expected = {name: float(value) for name, value in metric.compute().items()}
    before = logged[1]["before"]
    for key, name in (("mae", "mae"), ("max_f", "max_f"), ("val/s_measure", "s_measure"), ("all/max_e", "max_e")):
        assert before[key] == pytest.approx(expected[name], abs=1e-6), key


def test_two_ranks_log_what_one_does(logged):
    assert logged[1]["before"].keys() == logged[2]["before"].keys()
    for key, value in logged[1]["before"].items():
        assert logged[2]["before"][key] == pytest.approx(value, abs=1e-6), key


def test_steps_and_epochs_of_training_are_logged(logged):
    for ranks in (1, 2):
        assert {"train/mae", "train/mae_step", "train/mae_epoch"} & logged[ranks]["after"].keys()
        assert 0 < logged[ranks]["after"]["train/mae_epoch"] < 1


def test_compute_is_scalars_and_curves_are_apart():
    metric = SaliencyMetrics(measures=("mae", "f"))
    metric.update(torch.rand(2, 8, 8), torch.rand(2, 8, 8) > 0.5)
    scores = metric.compute()
    assert {"mae", "max_f", "pictures"} <= scores.keys()
    assert all(isinstance(value, torch.Tensor) and value.ndim == 0 for value in scores.values())
    curves = metric.curves()
    assert {"precision", "recall", "f_curve", "thresholds"} <= curves.keys()
    assert all(value.shape == (256,) for value in curves.values())
    assert float(scores["max_f"]) == curves["f_curve"].max()
    collection = MetricCollection([metric.clone()])
    collection.update(torch.rand(2, 8, 8), torch.rand(2, 8, 8) > 0.5)
    assert {"mae", "max_f"} <= collection.compute().keys()


def test_masks_of_every_kind_of_number_are_one():
    generator = torch.Generator().manual_seed(1)
    maps, mask = torch.rand((2, 9, 7), generator=generator), torch.rand((2, 9, 7), generator=generator) > 0.5
    results = []
    byte = mask.to(torch.uint8)
    kinds = [mask, byte, byte * 255, mask.long(), mask.int() * 255, mask.short(), mask.float(), mask.long().numpy()]
    for masks in [*kinds, list(mask.long())]:
        metric = SaliencyMetrics(measures=("mae", "f"))
        metric.update(maps, masks)
        results.append({name: float(value) for name, value in metric.compute().items()})
    assert all(result == results[0] for result in results)
    for wrong in (torch.full((2, 9, 7), 300), torch.full((2, 9, 7), -1)):
        with pytest.raises(ArnError, match="mask"):
            SaliencyMetrics().update(maps, wrong)


def test_plots_curves():
    metric = SaliencyMetrics(measures="f")
    metric.update(torch.rand(2, 8, 8), torch.rand(2, 8, 8) > 0.5)
    _, axes = metric.plot()
    (line,) = axes.lines
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("recall", "precision")
    assert list(line.get_ydata()) == list(metric.curves()["precision"])
    figure, axes = metric.plot([metric.curves(), metric.curves()], curve="f_curve")
    assert metric.plot(ax=axes, curve="f_curve")[0] is figure
    assert len(axes.lines) == 3
    with pytest.raises(ArnError, match="no curve"):
        metric.plot(curve="e_curve")


def test_one_score_is_a_metric():
    metric = SaliencyMetrics(measures="mae")
    metric.update(torch.zeros(1, 8, 8), torch.ones(1, 8, 8, dtype=torch.bool))
    assert float(metric["mae"].compute()) == 1
    metric.update(torch.ones(1, 8, 8), torch.ones(1, 8, 8, dtype=torch.bool))
    assert float(metric["mae"].compute()) == 0.5
    with pytest.raises(ArnError, match="no score 'f'"):
        metric["f"]
