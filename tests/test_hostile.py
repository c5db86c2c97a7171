"""Files of a stranger's: whatever they name, nothing of it runs. Every payload here would leave a canary."""

import http.server
import io
import json
import os
import pickle
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from arn.cli import main
from arn.config.compose import run_hydra
from arn.config.instantiate import instantiate
from arn.config.schema import to_plain
from arn.config.targets import TARGETS
from arn.data.fetch import _unpack, fetch
from arn.errors import ArnError
from arn.inference.sources import download
from arn.inference.weights import CONFIG_KEY, load_network
from arn.runs import Run


class Canary:
    """As an object in a pickle: unpickled, it makes the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """The path that a payload would make; afterwards it must not be there."""
    path = tmp_path / "canary"
    monkeypatch.chdir(tmp_path)
    yield path
    assert not path.exists()


def payloads(canary):
    """Objects that run something when built, each by another road."""
    shell = ["touch", str(canary)]
    job = {"name": "a", "folder": "b", "hash": None, "command": [], "overrides": [], "program": shell}
    yield {"_target_": "os.mkdir", "path": str(canary)}
    yield {"_target_": "os.system", "command": f"touch {canary}"}
    yield {"_target_": "builtins.eval", "_args_": [f"__import__('os').mkdir({str(canary)!r})"]}
    yield {"_target_": "subprocess.Popen", "args": shell}
    yield {"_target_": "arn.multirun.launchers.Process", "args": shell}
    yield {"_target_": "arn.multirun.launchers.Remote", "job": {"_target_": "arn.multirun.jobs.Job", **job}}
    yield {"_target_": "arn.multirun.launchers.subprocess.run", "args": shell}
    yield {"_target_": "arn.files.write_atomically", "path": str(canary), "data": "x"}
    yield {"_target_": "arn.files.Path.touch", "_args_": [str(canary)]}
    yield {"_target_": "arn.networks.backbones.Path.mkdir", "_args_": [str(canary)]}
    yield {"_target_": "arn.networks.build_backbone", "name": "timm:hf-hub:nobody/nothing"}
    yield {"_target_": "arn.verbs.train.recipe", "config": {}}
    yield {"_target_": "arn.evaluation.cache.Cache", "folder": str(canary)}
    yield {"_target_": "torch.load", "f": str(canary), "weights_only": False}
    yield {"_target_": "torch.optim.Optimizer.load_state_dict", "_args_": [{}, {}]}
    yield {"_target_": "numpy.load", "file": str(canary), "allow_pickle": True}
    yield {"_target_": "pytorch_lightning.callbacks.LambdaCallback", "setup": {"_target_": "os.abort"}}
    yield {"_target_": "pytorch_lightning.callbacks.lambda_function.Callable"}
    yield {"_target_": "hydra.utils.call", "_args_": [{"_target_": "os.mkdir", "path": str(canary)}]}
    yield {"_target_": "functools.partial", "_args_": ["os.mkdir"]}


@pytest.mark.parametrize("group", sorted(TARGETS))
def test_no_group_builds_what_is_not_on_its_list(canary, group):
    for payload in payloads(canary):
        for given in (payload, {**payload, "_partial_": True}, {**payload, "_recursive_": False}):
            with pytest.raises(ArnError, match="not allowed"):
                instantiate(given, group)
    for other in TARGETS:
        if other != group:
            with pytest.raises(ArnError, match="not allowed"):
                instantiate({"_target_": TARGETS[other][0]}, group)


def test_no_argument_of_a_class_of_ours_is_an_object(canary):
    payload = {"_target_": "os.mkdir", "path": str(canary)}
    for group, names in TARGETS.items():
        for name in names:
            for argument in (
                "backbone",
                "rcl",
                "proposals",
                "lr",
                "save_dir",
                "monitor",
                "options",
                "train",
                "devices",
            ):
                for value in (payload, [payload], {"a": [{"b": payload}]}):
                    with pytest.raises(ArnError):
                        instantiate({"_target_": name, argument: value}, group)
    with pytest.raises(ArnError, match="not from a config"):
        instantiate({"_target_": "arn.networks.ARN", "_args_": [payload]}, "network")
    wandb = {"_target_": "pytorch_lightning.loggers.WandbLogger", "settings": {"base_url": "http://127.0.0.1"}}
    with pytest.raises(ArnError, match="not from a config"):  # would send the key of an account to that address
        instantiate(wandb, "logger.wandb")


@pytest.fixture(scope="module")
def plain_config(tiny_overrides):
    kept = []
    run_hydra("train", lambda config: kept.append(to_plain(config)), [*tiny_overrides, "hydra.run.dir=."])
    return kept[0]


def a_run(folder, config, state=None):
    """What a stranger's run may look like."""
    (folder / "checkpoints").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    for name in ("best", "last"):
        torch.save({CONFIG_KEY: config, "state_dict": {}, **(state or {})}, folder / "checkpoints" / f"{name}.ckpt")
    return Run(folder)


