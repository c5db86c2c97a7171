"""A clock that is set, by an hour back or forward, in the middle of a command."""

import itertools
import json
import os
import time
from datetime import datetime

import pytest

from arn.cli import main
from arn.data.scenes import draw_scene
from arn.evaluation import upkeep
from arn.evaluation.cache import Cache
from arn.files import ABANDONED, digest, new_folder, remove_abandoned
from arn.inference import sources
from arn.inference.sources import Source, arrivals
from arn.runs import Run

HOUR = 3600.0
REAL, REAL_NS = time.time, time.time_ns


@pytest.fixture
def clock(monkeypatch):
    """What the system's clock is off by, a list of one number; the files' times are those of the true one."""
    off = [0.0]
    monkeypatch.setattr(time, "time", lambda: REAL() + off[0])
    monkeypatch.setattr(time, "time_ns", lambda: REAL_NS() + int(off[0] * 1e9))
    return off


@pytest.fixture
def restless(monkeypatch):
    """A clock that is an hour further or back each time that it is asked."""
    jumps = itertools.cycle((0.0, HOUR, -HOUR))
    monkeypatch.setattr(time, "time", lambda: REAL() + next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: REAL_NS() + int(next(jumps) * 1e9))


@pytest.mark.usefixtures("restless")
def test_a_training_does_all_of_its_steps(tmp_path, plain_overrides):
    run = Run(tmp_path / "run")
    limits = ["trainer.max_time=00:00:30:00", "checkpoint.minutes=10"]
    assert main(["train", *plain_overrides, *limits, f"hydra.run.dir={run}"]) == 0
    record = run.record()
    assert record["best"]["step"] == 4
    assert 0 < record["training_seconds"] <= record["total_seconds"] < HOUR / 2


@pytest.mark.usefixtures("restless")
def test_a_bench_and_what_it_keeps(tiny_dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["bench", f"datasets=[{tiny_dataset}]", "methods=[mb]", "resamples=20", "figures=false", "timing=0"]
    tables = []
    for name in "ab":
        assert main([*command, f"hydra.run.dir={name}"]) == 0
        tables.append((tmp_path / name / "per_image.csv").read_bytes())
        assert 0 <= json.loads((tmp_path / name / "bench.json").read_bytes())["provenance"]["seconds"] < HOUR / 2
        assert ("scored 6 maps" in capsys.readouterr().out) == (name == "a")
    assert tables[0] == tables[1]


def test_two_benches_of_one_second_do_not_share_a_folder(tiny_dataset, tmp_path, monkeypatch, capsys):
    """As where a clock shows the same second twice; their folder is named by it."""
    monkeypatch.chdir(tmp_path)
    second = datetime.now()

    class Stopped(datetime):
        @classmethod
        def now(cls, tz=None):
            return second

    monkeypatch.setattr("hydra.core.utils.datetime", Stopped)
    command = ["bench", f"datasets=[{tiny_dataset}]", "methods=[mb]", "resamples=0", "figures=false", "timing=0"]
    assert main(command) == 0
    (kept,) = tmp_path.glob("outputs/bench/*/*/bench.json")
    before = kept.read_bytes()
    assert main([*command, "measures=[mae]"]) == 2
    assert f"{kept.relative_to(tmp_path).parent} is another bench's already" in capsys.readouterr().err
    assert kept.read_bytes() == before


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_what_is_cached_before_and_after_is_all_there(tmp_path, clock, jump):
    held = {}
    with Cache(tmp_path, pack_size=20_000) as cache:
        for number in range(60):
            clock[0] = jump if number >= 30 else 0.0
            key = digest(str(number))
            held[key] = key * 50
            cache.put(key, held[key], "row")
    with Cache(tmp_path) as again:
        assert all(again.get(key) == value for key, value in held.items())
        upkeep.keep_up(again, 10**9)
        assert all(again.get(key) == value for key, value in held.items())
        upkeep.keep_up(again, 30_000)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 30_000
    assert upkeep.contents(tmp_path).in_use == 0


def test_a_pack_that_looks_left_is_gone_on_with_elsewhere(tmp_path, clock):
    """An hour forward, another bench takes a writer's pack for that of a dead one, and drops or merges it."""
    writing, held = Cache(tmp_path), {}
    for number in range(20):
        if number == 10:
            clock[0] = HOUR
            upkeep.prune(tmp_path, limit=10**9)
            upkeep.merge(tmp_path)
        key = digest(str(number))
        held[key] = key * 50
        writing.put(key, held[key], "row")
    writing.close()
    with Cache(tmp_path) as again:
        assert all(again.get(key) == value for key, value in held.items())


def test_watching_hears_of_each_picture_once_whenever_it_says_it_was_made(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "WATCH", 0.01)
    picture = draw_scene(0, 0, (16, 16))[0].tobytes()

    def look():
        return [Source(str(path), path.relative_to(tmp_path)) for path in sorted(tmp_path.iterdir())]

    coming = arrivals(look, set())
    for name, jump in (("a.png", 0.0), ("b.png", HOUR), ("c.png", -HOUR), ("d.png", -2 * HOUR)):
        path = tmp_path / name
        path.write_bytes(picture)
        os.utime(path, (REAL() + jump,) * 2)
        assert [source.place for source in next(coming)] == [str(path)]
    (tmp_path / "a.png").write_bytes(picture[:-1])  # changed, with a clock that was set back
    os.utime(tmp_path / "a.png", (REAL() - HOUR,) * 2)
    assert [source.place for source in next(coming)] == [str(tmp_path / "a.png")]


def test_only_what_was_begun_long_ago_is_taken_for_abandoned(tmp_path, clock):
    with new_folder(tmp_path / "export") as passing:
        (passing / "model").touch()
        for jump in (HOUR, -HOUR):
            clock[0] = jump
            remove_abandoned(tmp_path)
        assert (passing / "model").is_file()
        kept = passing.name
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
    (tmp_path / kept).mkdir()
    (tmp_path / kept / "half").touch()
    (tmp_path / ".mine.tmp").touch()
    clock[0] = ABANDONED + HOUR
    remove_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.tmp", "export"]
