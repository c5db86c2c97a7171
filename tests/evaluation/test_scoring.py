"""Coverage, and scoring that never computes a thing twice: in one process, in several, in shards, after a kill."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from arn.data.images import read_mask, write_map
from arn.data.layout import find_dataset
from arn.data.sources import PairSource, SceneSource
from arn.errors import ArnError
from arn.evaluation import timing, work
from arn.evaluation.cache import Cache
from arn.evaluation.coverage import cover
from arn.evaluation.scoring import Part, Scorer
from arn.evaluation.stored_rows import identity, loaded
from arn.evaluation.work import Rules, Workers
from arn.inference.methods import Classical, MapFolder
from arn.metrics.functional import Rows
from arn.metrics.protocols import get_protocol

RULES = Rules((get_protocol("arn2018"), get_protocol("pysod")), ("mae", "f", "e", "s", "wf"))


@pytest.fixture
def source(tiny_dataset):
    return PairSource(find_dataset(tiny_dataset))


@pytest.fixture
def maps(tiny_dataset, tmp_path):
    """Blurred masks."""
    folder = tmp_path / "maps"
    for path in sorted((tiny_dataset / "masks").iterdir()):
        write_map(folder / path.name, cv2.GaussianBlur(read_mask(path), (9, 9), 3))
    return MapFolder("M", folder)


WHOLE = Part()


def scored(method, source, cache, count=1, part=WHOLE, rules=RULES):
    with Workers(count) as workers:
        return Scorer(rules, cache, workers, part).score(method, "TINY", source, range(len(source.stems)))


def same(a, b):
    return all(x.stems == y.stems and np.array_equal(x.table, y.table) for x, y in zip(a, b, strict=True))


def test_the_second_time_nothing_is_computed(source, maps, tmp_path, monkeypatch):
    first = scored(maps, source, Cache(tmp_path / "cache"))
    assert [rows.protocol.name for rows in first] == ["arn2018", "pysod"]

    def never(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(work, "score_row", never)
    assert same(scored(maps, source, Cache(tmp_path / "cache")), first)


def test_damaged_and_lost_rows_are_scored_again(source, maps, tmp_path):
    """Found out when they are read, after all were taken for stored; and what is read then is whole."""
    first = scored(maps, source, Cache(tmp_path / "cache"))
    tables = [rows.table for rows in first]
    (pack,) = (tmp_path / "cache").glob("*.pack")
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 255
    pack.write_bytes(data)
    assert np.array_equal(first[0].table, tables[0])
    assert np.array_equal(first[1].table, tables[1])
    cache = Cache(tmp_path / "cache")
    second = scored(maps, source, cache)
    for place in (tmp_path / "cache").iterdir():
        place.unlink()
    assert all(np.array_equal(rows.table, table) for rows, table in zip(second, tables, strict=True))


def test_stored_rows_are_rows(source, maps, tmp_path):
    for number, stored in enumerate(scored(maps, source, Cache(tmp_path / "cache"))):
        again = scored(maps, source, Cache(tmp_path / "cache"))[number]
        whole = loaded(stored)
        assert type(whole) is Rows
        for name in ("mae", "best_f", "precision"):
            assert np.array_equal(stored[name], whole[name])
            assert np.array_equal(again[name], whole[name])
        assert stored.compute()["max_f"] == whole.compute()["max_f"]
        some = whole.stems[1:4]
        assert np.array_equal(stored.select(some).table, whole.select(some).table)
        assert identity(again) == identity(stored) != identity(stored.select(some))
        with pytest.raises(ArnError, match="none"):
            stored.select(["none"])


def test_a_changed_map_alone_is_scored_again(source, maps, tmp_path, monkeypatch):
    cache = Cache(tmp_path / "cache")
    first = scored(maps, source, cache)
    write_map(Path(maps.source) / "0002.png", read_mask(source.pairs[2].mask))
    calls = []
    original = work.score_row
    monkeypatch.setattr(work, "score_row", lambda *given: calls.append(given[-1]) or original(*given))
    second = scored(maps, source, cache)
    assert calls == ["0002", "0002"]
    changed = np.any(first[0].table != second[0].table, axis=1)
    assert changed.tolist() == [stem == "0002" for stem in first[0].stems]


def test_another_protocol_is_scored_from_the_maps_kept(source, tmp_path, monkeypatch):
    cache, method = Cache(tmp_path / "cache"), Classical("mb")
    scored(method, source, cache, rules=Rules((get_protocol("pysod"),), ("mae",)))
    monkeypatch.setattr(Classical, "maps", lambda *_: pytest.fail("the map was made again"))
    scored(method, source, cache)


def test_shards_merge_into_the_scores_of_one_process(source, maps, tmp_path):
    whole = scored(maps, source, Cache(tmp_path / "one"))
    cache = Cache(tmp_path / "shards")
    parts = [scored(maps, source, cache, part=Part(number, 4)) for number in (1, 2, 3, 4)]
    assert sorted(stem for (rows, _) in parts for stem in rows.stems) == sorted(source.stems)
    assert same(scored(maps, source, cache), whole)


def test_worker_processes_give_the_same_scores(source, maps, tmp_path, monkeypatch):
    monkeypatch.setattr(work, "POOL_FROM", 0)
    for name, method in (("maps", maps), ("classical", Classical("mb"))):
        alone = scored(method, source, Cache(tmp_path / f"{name}1"), count=1)
        assert same(scored(method, source, Cache(tmp_path / f"{name}2"), count=2), alone)


def test_an_error_in_a_worker_names_method_and_picture(source, maps, tmp_path, monkeypatch):
    monkeypatch.setattr(work, "POOL_FROM", 0)
    path = Path(maps.source) / "0004.png"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ArnError, match="0004"):
        scored(maps, source, Cache(tmp_path / "cache"), count=2)


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2"])
def test_a_shard_that_is_none(text):
    with pytest.raises(ArnError, match="shard="):
        Part.parse(text)


def test_full_coverage_has_no_notes(source, maps):
    found = cover([maps], "TINY", source, "strict")
    assert (found.indices, found.of, found.notes) == (list(range(6)), 6, [])


def test_every_gap_is_listed_at_once(source, maps, tmp_path):
    folder = Path(maps.source)
    (folder / "0001.png").unlink()
    write_map(folder / "9999.png", np.zeros((4, 4), np.uint8))
    write_map(folder / "0003.png", np.zeros((10, 12), np.uint8))
    other = MapFolder("Other", tmp_path / "other")
    shutil.copytree(folder, tmp_path / "other")
    with pytest.raises(ArnError) as told:
        cover([maps, other], "TINY", source, "strict")
    for words in ("M on TINY: 1 maps are missing (0001)", "9999", "0003: 12 x 10 for 64 x 64", "Other on TINY"):
        assert words in str(told.value)
    found = cover([maps, other], "TINY", source, "intersect")
    assert [source.stems[index] for index in found.indices] == ["0000", "0002", "0004", "0005"]
    assert len(found.notes) == 6


def test_methods_are_scored_on_the_same_pictures(source, maps, tmp_path):
    """Paired tests need it: a picture that one method lacks is left out for all."""
    whole = MapFolder("Whole", tmp_path / "whole")
    shutil.copytree(maps.source, tmp_path / "whole")
    (Path(maps.source) / "0001.png").unlink()
    assert len(cover([whole, maps], "TINY", source, "intersect").indices) == 5


def test_a_set_of_the_catalogue_must_be_whole(source):
    with pytest.raises(ArnError, match="ECSSD is published with 1,000 pictures, and 6 are here"):
        cover([], "ECSSD", source, "strict")
    assert cover([], "ECSSD", source, "intersect").notes


def test_nothing_left(source, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(ArnError, match="no picture has a map"):
        cover([MapFolder("M", tmp_path / "none")], "TINY", source, "intersect")


def test_the_fingerprints_of_methods_differ():
    names = ("mb", "mb_plus", "rbd")
    for a, b in itertools.combinations(names, 2):
        assert Classical(a).fingerprint != Classical(b).fingerprint


def test_timing_is_remembered(tmp_path, monkeypatch):
    source, cache = SceneSource("test", 3), Cache(tmp_path)
    taken = timing.time_maker(Classical("mb"), source, 2, cache)
    assert taken is not None
    assert taken > 0
    monkeypatch.setattr(Classical, "maps", lambda *_: pytest.fail("timed again"))
    assert timing.time_maker(Classical("mb"), source, 2, cache) == taken
    assert timing.time_maker(Classical("mb"), source, 0, cache) is None


def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, time\n"
        "from arn.evaluation.work import Workers\n"
        "if __name__ == '__main__':\n"
        "    workers = Workers(1)\n"
        "    print(workers._started().submit(os.getpid).result(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 20
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
