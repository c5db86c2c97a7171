"""`arn train` through the command line: what it writes, what its switches do, and that it goes on exactly."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import arn
from arn.cli import main
from arn.data.scenes import scene
from arn.runs import Run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def train(run, *overrides):
    return main(["train", *overrides, f"hydra.run.dir={run}"])


def start(arguments, **options):
    """`arn` in a process of its own."""
    environment = os.environ | {"ARN_ALLOCATOR": "default"}
    command = [sys.executable, "-m", "arn.cli", *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, **options
    )


def checkpoint(run, name="last"):
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_same(one, other):
    """Weights and optimiser state, bit for bit."""
    assert one["global_step"] == other["global_step"]
    assert one["state_dict"].keys() == other["state_dict"].keys()
    for name, tensor in one["state_dict"].items():
        if name.startswith("network."):
            assert torch.equal(tensor, other["state_dict"][name]), name
    for mine, theirs in zip(one["optimizer_states"], other["optimizer_states"], strict=True):
        for key, state in mine["state"].items():
            for name, value in state.items():
                assert torch.equal(torch.as_tensor(value), torch.as_tensor(theirs["state"][key][name])), (key, name)


def test_writes_what_the_contract_names(trained):
    for name in ("config.yaml", "metrics.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (trained / name).is_file(), name
    assert (trained / "figures" / "scenes.png").is_file()
    assert (trained / "figures" / "training.svg").is_file()
    assert (trained / "csv" / "metrics.csv").is_file()
    record = json.loads((trained / "metrics.json").read_text())
    assert record["name"] == "arn_lite"
    assert record["test"]["scenes"].keys() == {"max_f", "mae"}
    assert record["baselines"]["scenes"].keys() == {"blank", "centre blob"}
    assert record["pictures_trained_on"] == 16
    assert record["backbone_weights"] == "random"
    assert len(record["weights_sha256_by_rank"]) == 1


def test_config_yaml_is_resolved(trained):
    text = (trained / "config.yaml").read_text()
    assert "${" not in text
    assert "input_size: 64" in text


def test_checkpoints_hold_plain_data_only(trained):
    for name in ("best", "last"):
        config = checkpoint(trained, name)["arn_config"]
        assert json.loads(json.dumps(config)) == config


def test_loaded_network_predicts_at_native_size(trained):
    picture, _ = scene("test", 0)
    saliency = arn.load(trained).predict(picture)
    assert saliency.shape == picture.shape[:2]
    assert saliency.dtype.name == "float32"
    assert 0 <= saliency.min() <= saliency.max() <= 1


def test_same_seed_same_weights_whatever_the_workers(tmp_path, trained, tiny_overrides):
    assert train(tmp_path / "again", *tiny_overrides, "data.workers=2") == 0
    assert_same(checkpoint(trained), checkpoint(tmp_path / "again"))


def test_other_seed_other_weights(tmp_path, trained, tiny_overrides):
    assert train(tmp_path / "other", *tiny_overrides, "seed=1") == 0
    name = "network.predict.weight"
    assert not torch.equal(checkpoint(trained)["state_dict"][name], checkpoint(tmp_path / "other")["state_dict"][name])


def test_two_epochs_equal_one_and_a_resumed_one(tmp_path, tiny_overrides):
    augmented = [*tiny_overrides, "data.augment={flip:0.5,crop:0.8,colour:0.5}"]
    assert train(tmp_path / "whole", *augmented, "trainer.max_epochs=2") == 0
    assert train(tmp_path / "parts", *augmented) == 0
    assert main(["train", f"resume={tmp_path / 'parts'}", "trainer.max_epochs=2"]) == 0
    assert_same(checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts"))
    whole, parts = (json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("whole", "parts"))
    assert parts["test"] == whole["test"]
    assert parts["pictures_trained_on"] == whole["pictures_trained_on"] == 32


def test_pictures_of_the_whole_run_count_though_an_early_checkpoint_was_best(tmp_path, tiny_overrides):
    assert train(tmp_path / "run", *tiny_overrides, "trainer.max_epochs=2", "checkpoint.monitor=epoch") == 0
    record = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert record["best"]["step"] == 4  # the lowest epoch number is the first one
    assert record["pictures_trained_on"] == 32


@pytest.mark.parametrize("network", ["dhsnet", "nldf", "srm", "amulet", "ucf"])
def test_a_rival_trains_resumes_and_predicts(tmp_path, tiny_overrides, network):
    """Like ARN: two epochs are one and a resumed one, bit for bit, and the run makes maps at native size."""
    least = ["data.train_limit=4", "data.batch_size=2", "data.val=1", "data.test_limit=1", "panels=0"]
    options = [*tiny_overrides, *least, f"network={network}", "optimizer=sgd", "optimizer.lr=1e-4"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    try:
        assert train(whole, *options, "trainer.max_epochs=2") == 0
        assert train(parts, *options) == 0
        assert main(["train", f"resume={parts}", "trainer.max_epochs=2"]) == 0
        assert_same(checkpoint(whole), checkpoint(parts))
        record = json.loads((parts / "metrics.json").read_text())
        assert record["name"] == network
        assert record["pictures_trained_on"] == 8
        picture, _ = scene("test", 0)
        saliency = arn.load(parts).predict(picture)
        assert saliency.shape == picture.shape[:2]
        assert 0 <= saliency.min() <= saliency.max() <= 1
    finally:  # a gigabyte of checkpoints
        shutil.rmtree(whole, ignore_errors=True)
        shutil.rmtree(parts, ignore_errors=True)


def test_a_network_that_learns_without_gradients(tmp_path, tiny_overrides, monkeypatch, capsys):
    """It learns from every training picture once, is recorded and loaded like others, and resumed it only scores."""
    run = tmp_path / "run"
    options = [*tiny_overrides, "network=ksr_approx", "data.train_limit=24"]
    assert train(run, *options) == 0
    record = json.loads((run / "metrics.json").read_text())
    assert record["name"] == "ksr_approx"
    assert record["pictures_trained_on"] == 24
    assert record["best"]["value"] == record["val"]["mae"]
    weights = checkpoint(run)["state_dict"]
    assert weights["network.ranker"].any()
    picture, _ = scene("test", 0)
    saliency = arn.load(run).predict(picture)
    assert saliency.shape == picture.shape[:2]
    assert saliency.std() > 0

    def never(*_args, **_options):
        raise AssertionError("it learnt again")

    monkeypatch.setattr("arn.networks.KSRApprox.learn", never)
    assert main(["train", f"resume={run}"]) == 0
    again = json.loads((run / "metrics.json").read_text())
    for key in ("val", "test", "pictures_trained_on", "weights_sha256_by_rank", "best"):
        assert again[key] == record[key], key

    capsys.readouterr()
    assert main(["export", f"checkpoint={run}", f"output={tmp_path / 'export'}"]) == 2
    assert "no ONNX form" in capsys.readouterr().err
    assert not (tmp_path / "export").exists()


def test_two_ranks_learn_without_gradients_what_one_does(tmp_path, tiny_overrides):
    """To the last bit, with as many threads: how a product is shared out among threads decides its rounding."""
    records = []
    for run, trainer in (("one", "auto"), ("two", "ddp_cpu")):
        options = [*tiny_overrides, "network=ksr_approx", "data.train_limit=24", f"trainer={trainer}"]
        command = [sys.executable, "-m", "arn.cli", "train", *options, f"hydra.run.dir={tmp_path}/{run}"]
        done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        records.append(json.loads((tmp_path / run / "metrics.json").read_text()))
    one, two = records
    assert two["weights_sha256_by_rank"] == 2 * one["weights_sha256_by_rank"]
    assert two["pictures_trained_on"] == one["pictures_trained_on"]


def test_a_network_that_finds_nothing_to_learn_says_so(capsys, tmp_path, tiny_overrides):
    run = tmp_path / "run"
    options = [*tiny_overrides, "network=ksr_approx", "network.proposals.smallest=0.69", f"hydra.run.dir={run}"]
    assert "nothing to learn" in refused(capsys, run, "train", *options)


def test_start_from_loads_weights_of_another_run(tmp_path, trained, tiny_overrides):
    """A step that is no step leaves the weights that it started from, and the record says where they are from."""
    run, still = (
        tmp_path / "run",
        ["trainer.max_steps=1", "optimizer=sgd", "optimizer.lr=0", "freeze_backbone_norm=true"],
    )
    assert train(run, *tiny_overrides, *still, f"start_from={trained}", "seed=5") == 0
    origin = checkpoint(trained, "best")["state_dict"]
    parameters = [name for name, _ in arn.load(trained).network.named_parameters()]
    found = checkpoint(run)["state_dict"]
    assert parameters
    assert all(torch.equal(found[f"network.{name}"], origin[f"network.{name}"]) for name in parameters)
    record = json.loads((run / "metrics.json").read_text())
    assert record["backbone_weights"] == str(trained)
    # Started from random numbers, they are others.
    assert train(tmp_path / "other", *tiny_overrides, *still, "seed=5") == 0
    other = checkpoint(tmp_path / "other")["state_dict"]
    assert not all(torch.equal(other[f"network.{name}"], origin[f"network.{name}"]) for name in parameters)


def test_start_from_goes_on_with_its_own_weights_when_resumed(tmp_path, trained, tiny_overrides):
    options = [*tiny_overrides, f"start_from={trained}"]
    assert train(tmp_path / "whole", *options, "trainer.max_epochs=2") == 0
    assert train(tmp_path / "parts", *options) == 0
    assert main(["train", f"resume={tmp_path / 'parts'}", "trainer.max_epochs=2"]) == 0
    assert_same(checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts"))


def test_killed_in_the_middle_of_an_epoch_it_ends_the_same(tmp_path, tiny_overrides):
    options = [*tiny_overrides, "data.train_limit=40", "trainer.max_epochs=2", "checkpoint.minutes=0", "panels=0"]
    options.append("data.workers=1")
    assert train(tmp_path / "whole", *options) == 0
    process = start(["train", *options, f"hydra.run.dir={tmp_path / 'killed'}"])
    last = tmp_path / "killed" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if last.is_file() and torch.load(last, weights_only=True)["global_step"] >= 3:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    step = torch.load(last, weights_only=True)["global_step"]
    assert 3 <= step < 20, "the kill came after the training"
    assert main(["train", f"resume={tmp_path / 'killed'}"]) == 0
    assert_same(checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "killed"))


@pytest.mark.parametrize(
    ("override", "name", "key", "value"),
    [
        ("network.rcl.enabled=false", "arn_lite_no_rcl", ("rcl", "enabled"), False),
        ("network.attention.enabled=false", "arn_lite_no_attention", ("attention", "enabled"), False),
        ("network.rcl.steps=5", "arn_lite_T5", ("rcl", "steps"), 5),
        ("network.rcl.steps=0", "arn_lite_T0", ("rcl", "steps"), 0),
    ],
)
def test_ablations_train_and_show(tmp_path, tiny_overrides, override, name, key, value):
    run = tmp_path / "run"
    assert train(run, *tiny_overrides, override, "data.train_limit=4", "panels=0") == 0
    record = json.loads((run / "metrics.json").read_text())
    assert record["name"] == name
    assert record["network"][key[0]][key[1]] == value


def test_the_papers_network_trains(tmp_path, tiny_overrides):
    run = tmp_path / "run"
    paper = ["network=arn", "loss=bce", "optimizer=adam", "data.train_limit=4", "data.test_limit=1", "data.val=1"]
    assert train(run, *tiny_overrides, *paper) == 0
    assert json.loads((run / "metrics.json").read_text())["parameters"] == 20_338_741


def test_paper_split_and_named_test_sets(tmp_path, tiny_dataset, tiny_overrides):
    run = tmp_path / "run"
    folder = ["experiment=folder", f"data.train=[{tiny_dataset}]", f"data.test=[{tiny_dataset}]", "data.val=2"]
    options = [o for o in tiny_overrides if not o.startswith("data.val=")]
    assert train(run, *folder, *options, "data.train_limit=4") == 0
    record = json.loads((run / "metrics.json").read_text())
    assert list(record["test"]) == [str(tiny_dataset)]
    splits = json.loads((run / "splits.json").read_text())
    assert record["split_sha256"] in json.dumps(splits)


def test_ddp_inside_a_multirun_trains_each_job_on_all_of_its_ranks(tmp_path, plain_overrides):
    """Lightning starts a rank with the command line of its process: of a multirun, that was the whole sweep again."""
    sweep = tmp_path / "sweep"
    assert main(["train", "-m", "seed=1,2", "trainer=ddp_cpu", *plain_overrides, f"hydra.sweep.dir={sweep}"]) == 0
    records = [json.loads(path.read_text()) for path in sorted(sweep.glob("*/metrics.json"))]
    assert [one["seed"] for one in records] == [1, 2]
    for one in records:
        assert one["config_hash_by_rank"] == [one["config_hash"]] * 2
        assert len(one["weights_sha256_by_rank"]) == 2
        assert len(set(one["weights_sha256_by_rank"])) == 1
        assert one["pictures_trained_on"] == 16
    assert records[0]["config_hash"] != records[1]["config_hash"]
    assert records[0]["weights_sha256_by_rank"] != records[1]["weights_sha256_by_rank"]


def test_a_job_that_composes_another_config_than_its_sweep_stops(tmp_path, plain_overrides, monkeypatch, capsys):
    monkeypatch.setenv("ARN_CONFIG_HASH", "0" * 12)
    assert train(tmp_path / "run", *plain_overrides) == 2
    assert "the sweep composed config 000000000000" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_one_folder_is_trained_in_by_one_process(tmp_path, plain_overrides, capsys):
    run = tmp_path / "run"
    run.mkdir()
    holds = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holds, str(run / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        assert train(run, *plain_overrides) == 2
        other.communicate(b"\n")
    assert "another process is training in this folder" in capsys.readouterr().err
    assert [path.name for path in run.iterdir()] == [".lock"]


# ------------------------------------------------------------------------------------- callbacks and trainer options


def curve(run, column="train/loss_step"):
    with (run / "csv" / "metrics.csv").open() as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


def test_every_test_picture_is_kept(trained):
    rows = Run(trained).rows()["scenes"]
    record = json.loads((trained / "metrics.json").read_text())
    assert len(rows) == 3
    for key, value in record["test"]["scenes"].items():
        assert float(rows.compute()[key]) == pytest.approx(value, abs=1e-7)  # which Lightning holds in single precision
    assert len((trained / "per_image.csv").read_text().splitlines()) == 4


def test_validations_are_logged_and_a_resumed_run_continues_them(tmp_path, plain_overrides):
    run = Run(tmp_path / "run")
    assert train(run, *plain_overrides) == 0
    (first,) = run.validations()
    run.add_validation(first | {"step": 7})  # as a kill between a validation and its checkpoint leaves it
    assert main(["train", f"resume={run}", "trainer.max_epochs=2"]) == 0
    assert [line["step"] for line in run.validations()] == [4, 8]


def test_early_stopping_stops(tmp_path, plain_overrides):
    run = tmp_path / "run"
    still = [
        "optimizer.lr=0",
        "trainer.max_epochs=6",
        "callbacks=[early_stopping]",
        "callbacks.early_stopping.patience=2",
    ]
    assert train(run, *plain_overrides, *still) == 0
    assert json.loads((run / "metrics.json").read_text())["pictures_trained_on"] == 3 * 16


def test_two_halves_accumulated_are_one_batch(tmp_path, plain_overrides):
    exact = [*plain_overrides, "trainer.precision=64-true", "data.train_limit=8"]
    assert train(tmp_path / "whole", *exact) == 0
    assert train(tmp_path / "halves", *exact, "data.batch_size=2", "trainer.accumulate_grad_batches=2") == 0
    whole, halves = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "halves")
    assert whole["global_step"] == halves["global_step"] == 2
    for name, tensor in whole["state_dict"].items():
        torch.testing.assert_close(tensor, halves["state_dict"][name], rtol=0, atol=1e-9)


def test_gradients_are_clipped(tmp_path, plain_overrides):
    step = [*plain_overrides, "optimizer=sgd", "optimizer.momentum=0", "optimizer.weight_decay=0"]
    step += ["data.train_limit=4", "trainer.gradient_clip_val=0.01"]
    assert train(tmp_path / "still", *step, "optimizer.lr=0") == 0
    assert train(tmp_path / "moved", *step, "optimizer.lr=1") == 0
    still, moved = (checkpoint(tmp_path / run)["state_dict"] for run in ("still", "moved"))
    change = sum(float((moved[name] - tensor).double().square().sum()) for name, tensor in still.items()) ** 0.5
    assert change == pytest.approx(0.01, rel=1e-3)


def test_debug_fast_and_what_is_measured_beside(tmp_path, plain_overrides):
    run = tmp_path / "run"
    measured = ["callbacks=[learning_rate,monitor]", "profiler=simple", "trainer.log_every_n_steps=1"]
    options = [one for one in plain_overrides if one != "trainer.max_epochs=1"]
    assert train(run, *options, "debug=fast", *measured, "data.eval_batch_size=1") == 0
    record = json.loads((run / "metrics.json").read_text())
    assert record["pictures_trained_on"] == 2 * 2 * 4
    assert len(curve(run)) == 4
    assert len(curve(run, "lr-AdamW")) == 4
    assert min(curve(run, "memory/peak_mb")) > 50
    assert min(curve(run, "speed/pictures_per_second")) > 0
    assert "run_training_batch" in (run / "fit-profile.txt").read_text()


def test_debug_overfit_learns_its_batch_by_heart(tmp_path, plain_overrides):
    run = tmp_path / "run"
    own = ("data.train_limit", "data.val", "data.test_limit", "trainer.max_epochs", "schedule")
    options = [one for one in plain_overrides if not one.startswith(own)]
    assert train(run, *options, "debug=overfit", "trainer.max_epochs=60", "optimizer.lr=3e-3") == 0
    losses = curve(run, "train/loss_epoch")
    assert len(losses) == 60
    assert losses[-1] < 0.5 * losses[0]


# ------------------------------------------------------------------------------- bad input: one message, nothing left


def refused(capsys, run, *arguments):
    """Exit status 2 and one line that starts with the verb; no run folder left. Returns the line."""
    capsys.readouterr()
    assert main([*arguments]) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("arn train: error:")
    assert "Traceback" not in message
    assert not run.exists(), "something half-written was left"
    return message


@pytest.fixture
def bad(tmp_path, tiny_dataset, tiny_overrides, capsys):
    """A training on a data set that a test spoils first."""

    def attempt(*more):
        run = tmp_path / "run"
        options = [o for o in tiny_overrides if not o.startswith(("data.val", "data.train_limit"))]
        arguments = ["experiment=folder", f"data.train=[{tiny_dataset}]", "data.val=1", *options, *more]
        return refused(capsys, run, "train", *arguments, f"hydra.run.dir={run}")

    return attempt


def test_missing_mask(bad, tiny_dataset):
    (tiny_dataset / "masks" / "0002.png").unlink()
    assert "0002" in bad()


def test_no_pictures(bad, tiny_dataset):
    for path in (tiny_dataset / "images").iterdir():
        path.unlink()
    assert str(tiny_dataset) in bad()


def test_misspelt_override(bad):
    assert "max_epoch" in bad("trainer.max_epoch=3")


def test_misspelt_group(bad):
    assert "arn_lighter" in bad("network=arn_lighter")


def test_wrong_value_names_its_key(bad):
    assert "network" in bad("network.backbone=vgg99")


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("optimizer.lr=abc", "optimizer.lr=abc: must be a number"),
        ("optimizer.lr=-1", "optimizer.lr=-1: Invalid learning rate"),
        ("data.batch_size=0", "data.batch_size=0: must be at least 1"),
        ("data.batch_size=abc", "data.batch_size=abc: must be a whole number"),
        ("data.val=-1", "data.val=-1: must be at least 0"),
        ("data.train_limit=0", "data.train_limit=0: must be at least 1"),
        ("data.workers=x", "data.workers=x: must be a whole number or auto"),
        ("backbone_lr=-1", "backbone_lr=-1"),
        ("network.rcl.steps=abc", "network.rcl.steps=abc: must be a whole number"),
        ("loss.bce=abc", "loss.bce=abc: must be a number"),
        ("schedule.warmup=abc", "schedule.warmup"),
        ("trainer.max_epochs=abc", "trainer.max_epochs=abc: must be a whole number"),
        ("trainer.limit_val_batches=0", "trainer.limit_val_batches=0"),
        ("trainer.foo=1", "trainer.foo"),
        ("+trainer.foo=1", "trainer.foo: there is no such key"),
        ("+size=320", "size: there is no such key"),
        ("seed=x", "seed"),
        ("data.batch_size=1 network.input_size=32", "data.batch_size: of one picture at 32 px BatchNorm"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_its_key(bad, override, named):
    message = bad(*override.split())
    assert named in message
    assert "\n" not in message


def test_batch_larger_than_the_set(bad):
    assert "batch" in bad("data.batch_size=64")


def test_unknown_data_set(capsys, tmp_path, tiny_overrides):
    message = refused(
        capsys,
        tmp_path / "run",
        "train",
        *tiny_overrides,
        "data.test=[NO_SUCH_SET]",
        f"hydra.run.dir={tmp_path / 'run'}",
    )
    assert "NO_SUCH_SET" in message


def test_output_folder_that_cannot_be_made(capsys, tmp_path, tiny_overrides):
    (tmp_path / "file").write_text("not a folder")
    run = tmp_path / "file" / "run"
    assert main(["train", *tiny_overrides, f"hydra.run.dir={run}"]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.parametrize("where", ["images", "masks"])
def test_truncated_file_found_while_training(capsys, tmp_path, tiny_dataset, tiny_overrides, where):
    victim = tiny_dataset / where / "0003.png"
    victim.write_bytes(victim.read_bytes()[:60])
    options = [o for o in tiny_overrides if not o.startswith(("data.val", "data.train_limit", "data.batch"))]
    folder = ["experiment=folder", f"data.train=[{tiny_dataset}]", "data.val=1", "data.batch_size=5"]
    for workers in (0, 1):
        run = tmp_path / f"run{workers}"
        assert main(["train", *folder, *options, f"data.workers={workers}", f"hydra.run.dir={run}"]) == 2
        message = capsys.readouterr().err
        assert "0003.png" in message
        assert "Traceback" not in message
        assert not run.exists()


def test_mask_of_another_size(capsys, tmp_path, tiny_dataset, tiny_overrides):
    from PIL import Image

    Image.new("L", (10, 10)).save(tiny_dataset / "masks" / "0001.png")
    options = [o for o in tiny_overrides if not o.startswith(("data.val", "data.train_limit", "data.batch"))]
    folder = ["experiment=folder", f"data.train=[{tiny_dataset}]", "data.val=1", "data.batch_size=5"]
    assert main(["train", *folder, *options, f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    assert "0001.png" in capsys.readouterr().err


def test_start_from_of_another_architecture(capsys, tmp_path, trained, tiny_overrides):
    run = tmp_path / "run"
    options = [*tiny_overrides, f"start_from={trained}", "network.rcl.steps=0", "network.rcl.enabled=false"]
    message = refused(capsys, run, "train", *options, f"hydra.run.dir={run}")
    assert f"start_from={trained}" in message
    assert "another architecture" in message


def test_start_from_of_nothing(capsys, tmp_path, tiny_overrides):
    run, nowhere = tmp_path / "run", tmp_path / "nowhere.ckpt"
    assert "nowhere.ckpt" in refused(
        capsys, run, "train", *tiny_overrides, f"start_from={nowhere}", f"hydra.run.dir={run}"
    )


def test_resume_of_nothing(capsys, tmp_path):
    assert main(["train", f"resume={tmp_path}"]) == 2
    assert "config.yaml" in capsys.readouterr().err


def test_resume_of_a_truncated_checkpoint(capsys, tmp_path, trained):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    assert main(["train", f"resume={run}", "trainer.max_epochs=2"]) == 2
    assert "last.ckpt" in capsys.readouterr().err


def test_resume_refuses_another_network(capsys, trained):
    assert main(["train", f"resume={trained}", "network=arn"]) == 2
    assert "network" in capsys.readouterr().err


def test_full_disk(tmp_path, tiny_overrides):
    """Files are limited to 2 MB, a checkpoint has 50: one message, and no checkpoint that only looks like one."""
    limited = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))\n"
        "from arn.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    run = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", limited, "train", *tiny_overrides, f"hydra.run.dir={run}"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "arn train: error:" in done.stderr
    assert "Traceback" not in done.stderr
    assert str(run) in done.stderr
    assert list(run.rglob("*.ckpt")) == []


def test_wandb_offline_writes_and_is_imported_only_then(tmp_path, tiny_overrides, read_wandb):
    code = (
        "import sys; from arn.cli import main; status = main(sys.argv[1:]); "
        "print('WANDB', 'wandb' in sys.modules); sys.exit(status)"
    )
    quick = [*tiny_overrides, "data.train_limit=4"]
    for logger, imported in (("csv", "False"), ("wandb", "True")):
        run = tmp_path / logger
        command = [
            sys.executable,
            "-c",
            code,
            "train",
            *quick,
            f"logger={logger}",
            "sweep=of_tests",
            f"hydra.run.dir={run}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"WANDB {imported}" in done.stdout
    (journal,) = (tmp_path / "wandb" / "wandb").glob("offline-run-*/*.wandb")
    held = read_wandb(journal)
    assert held.run.run_id == (tmp_path / "wandb" / "wandb.id").read_text()
    assert (held.run.run_group, held.run.job_type) == ("of_tests", "train")
    assert held.run.display_name == "arn_lite seed=0"
    assert "data.train_limit=4" in held.run.tags
    assert held.config["network"]["backbone"] == "timm:tf_efficientnet_lite0"
    assert held.exit_code == 0
    assert held.metrics["val/mae"].summary.min
    assert held.metrics["val/max_f"].summary.max
    assert [artifact.type for artifact in held.artifacts] == ["model"]
    assert {"test/scenes/max_f", "parameters", "config_hash"} <= held.summary.keys()
    steps = [line["trainer/global_step"] for line in held.history if "validation/all_masks" in line]
    assert steps == [1]  # one epoch of one batch
    (shown,) = [line["validation/all_masks"] for line in held.history if "validation/all_masks" in line]
    assert [set(masks) for masks in shown] == [{"truth", "prediction"}] * 2
    files = {
        path.relative_to(journal.parent / "files").as_posix() for path in (journal.parent / "files").rglob("*.png")
    }
    assert {name for line in held.history for name in line.get("validation/filenames", ())} <= files


def test_wandb_with_augmentation_in_loader_workers(tmp_path, tiny_overrides):
    """W&B hooks imports, and its hook refuses to run in a forked worker: nothing may be imported there first."""
    augmented = ["data.workers=2", "data.augment.crop=0.75", "data.augment.colour=0.5"]
    run = ["logger=wandb", f"hydra.run.dir={tmp_path / 'run'}"]
    done = subprocess.run(
        [sys.executable, "-m", "arn.cli", "train", *tiny_overrides, *augmented, *run],
        env={**os.environ, "WANDB_MODE": "offline"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_baselines_are_of_the_pictures_that_the_network_is_scored_on(tmp_path, tiny_overrides):
    quick = [*tiny_overrides, "data.train_limit=4", "panels=0"]
    fewer = ["data.test_limit=6", "data.eval_batch_size=2", "trainer.limit_test_batches=1"]
    assert train(tmp_path / "limited", *quick, *fewer) == 0
    assert train(tmp_path / "two", *quick, "data.test_limit=2") == 0
    assert train(tmp_path / "six", *quick, "data.test_limit=6") == 0
    limited, two, six = ((Run(tmp_path / name).record() or {})["baselines"] for name in ("limited", "two", "six"))
    assert limited == two != six


def test_a_share_of_too_few_batches_is_told(tmp_path, tiny_overrides, capsys):
    assert train(tmp_path / "run", *tiny_overrides, "data.train_limit=8", "trainer.limit_train_batches=0.2") == 2
    assert "trainer.limit_train_batches=0.2 of 2 batches is none" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
