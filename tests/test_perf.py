"""What `make perf` measures against: the literal program computes the same, and its memory is another matter."""

from __future__ import annotations

import copy
import importlib
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from arn.networks import ARN, SelfAttention, attention_blocks

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _suites_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def suite(name):
    return importlib.import_module(f"perf.{name}")


@pytest.fixture(scope="module")
def network():
    """Attention that matters, biases that are not zero. Random weights make logits of thousands, where float32 itself
    is worth nothing: they are brought to the size of trained ones."""
    torch.manual_seed(0)
    made = ARN()
    for module in made.modules():
        if isinstance(module, SelfAttention):
            nn.init.constant_(module.gamma, 0.5)
            for layer in (module.f, module.g):
                layer.weight.data *= 2e-3
        if getattr(module, "bias", None) is not None:
            nn.init.uniform_(module.bias, -0.1, 0.1)
    return made


def outputs_and_gradients(network, pictures):
    network.zero_grad(set_to_none=True)
    pictures = pictures.clone().requires_grad_()
    (logits,) = network(pictures)
    direction = torch.linspace(-1, 2, logits[0].numel()).view_as(logits[:1]).to(logits.dtype)
    (logits * direction).mean().backward()
    # The bias of f adds the same to every logit of a row: it has no gradient but rounding.
    named = {name: p.grad for name, p in network.named_parameters() if not name.endswith("attention.f.bias")}
    del named["deepest.f.bias"]
    return {"logits": logits.detach(), "pictures": pictures.grad, **named}


def apart(found, exact):
    """Distance between tensors of a name, relative to the exact one's length."""
    assert found.keys() == exact.keys()
    return {name: float((found[name].double() - t.double()).norm() / t.double().norm()) for name, t in exact.items()}


def test_literal_program_is_the_network(network):
    """In float64, outputs and every gradient; attention runs in blocks from 32 x 32 positions on."""
    literal = suite("literal").literal
    pictures = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    fast = copy.deepcopy(network).double().to(memory_format=torch.channels_last)
    ours = outputs_and_gradients(fast, pictures.contiguous(memory_format=torch.channels_last))
    theirs = outputs_and_gradients(literal(network).double(), pictures)
    assert max(apart(ours, theirs).values()) < 1e-5  # LRN's alpha / N is kept in float32


def test_inference_by_the_compiled_kernel_is_the_literal_programs(network, monkeypatch):
    literal = suite("literal").literal
    used = []
    real = attention_blocks._compiled
    monkeypatch.setattr(attention_blocks, "_compiled", lambda *given: used.append(1) or real(*given))
    monkeypatch.setattr(attention_blocks, "COMPILED", 0)
    pictures = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    fast = copy.deepcopy(network).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        (exact,) = literal(network).double()(pictures.double())
        (found,) = fast(pictures.contiguous(memory_format=torch.channels_last))
    assert used
    assert float((found - exact).abs().max() / exact.abs().max()) < 1e-5


def test_float32_is_as_exact_as_the_literal_programs(network):
    """Gradients in the literal program's layout: in channels_last its convolutions, too, round otherwise, and a ReLU or
    pooling that rounding carries across its kink moves every gradient. So the median over pictures here as well.
    """
    literal = suite("literal").literal
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    ours, theirs = [], []
    for seed in range(5):
        pictures = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(seed))
        exact = outputs_and_gradients(literal(network).double(), pictures.double())
        theirs.append(apart(outputs_and_gradients(literal(network), pictures), exact))
        ours.append(apart(outputs_and_gradients(network, pictures), exact))
        with torch.no_grad():
            (logits,) = last(pictures.contiguous(memory_format=torch.channels_last))
        assert apart({"logits": logits}, {"logits": exact["logits"]})["logits"] < 1e-5
    worse = {
        name: found
        for name in ours[0]
        if (found := statistics.median(one[name] for one in ours))
        > max(1e-5, 2 * statistics.median(one[name] for one in theirs))
    }
    assert worse == {}
    assert max(one["logits"] for one in ours) < 1e-5


# --- What the suites compute of their measurements ------------------------------------------------------------------


def test_growth_is_fitted():
    scaling = suite("scaling")
    assert scaling.exponent([1.0, 4.0, 16.0], [3.0, 24.0, 192.0]) == pytest.approx(1.5)
    points = [
        {"program": "arn fp32", "batch": 1, "side": side, "seconds": {"median": side**4.0}, "memory": side**2.0}
        for side in (64, 448, 128)
    ]
    assert [point["side"] for point in scaling.series(points, "arn fp32", "side", 64)] == [64, 128, 448]
    fits = scaling.growth(points, 64)["arn fp32"]
    assert fits == {"seconds over positions": pytest.approx(2), "memory over positions": pytest.approx(1)}