@pytest.mark.parametrize("place", ["callbacks.x", "logger.x", "network", "loss", "optimizer", "data", "profiler"])
def test_a_run_that_is_resumed_brings_no_code(canary, tmp_path, plain_config, place, capsys):
    for number, payload in enumerate(payloads(canary)):
        config = OmegaConf.create(plain_config)
        OmegaConf.update(config, place, payload, merge=False, force_add=True)
        run = a_run(tmp_path / f"run{number}", OmegaConf.to_container(config))
        if number < 2:
            assert main(["train", f"resume={run}"]) == 2
            assert f"{place}._target_" in capsys.readouterr().err
        if place == "network":
            with pytest.raises(ArnError, match="not allowed"):
                load_network(run.folder)


@pytest.mark.parametrize(
    ("hydra", "more", "told"),
    [
        ({"callbacks": {"x": {"_target_": "os.mkdir", "path": "CANARY"}}}, {}, "hydra.callbacks.x"),
        (
            {"callbacks": {"x": {"_target_": "numpy.load", "file": "evil.npy", "allow_pickle": True}}},
            {},
            "hydra.ca",
        ),
        ({"callbacks": {"x": {"_target_": "torch.load", "f": "evil.ckpt", "weights_only": False}}}, {}, "hydra.ca"),
        (
            {"callbacks": {"x": {"_target_": "arn.config.compose.SweepFolder", "a": {"_target_": "x"}}}},
            {},
            "hydra.ca",
        ),
        ({"launcher": {"_target_": "os.mkdir"}}, {}, "hydra/launcher"),
        ({"sweeper": {"_target_": "os.mkdir"}}, {}, "hydra/sweeper"),
        (
            {"job_logging": {"version": 1, "filters": {"a": {"()": "os.mkdir", "path": "CANARY"}}}},
            {},
            "hydra.job_logging",
        ),
        (
            {"hydra_logging": {"version": 1, "handlers": {"a": {"class": "mypkg.Handler"}}}},
            {},
            "hydra.hydra_logging",
        ),
        ({"hydra_logging": {"version": 1, "formatters": {"a": {"format": "ext://mypkg.x"}}}}, {}, "hydra_logging"),
        ({"job": {"env_set": {"PYTHONSTARTUP": "evil.py"}}}, {}, "hydra.job.env_set"),
        ({"sweeper": {"params": {"plugins": "[mypkg]"}}}, {}, "plugins"),
        ({"sweeper": {"params": {"+hydra.callbacks.x._target_": "os.getcwd,os.times"}}}, {}, "hydra.callbacks"),
        ({}, {"plugins": ["mypkg"]}, "plugins: a config file cannot"),
        ({}, {"tune": {"space": {"plugins": [["mypkg"], ["mypkg"]]}}}, "plugins"),
        ({}, {"launcher": {"options": {"slurm_setup": ["touch CANARY"]}}}, "launcher.options.slurm_setup"),
        ({}, {"launcher": {"options": {"slurm_partition": "a\ntouch CANARY"}}}, "launcher.options.slurm_partition"),
        ({}, {"launcher": {"_target_": "arn.multirun.launchers.Process", "args": ["touch", "CANARY"]}}, "launcher"),
        ({}, {"launcher": {"_target_": "os.mkdir", "path": "CANARY"}}, "launcher"),
    ],
)
def test_a_sweep_brings_no_code(canary, tmp_path, capsys, hydra, more, told):
    (tmp_path / "mypkg.py").write_text(f"import os\nos.mkdir({str(canary)!r})\n")
    np.save(tmp_path / "evil.npy", np.array([Canary(canary)], dtype=object), allow_pickle=True)
    torch.save(Canary(canary), tmp_path / "evil.ckpt")
    sweep = {"defaults": ["train", "_self_"], **more, "hydra": {"mode": "MULTIRUN", **hydra}}
    sweep["hydra"]["sweep"] = {"dir": str(tmp_path / "sweep")}
    (tmp_path / "evil.yaml").write_text(json.dumps(sweep).replace("CANARY", str(canary)))
    assert main(["sweep", "evil.yaml"]) == 2
    assert told in capsys.readouterr().err
    assert "mypkg" not in sys.modules
    assert not (tmp_path / "sweep").exists()


