"""Damaged files of every kind that is read: what comes back is what was asked for, or one error of ours."""

import contextlib
import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arn.config.compose import read_config
from arn.data.decoders import jpeg_warning
from arn.data.fetch import _unpack
from arn.data.images import picture_size, read_map, read_mask, read_photo, read_picture
from arn.data.maps import read_head
from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.files import digest
from arn.inference.onnx import OnnxPredictor
from arn.inference.render import read_note
from arn.inference.weights import load_network
from arn.metrics.functional import Rows
from arn.metrics.protocols import get_protocol
from arn.report.ablation import csv, latex, make_report, markdown, warnings
from arn.report.runs import read_runs, reference, variants
from arn.runs import Run

from .damage import damaged, examples

pytestmark = pytest.mark.filterwarnings("ignore")


def test_pictures(picture_seeds, tmp_path):
    path = tmp_path / "file.png"

    @examples(900)
    @given(damaged(picture_seeds), st.sampled_from([".png", ".tga"]))
    def check(data, suffix):
        place = path.with_suffix(suffix)
        place.write_bytes(data)
        for read, sides in ((read_picture, 3), (read_mask, 2), (read_map, 2)):
            try:
                array = read(place)
            except ArnError as error:
                assert str(place) in str(error)
                assert "\n" not in str(error)
            else:
                assert (array.ndim, array.dtype, array.size > 0) == (sides, np.uint8, True)
        for other in (
            read_photo,
            lambda place: read_picture(place, at_least=16),
            lambda place: jpeg_warning(place, data),
        ):
            with contextlib.suppress(ArnError):
                other(place)
        read_head(place)
        read_note(place)
        picture_size(data)

    check()


def test_weights(weights_seeds, tmp_path):
    @examples(150)
    @given(st.data())
    def check(data):
        for name, seed in weights_seeds.items():
            (tmp_path / name).write_bytes(seed)
        name = data.draw(st.sampled_from(sorted(weights_seeds)))
        (tmp_path / name).write_bytes(data.draw(damaged([weights_seeds[name]])))
        place = tmp_path / ("best.ckpt" if name == "best.ckpt" else "model.safetensors")
        try:
            network, config = load_network(place)
        except ArnError as error:
            assert str(tmp_path) in str(error)
        else:
            assert network.input_size == 32
            assert config["tta"] in ("flip", "none")

    check()


def test_onnx(onnx_seed, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_seed)
    assert OnnxPredictor(path).predict(np.zeros((9, 12, 3), np.uint8)).shape == (9, 12)

    @examples(200)
    @given(damaged([onnx_seed]))
    def check(data):
        path.write_bytes(data)
        try:
            OnnxPredictor(path).predict(np.zeros((9, 12, 3), np.uint8))
        except ArnError as error:
            assert str(path) in str(error)

    check()


def test_configs_and_values_in_them(weights_seeds, tmp_path):
    """Not bytes but values: of an export's config.json, any key with anything in its place."""
    config = json.loads(weights_seeds["config.json"])
    (tmp_path / "model.safetensors").write_bytes(weights_seeds["model.safetensors"])
    scalars = st.one_of(st.none(), st.booleans(), st.integers(-2, 3), st.just(10**12), st.floats(), st.text(max_size=5))
    anything = st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    )

    @examples(150)
    @given(st.sampled_from(sorted(config)), st.sampled_from([*sorted(config["network"]), None]), anything)
    def check(key, inner, value):
        changed = json.loads(json.dumps(config))
        if key == "network" and inner is not None:
            changed["network"][inner] = value
        else:
            changed[key] = value
        (tmp_path / "config.json").write_text(json.dumps(changed))
        try:
            load_network(tmp_path / "model.safetensors")
        except ArnError as error:
            assert str(tmp_path) in str(error)

    check()