def test_literal_program_is_not_asked_for_more_memory_than_allowed():
    fits = suite("scaling").fits
    assert fits("literal", 1, 224, 1.0)
    assert not fits("literal", 2, 224, 1.0)  # 2 x 629 MB
    assert fits("arn fp32", 16, 448, 1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux only")
def test_peak_memory_is_what_the_job_needed_at_most():
    """In a process of its own, as the suites measure it: in this one, what earlier tests freed may be used again."""
    program = """
import mmap
from perf.common import peak_memory

def use(megabytes):
    with mmap.mmap(-1, megabytes * 2**20) as memory:
        for page in range(0, len(memory), 4096):
            memory[page] = 1

held = bytearray(50 * 2**20)
print(peak_memory(lambda: (use(80), use(30))))
"""
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(told.stdout) == pytest.approx(80, abs=8)


def test_jobs_take_turns():
    common, order = suite("common"), []
    taken = common.take_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3, warm=False)
    assert order == ["a", "b"] * 3
    assert {name: len(values) for name, values in taken.items()} == {"a": 3, "b": 3}
    assert common.ratios([2.0, 9.0, 4.0], [1.0, 3.0, 1.0]) == {"median": 3.0, "low": 2.0, "high": 4.0}


def case(mode, batch, speed, floor, memory):
    same = {"median": speed, "low": speed, "high": speed}
    return {
        "mode": mode,
        "batch": batch,
        "memory": {"literal": 100.0, "arn fp32": memory, "arn bf16": memory},
        "times the literal": {"arn fp32": same, "arn bf16": same},
        "times VGG16": {name: {"median": floor, "low": floor, "high": floor} for name in ("arn fp32", "arn bf16")},
    }


def test_goals_are_judged_in_the_right_sense():
    judge = suite("networks").judge
    good = [case("inference", 1, 5, 3, 10), case("inference", 4, 5, 3, 10), case("training", 4, 3.5, 3, 30)]
    assert len(judge(good)) == 12
    assert all(goal["holds"] for goal in judge(good))
    bad = [case("inference", 1, 2, 5, 20), case("inference", 4, 2, 5, 20), case("training", 4, 2, 5, 40)]
    assert not any(goal["holds"] for goal in judge(bad))
    assert len(judge(good[:1])) == 4


def test_every_block_of_the_page_is_rendered_from_its_figures(tmp_path):
    tables = suite("tables")
    page = tables.DOCUMENT.read_text()
    assert tables.render(page, tmp_path) == page, "without figures nothing changes"
    machine = {"processor": "a processor", "cores": 2}
    spread = {"median": 0.125, "low": 0.1, "high": 0.25}
    goal = {"case": "help", "what": "seconds", "found": 0.125, "sense": "<=", "bound": 0.3, "holds": True}
    content = {
        "machine": machine,
        "versions": {"torch": "9.9"},
        "turns": 7,
        "arn --help": spread,
        "arn predict": spread,
        "arn train": {"imports": spread},
        "goals": [goal, {**goal, "holds": False}],
    }
    (tmp_path / "startup.json").write_text(json.dumps(content))
    rendered = tables.render(page, tmp_path)
    assert "| `arn --help` | 0.125 (0.100 .. 0.250) |" in rendered
    assert "| `arn predict`, one picture, its map written | 0.12 (0.10 .. 0.25) |" in rendered
    assert "a processor, 2 cores; torch 9.9; 7 turns." in rendered
    assert "| help: seconds | 0.125 | at most 0.3 | yes |" in rendered
    assert "| help: seconds | 0.125 | at most 0.3 | **no** |" in rendered
    assert 'Not measured yet: `make perf ARGS="startup"`' not in rendered
    assert tables.render(rendered, tmp_path) == rendered
    assert set(re.findall(r"<!-- (\w+) -->", page)) == set(tables.BLOCKS)
    with pytest.raises(ValueError, match="no end of loader"):
        tables.render(page.replace("<!-- end loader -->", ""), tmp_path)
    with pytest.raises(ValueError, match="'other'"):
        tables.render("<!-- other --><!-- end other -->", tmp_path)


@pytest.mark.parametrize("fetched", [True, False])
def test_predict_takes_whole_commands_in_turns(tmp_path, monkeypatch, fetched):
    """One picture takes 1 s, five take 2 s; U2-Netp five times that, or it is missing and the table says why."""
    common, predict, tables = suite("common"), suite("predict"), suite("tables")
    monkeypatch.setattr(common, "OUTPUT", tmp_path)
    monkeypatch.setattr(predict, "data_root", lambda: tmp_path)
    monkeypatch.setenv("ARN_U2NETP", str(tmp_path / "u2netp.onnx"))
    if fetched:
        (tmp_path / "u2netp.onnx").touch()
    scores = {"max_f": 0.93, "mae": 0.04, "code": predict.stamp(predict.DEFAULT)}
    stale = {predict.THEIRS: {**scores, "code": "another"}, predict.DEFAULT: scores}
    (tmp_path / "predict_scores.json").write_text(json.dumps(stale))

    def timed(*command):
        theirs = "perf.u2netp" in command
        source, output = (Path(item.partition("=")[2] or item) for item in command[-2:])
        output.mkdir()
        return (5 if theirs else 1) * (2.0 if source.is_dir() else 1.0)

    monkeypatch.setattr(predict, "timed", timed)
    predict.main(["--pictures", "5", "--repeats", "2"])
    content = json.loads((tmp_path / "predict.json").read_text())
    assert content["rates"][predict.DEFAULT]["median"] == 2.5
    assert content["startup"][predict.DEFAULT]["median"] == 1.0
    assert list(content["scores"]) == [predict.DEFAULT], "those of other code are not shown"
    verdicts = [goal["holds"] for goal in content["goals"]]
    assert verdicts == ([False, False, True] if fetched else [False, True])
    rendered = "\n".join(tables.predict(content))
    if fetched:
        assert "| 2.5 (2.5 .. 2.5) | 5.00 (5.00 .. 5.00) | 1.00 (1.00 .. 1.00) | 0.9300 | 0.0400 |" in rendered
    else:
        assert "no u2netp.onnx" in rendered


