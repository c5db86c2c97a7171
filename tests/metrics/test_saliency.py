"""SaliencyMetrics as a torchmetrics.Metric: batches, forward, ranks, and the size of its state."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from arn.errors import ArnError
from arn.metrics import SaliencyMetrics
from arn.metrics.functional import Totals, eight_bits, score_row


def batch(count: int, seed: int = 0, size: tuple[int, int] = (16, 20)) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand((count, *size), generator=generator)
    masks = torch.rand((count, *size), generator=generator) < 0.3
    return maps, masks, [f"{seed}_{index}" for index in range(count)]


def everything(metric: SaliencyMetrics) -> dict:
    return {**metric.compute(), **metric.curves()}


def assert_bitwise(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("protocol", ["arn2018", "pysod", "salmetric"])
def test_every_shape_of_input_gives_the_pure_functions_scores(protocol: str) -> None:
    maps, masks, stems = batch(5)
    totals = Totals(protocol)
    for one, mask in zip(maps.numpy(), masks.numpy(), strict=True):
        totals.add(score_row(one, mask, totals.protocol))
    expected = totals.compute()
    for given in (
        (maps, masks),
        (maps[:, None], masks[:, None]),
        (maps[:, None], masks.to(torch.uint8) * 255),
        (list(maps), [mask.numpy() for mask in masks]),
        (maps.double(), masks.float()),
        (maps.requires_grad_(), masks),
    ):
        metric = SaliencyMetrics(protocol)
        metric.update(*given, stems=stems)
        assert_bitwise(everything(metric), expected)


def test_pictures_of_differing_sizes_and_batches_of_any_length() -> None:
    parts = [batch(count, seed, (9 + seed, 12)) for seed, count in enumerate((3, 1, 2))]
    whole = SaliencyMetrics("arn2018")
    whole.update([m for part in parts for m in part[0]], [m for part in parts for m in part[1]])
    pieces = SaliencyMetrics("arn2018")
    for maps, masks, _ in reversed(parts):
        pieces.update(maps, masks)
    assert_bitwise(pieces.compute(), whole.compute())
    assert whole.compute()["pictures"] == 6


def test_forward_scores_the_batch_and_adds_it_once() -> None:
    straight, stepwise = (SaliencyMetrics("pysod", keep_rows=True) for _ in range(2))
    for seed in range(3):
        given = batch(2, seed)
        straight.update(*given)
        alone = SaliencyMetrics("pysod")
        alone.update(*given)
        assert_bitwise(stepwise(*given), alone.compute())
    assert_bitwise(stepwise.compute(), straight.compute())
    assert stepwise.rows().stems == straight.rows().stems
    np.testing.assert_array_equal(stepwise.rows().table, straight.rows().table)
    assert_bitwise(straight.rows().compute(), everything(straight))


def test_reset_forgets_everything() -> None:
    metric = SaliencyMetrics(keep_rows=True)
    metric.update(*batch(3))
    metric.reset()
    assert len(metric.rows()) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics warns, and then lets NaN out; we do not
        with pytest.raises(ArnError, match="No picture was scored"):
            metric.compute()


def test_a_bad_picture_leaves_the_state_as_it_was() -> None:
    metric = SaliencyMetrics(keep_rows=True)
    metric.update(*batch(2))
    before = metric.compute()
    maps, masks, _ = batch(3, seed=1)
    maps[2, 4, 4] = float("nan")
    with pytest.raises(ArnError, match="'third'"):
        metric.update(maps, masks, ["first", "second", "third"])
    metric._computed = None  # torchmetrics' cache, which would hide a change
    assert_bitwise(metric.compute(), before)
    assert len(metric.rows()) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((torch.rand(2, 3, 4, 4), torch.ones(2, 3, 4, 4, dtype=torch.bool)), "H x W"),
        ((torch.rand(4), torch.ones(4, dtype=torch.bool)), "B x H x W"),
        ((torch.rand(2, 4, 4), torch.ones(3, 4, 4, dtype=torch.bool)), "2 maps but 3 masks"),
        ((torch.rand(2, 4, 4), torch.ones(2, 4, 4, dtype=torch.bool), ["a"]), "2 maps but 1 stems"),
        ((torch.randn(1, 64, 64) * 9, torch.ones(1, 64, 64, dtype=torch.bool), ["logits"]), "'logits'"),
    ],
)
def test_misuse_is_an_error_of_the_users(arguments: tuple, says: str) -> None:
    with pytest.raises(ArnError) as error:
        SaliencyMetrics().update(*arguments)
    assert says in str(error.value)


def test_rows_ask_for_stems_and_for_keep_rows() -> None:
    maps, masks, stems = batch(2)
    with pytest.raises(ArnError, match="stems"):
        SaliencyMetrics(keep_rows=True).update(maps, masks)
    with pytest.raises(ArnError, match="keep_rows"):
        SaliencyMetrics().rows()
    metric = SaliencyMetrics(keep_rows=True)
    for _ in range(2):
        metric.update(maps, masks, stems)
    with pytest.raises(ArnError, match="more than once: 0_0, 0_1"):
        metric.rows()


def test_eight_bit_scores_what_the_file_holds() -> None:
    maps, masks, _ = batch(4)
    rounded, written = SaliencyMetrics(eight_bit=True), SaliencyMetrics()
    rounded.update(maps, masks)
    written.update([eight_bits(one) for one in maps.numpy()], masks)
    assert_bitwise(rounded.compute(), written.compute())
    with pytest.raises(ArnError, match=r"within 0\.\.1"):
        rounded.update(maps * 2, masks)


def test_half_precision_maps() -> None:
    maps, masks, _ = batch(2)
    for kind in (torch.float16, torch.bfloat16):
        low, same = SaliencyMetrics(), SaliencyMetrics()
        low.update(maps.to(kind), masks)
        same.update(maps.to(kind).float(), masks)
        assert_bitwise(low.compute(), same.compute())


def test_state_is_of_constant_size_and_survives_pickling() -> None:
    metric = SaliencyMetrics()
    metric.update(*batch(1)[:2])
    small = len(pickle.dumps(metric))
    for seed in range(40):
        metric.update(*batch(3, seed)[:2])
    assert len(pickle.dumps(metric)) == small
    assert_bitwise(pickle.loads(pickle.dumps(metric)).compute(), metric.compute())
    clone = metric.clone()
    clone.update(*batch(1, 99)[:2])
    assert clone.compute()["pictures"] == metric.compute()["pictures"] + 1


def test_ranks_agree_bit_for_bit(tmp_path: Path) -> None:
    """1, 2 and 4 ranks; an odd number of pictures; and fewer of them than ranks, so that one rank has none."""
    script = Path(__file__).with_name("ddp_worker.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    counts = (11, 3)
    worker = load(script)
    alone = {pictures: worker.scored(0, 1, pictures, None) for pictures in counts}

    arguments = ["4", str(tmp_path / "store"), str(tmp_path / "found"), *map(str, counts)]
    command = [sys.executable, "-W", "ignore", str(script), *arguments]
    assert subprocess.run(command, env=environment, timeout=400, check=False).returncode == 0
    found = [pickle.loads((tmp_path / f"found.{rank}").read_bytes()) for rank in range(4)]

    for pictures in counts:
        scores, stems, table = alone[pictures]
        assert scores["pictures"] == len(stems) == pictures
        for world in (2, 4):
            for rank in range(world):
                ranked, ranked_stems, ranked_table = found[rank][pictures, world]
                assert_bitwise(ranked, scores)
                assert ranked_stems == stems
                np.testing.assert_array_equal(ranked_table, table)


def load(script: Path) -> ModuleType:
    spec = spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