def test_a_folder_of_configs_brings_no_code(canary, tmp_path, capsys):
    """Given by --config-dir, where a file may stand in for one of ours, or beside a sweep."""
    (tmp_path / "mypkg").mkdir()
    (tmp_path / "mypkg" / "__init__.py").write_text(f"import os\nos.mkdir({str(canary)!r})\n")
    evil = {"callbacks": {"x": {"_target_": "os.mkdir", "path": str(canary)}}}
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "evil.yaml").write_text("# @package hydra\n" + json.dumps(evil))
    assert main(["train", "--config-dir", "configs", "+evil@_global_=evil", "--cfg", "hydra"]) == 2
    assert main(["train", "--config-dir", "configs", "+evil"]) == 2
    sweep = {"defaults": ["/train", "evil", "_self_"], "hydra": {"mode": "MULTIRUN"}}
    (tmp_path / "configs" / "sweep.yaml").write_text(json.dumps(sweep))
    assert main(["sweep", "configs/sweep.yaml"]) == 2
    assert "hydra.callbacks.x" in capsys.readouterr().err
    assert main(["train", "--experimental-rerun", "evil.pickle"]) == 2
    (tmp_path / "configs" / "train.yaml").write_text(json.dumps({"hydra": {"searchpath": ["pkg://mypkg"]}}))
    main(["train", "--config-dir", "configs", "--cfg", "hydra"])
    assert "mypkg" not in sys.modules


def test_pickles_in_checkpoints_arrays_and_caches_are_not_read(canary, tmp_path, plain_config):
    from arn.data.maps import read_head
    from arn.evaluation.cache import Cache
    from arn.files import digest
    from arn.inference.weights import read_checkpoint

    pickled = pickle.dumps(Canary(canary))
    run = a_run(tmp_path / "run", plain_config)
    for content in (Canary(canary), {CONFIG_KEY: plain_config, "state_dict": {}, "more": Canary(canary)}):
        torch.save(content, run.best)
        with pytest.raises(ArnError, match="more than plain data"):
            read_checkpoint(run.best)
    for name in (run.best, tmp_path / "model.safetensors"):
        name.write_bytes(pickled)
        (tmp_path / "config.json").write_text(json.dumps({"format": 1, "network": {"_target_": "arn.networks.ARN"}}))
        with pytest.raises(ArnError):
            load_network(name)
    evil = np.array([Canary(canary)], dtype=object)
    with run.rows_file.open("wb") as file:
        np.savez(file, datasets=evil)
    with pytest.raises(ArnError, match=r"per_image\.npz"):
        run.rows()
    np.save(tmp_path / "map.npy", evil, allow_pickle=True)
    assert read_head(tmp_path / "map.npy").size is None
    cache, key = Cache(tmp_path / "cache"), digest("key")
    cache.put(key, pickled)  # of whoever may write there: bytes, which nobody unpickles
    assert cache.get(key) == pickled
    with pytest.raises(ValueError, match=r"."):
        cache.kept(key, lambda: 1)