def test_accuracy_scores_the_shipped_network_at_each_side(tmp_path, monkeypatch, capsys):
    """Drawn scenes in place of ECSSD; the table has what the suite wrote."""
    from PIL import Image

    from arn.data.layout import Pair
    from arn.data.scenes import scene

    accuracy, tables, common = suite("accuracy"), suite("tables"), suite("common")
    pairs = []
    for index in range(3):
        picture, mask = scene("val", index)
        Image.fromarray(picture).save(tmp_path / f"{index}.png")
        Image.fromarray(mask).save(tmp_path / f"{index}_mask.png")
        pairs.append(Pair(f"{index}", tmp_path / f"{index}.png", tmp_path / f"{index}_mask.png"))
    monkeypatch.setattr(accuracy, "ecssd", lambda: pairs)
    monkeypatch.setattr(common, "OUTPUT", tmp_path)
    accuracy.main(["--pictures", "3", "--batch", "2", "--sides", "64", "96"])
    content = json.loads((tmp_path / "accuracy.json").read_text())
    assert [(row["side"], row["program"]) for row in content["scores"]] == [
        (side, program) for side in (64, 96) for program in accuracy.PROGRAMS
    ]
    for row in content["scores"]:
        assert row["furthest"] < (1e-4 if row["program"] == "arn fp32" else 0.2)
    assert len(content["goals"]) == 8
    assert all(goal["found"] < 1e-4 for goal in content["goals"] if "fp32" in goal["case"])
    assert "96 px  arn bf16" in capsys.readouterr().out
    assert any("| 96 px: arn bf16 |" in line for line in tables.accuracy(content))


def test_a_bench_beside_decoding(tmp_path, monkeypatch, capsys):
    bench, common, tables = suite("bench"), suite("common"), suite("tables")
    monkeypatch.setattr(common, "OUTPUT", tmp_path)
    bench.main(["--methods", "2", "--pictures", "6"])
    content = json.loads((tmp_path / "bench.json").read_text())
    assert content["scored_a_second"] > 0
    assert set(content["memory_mb"]) == {"start", "middle", "end", "summed up"}
    assert "12 maps of 400 x 300" in capsys.readouterr().out
    assert any("12 maps decoded with their masks" in line for line in tables.bench(content))


@pytest.mark.nightly
def test_a_large_bench_twice(tmp_path, monkeypatch, capsys):
    cache, common, tables = suite("cache"), suite("common"), suite("tables")
    monkeypatch.setattr(common, "OUTPUT", tmp_path)
    cache.main(["--methods", "2", "--pictures", "9"])
    content = json.loads((tmp_path / "cache.json").read_text())
    assert content["runs"]["after that"]["files"] < 20
    assert any("| second |" in line for line in tables.cache(content))
    assert "2 methods x 9 pictures" in capsys.readouterr().out


def test_generated_maps_are_all_different_and_read_as_they_were_drawn(tmp_path):
    from arn.data.images import read_map, read_mask
    from arn.files import file_digest

    generated = suite("generated")
    masks = generated.write_dataset(tmp_path / "SET", 3, 30, 40)
    for name in "ab":
        generated.write_maps(tmp_path / name, masks, {stem: [generated.png(mask)] for stem, mask in masks.items()})
    files = sorted(tmp_path.glob("[ab]/*.png"))
    assert len({file_digest(path) for path in files}) == 6
    for path in files:
        assert (read_map(path) == masks[path.stem]).all()
        assert (read_mask(tmp_path / "SET" / "masks" / path.name) == masks[path.stem]).all()


def test_accuracy_takes_an_attention_with_its_matrix_and_puts_the_other_back():
    from arn.networks import attention

    accuracy, before = suite("accuracy"), attention.position_attention
    layer = SelfAttention(16)
    nn.init.ones_(layer.gamma)
    x = torch.randn(1, 16, 20, 20)
    with accuracy.matrix_attention():
        assert attention.position_attention is not before
        plain = layer(x)
    assert attention.position_attention is before
    torch.testing.assert_close(layer(x), plain, rtol=1e-4, atol=1e-5)