@pytest.fixture(scope="module")
def a_sweep(tmp_path_factory):
    """Two finished runs as small as can be: config, record and rows."""
    folder = tmp_path_factory.mktemp("fuzz") / "sweep"
    rng = np.random.default_rng(0)
    protocol = get_protocol("arn2018")
    from arn.metrics.functional import score_row
    from arn.metrics.measures import check_measures

    measures = check_measures(["mae", "f"])
    for seed in (0, 1):
        run = Run(folder / f"net_seed{seed}")
        run.begin({"name": "net", "seed": seed, "network": {"_target_": "arn.networks.ARN", "strides": [4]}})
        table = [
            score_row(*(rng.integers(0, 2, (9, 12)).astype(np.uint8) * 255 for _ in "ab"), protocol, measures, str(i))
            for i in range(3)
        ]
        run.write_rows({"X": Rows(protocol, measures, ("0", "1", "2"), np.stack(table))})
        run.add_validation({"step": 4, "epoch": 0, "val/mae": 0.3})
        record = {
            "name": "net",
            "seed": seed,
            "test": {"X": {"mae": 0.3, "max_f": 0.6}},
            "parameters": 10,
            "protocol": "arn2018",
            "pictures_trained_on": 8,
            "training_seconds": 1.5,
            "seconds_per_map": 0.1,
            "baselines": {},
        }
        run.finish(record)
    return folder


def report(folder):
    runs, unfinished = read_runs(folder)
    compared = variants(runs)
    content = make_report(compared, reference(compared, None), resamples=0, confidence=0.95, seed=0)
    content["warnings"] = warnings(content, len(unfinished))
    return [markdown(content), latex(content), csv(content)]


def test_records(a_sweep, tmp_path):
    assert report(a_sweep)
    names = ("config.yaml", "metrics.json", "per_image.npz", "validation.jsonl")
    run = tmp_path / "sweep" / "net_seed0"

    @examples(200)
    @given(st.data())
    def check(data):
        shutil.rmtree(tmp_path / "sweep", ignore_errors=True)
        shutil.copytree(a_sweep, tmp_path / "sweep")
        file = run / data.draw(st.sampled_from(names))
        file.write_bytes(data.draw(damaged([file.read_bytes()])))
        for step in (lambda: report(tmp_path / "sweep"), Run(run).validations, Run(run).hashes):
            with contextlib.suppress(ArnError):
                step()

    check()


def test_cache(tmp_path):
    """An entry is what was put there or it is not there."""
    cache, key = Cache(tmp_path), digest("key")
    value = bytes(range(100))
    cache.put(key, value)
    (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    whole = file.read_bytes()

    @examples(300)
    @given(damaged([whole]))
    def check(data):
        file.write_bytes(data)
        assert Cache(tmp_path).get(key) in (None, value)

    check()


def test_archives(archive_seeds, tmp_path):
    @examples(250)
    @given(damaged(archive_seeds))
    def check(data):
        shutil.rmtree(tmp_path / "deep", ignore_errors=True)
        passing = tmp_path / "deep" / "passing"
        passing.mkdir(parents=True)
        archive = passing / "a.zip"
        archive.write_bytes(data)
        try:
            _unpack(archive, passing / "SET", "http://x/a.zip")
        except ArnError as error:
            assert "http://x/a.zip" in str(error)
            assert not archive.exists()
            assert not (passing / "SET").exists()
        assert {path.name for path in tmp_path.iterdir()} == {"deep"}
        assert {path.name for path in passing.iterdir()} <= {"a.zip", "SET"}

    check()


def test_yaml(tmp_path):
    text = b"defaults: [train, _self_]\na: &x {b: [1, 2, null], c: '${seed}'}\nd: *x\nhydra: {mode: MULTIRUN}\n"
    path = tmp_path / "a.yaml"

    @examples(300)
    @given(damaged([text]))
    def check(data):
        path.write_bytes(data)
        try:
            read_config(path)
        except ArnError as error:
            assert str(path) in str(error)

    check()