def test_an_export_that_links_elsewhere_is_of_no_use(canary, tmp_path):
    """External data of an ONNX file beyond its folder, which ONNX Runtime refuses."""
    onnx = pytest.importorskip("onnx")
    from arn.inference.onnx import OnnxPredictor

    (tmp_path / "secret").write_bytes(np.zeros(3 * 16 * 16, np.float32).tobytes())
    (tmp_path / "export").mkdir()
    kind, helper = onnx.TensorProto.FLOAT, onnx.helper
    secret = onnx.TensorProto(name="secret", data_type=kind, dims=[1, 3, 16, 16], data_location=1)
    for name, value in (("location", "../secret"), ("offset", "0"), ("length", str(4 * 3 * 16 * 16))):
        secret.external_data.add(key=name, value=value)
    nodes = [helper.make_node("Mul", ["pictures", "secret"], ["maps"])]
    sides = ["b", 3, 16, 16]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("pictures", kind, sides)],
        [helper.make_tensor_value_info("maps", kind, sides)],
        [secret],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (tmp_path / "export" / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ArnError, match="cannot be read"):
        OnnxPredictor(tmp_path / "export" / "model.onnx")


def hostile_archives():
    def archive(*members, **options):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as content:
            for name, data in members:
                content.writestr(name, data, **options)
        return file.getvalue()

    link = zipfile.ZipInfo("images/link.png")
    link.external_attr = 0o120777 << 16
    encrypted = bytearray(archive(("images/a.png", b"x")))
    for mark in (b"PK\1\2", b"PK\3\4"):
        encrypted[encrypted.index(mark) + (8 if mark == b"PK\1\2" else 6)] |= 1
    bomb = bytearray(archive(("images/a.png", b"x")))
    at = bomb.index(b"PK\1\2")
    bomb[at + 24 : at + 28] = (3 << 30).to_bytes(4, "little")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as content:
        content.addfile(tarfile.TarInfo("../../canary"), io.BytesIO(b""))
    yield "slip", archive(("../../../canary", b"x"), ("/canary", b"x"), ("a/../../canary", b"x"), ("..\\canary", b"x"))
    yield "link", archive((link, "/etc/passwd"), ("images/link.png/a", b"x"))
    yield "encrypted", bytes(encrypted)
    yield "bomb", bytes(bomb)
    yield "tar", tar.getvalue()
    yield "page", b"<!doctype html><script>alert(1)</script>"
    yield "name", archive(("images/" + "a" * 300 + ".png", b"x"))
    yield "empty", b""


@pytest.mark.parametrize(("kind", "data"), [pytest.param(*one, id=one[0]) for one in hostile_archives()])
def test_an_archive_writes_nowhere_else_and_is_not_kept(canary, tmp_path, kind, data):
    passing = tmp_path / "deep" / "passing"
    passing.mkdir(parents=True)
    (passing / "a.zip").write_bytes(data)
    try:
        _unpack(passing / "a.zip", passing / "SET", "http://x/a.zip")
    except ArnError as error:
        assert "http://x/a.zip" in str(error)  # noqa: PT017
        assert not (passing / "a.zip").exists()
    assert kind not in ("encrypted", "bomb", "tar", "page", "name", "empty") or not (passing / "SET").exists()
    everything = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert all(path.is_relative_to(passing) for path in everything)
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_a_server_leads_nowhere_but_to_the_web(canary, tmp_path):
    secret = tmp_path / "secret.zip"
    secret.write_bytes(b"secret")

    class Handler(http.server.BaseHTTPRequestHandler):
        target = ""

        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", self.target)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/a.zip"
    try:
        for Handler.target in (f"file://{secret}", f"FILE://{secret}", f"ftp://127.0.0.1{secret}", "data:,x"):
            for read in (lambda: fetch("ECSSD", [address], tmp_path / "root"), lambda: download(address)):
                with pytest.raises(ArnError, match=r"(?i)redirect"):
                    read()
    finally:
        server.shutdown()
        server.server_close()
    assert not [path for path in (tmp_path / "root").rglob("*.zip") if path.is_file()]
