"""The cache of a bench: whole values or none, whoever writes, is killed, merges or prunes meanwhile."""

import os
import pickle
import signal
import subprocess
import sys
import time
from multiprocessing import get_context

import pytest

from arn.errors import ArnError
from arn.evaluation import cache as caches
from arn.evaluation import packs, upkeep
from arn.evaluation.cache import Cache
from arn.evaluation.file_memory import FileMemory
from arn.files import digest, file_digest, remembering
from arn.provenance import code_version


def values(count, start=0):
    return {digest(str(number)): str(number).encode() * 50 for number in range(start, start + count)}


def fill(cache, held, kind="row"):
    for key, value in held.items():
        cache.put(key, value, kind)
    return held


def held_by(folder, held):
    cache = Cache(folder)
    return [key for key, value in held.items() if cache.get(key) == value]


def age(folder, seconds):
    for path in folder.iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


def test_what_was_put_is_got(tmp_path):
    cache = Cache(tmp_path / "cache")
    assert cache.get(digest("a")) is None
    cache.put(digest("a"), b"value")
    assert cache.get(digest("a")) == b"value"
    assert digest("a") in cache
    assert Cache(tmp_path / "cache").get(digest("a")) == b"value"  # before it is closed, too
    cache.close()
    cache.put(digest("b"), b"")
    cache.close()
    again = Cache(tmp_path / "cache")
    assert (again.get(digest("a")), again.get(digest("b")), digest("c") in again) == (b"value", b"", False)


def test_the_last_value_put_under_a_key_is_the_one(tmp_path):
    for value in (b"one", b"two", b"three"):
        with Cache(tmp_path) as cache:
            cache.put(digest("a"), value)
            assert cache.get(digest("a")) == value
    assert Cache(tmp_path).get(digest("a")) == b"three"
    assert sum(kind.entries for kind in upkeep.contents(tmp_path).kinds) == 1


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:10] + b"x" + data[11:], lambda _: b""])
@pytest.mark.parametrize("closed", [False, True])
def test_a_damaged_value_counts_as_absent(tmp_path, damage, closed):
    cache = Cache(tmp_path)
    cache.put(digest("a"), b"a value of some length")
    if closed:
        cache.close()
    (file,) = tmp_path.glob("*.pack")
    file.write_bytes(damage(file.read_bytes()))
    assert cache.get(digest("a")) is None
    assert Cache(tmp_path).get(digest("a")) is None
    cache.put(digest("a"), b"again")
    assert cache.get(digest("a")) == b"again"
    cache.close()
    assert Cache(tmp_path).get(digest("a")) == b"again"


def test_every_byte_of_a_pack_is_under_a_checksum(tmp_path):
    with Cache(tmp_path) as cache:
        cache.put(digest("a"), b"some value", "row")
    (file,) = tmp_path.glob("*.pack")
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert Cache(tmp_path).get(digest("a")) is None, place


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: data[:-3] + b"xyz", lambda _: b""]
)
def test_a_damaged_index_is_read_anew_from_the_pack(tmp_path, damage):
    with Cache(tmp_path) as cache:
        held = fill(cache, values(20))
    (file,) = tmp_path.glob("*.index")
    file.write_bytes(damage(file.read_bytes()))
    assert len(held_by(tmp_path, held)) == 20
    file.unlink()
    assert len(held_by(tmp_path, held)) == 20


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArnError, match=r"cache=.*file"):
        Cache(tmp_path / "file").put(digest("a"), b"value")
    assert upkeep.contents(tmp_path / "nothing").kinds == []


def test_a_full_disk_leaves_the_pack_as_it_was(tmp_path, monkeypatch):
    cache, write = Cache(tmp_path), os.write
    held = fill(cache, values(3))

    def full(file, data):
        write(file, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ArnError, match="No space left"):
        cache.put(digest("more"), b"x" * 1000)
    monkeypatch.setattr(os, "write", write)
    assert cache.get(digest("more")) is None
    held |= fill(cache, values(3, 10))
    assert len(held_by(tmp_path, held)) == 6  # the half that was written is no stumbling block


def test_packs_are_of_a_size(tmp_path):
    with Cache(tmp_path, pack_size=2000) as cache:
        held = fill(cache, values(100))
        assert all(cache.get(key) == value for key, value in held.items())
    assert 4 < len(list(tmp_path.glob("*.pack"))) < 20
    assert len(held_by(tmp_path, held)) == 100


def _put_many(cache, start):
    for key, value in values(200, start).items():
        cache.put(key, value, "row")
    return cache.get(digest(str(start)))


def test_processes_write_at_once(tmp_path):
    """One cache, sent to two processes; a third object beside them. What they wrote is seen here, and sealed."""
    cache, other = Cache(tmp_path), Cache(tmp_path)
    assert cache.get(digest("0")) is None
    with get_context("spawn").Pool(2) as pool:
        calls = [pool.apply_async(_put_many, (cache, start)) for start in (0, 200, 400, 600)]
        fill(other, values(200, 800))
        assert all(call.get() for call in calls)
        cache.refresh()
        assert all(cache.get(key) == value for key, value in values(800).items())  # of packs still written to
        pool.close()
        pool.join()
    other.close()
    assert len(held_by(tmp_path, values(1000))) == 1000
    assert len(list(tmp_path.glob("*.pack"))) == len(list(tmp_path.glob("*.index"))) <= 3


def test_a_process_has_one_object_of_a_cache_that_is_sent_to_it(tmp_path):
    sent = pickle.dumps(Cache(tmp_path))
    assert pickle.loads(sent) is pickle.loads(sent)


WRITER = """
import sys
from arn.evaluation.cache import Cache
from arn.files import digest
cache = Cache(sys.argv[1])
for number in range(10**9):
    cache.put(digest(sys.argv[2], str(number)), str(number).encode() * 500, "row")
    print(number, flush=True)
"""


def test_killed_writers_lose_nothing_that_was_put(tmp_path):
    """kill -9 at any moment: every value that `put` came back from is there, and nothing else is taken for one."""
    last = {}
    for run in "ab":
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), run], stdout=subprocess.PIPE, text=True
        )
        for line in process.stdout:
            last[run] = int(line)
            if last[run] == 300:
                process.send_signal(signal.SIGKILL)
                break
        last[run] = max([int(line) for line in process.stdout.read().split()] or [300])
        process.wait()
    cache = Cache(tmp_path)
    for run, count in last.items():
        assert all(cache.get(digest(run, str(n))) == str(n).encode() * 500 for n in range(count + 1))
        assert cache.get(digest(run, str(count + 5))) is None
    assert len(list(tmp_path.glob("*.index"))) == 2  # the next reader is spared
    file = max(tmp_path.glob("*.pack"))
    with file.open("ab") as torn:  # half a record
        torn.write(packs.record_of(digest("c"), b"x" * 5000, "row")[:2000])
    assert Cache(tmp_path).get(digest("c")) is None
    assert Cache(tmp_path).get(digest("a", "3")) is not None


def test_many_small_packs_become_few(tmp_path):
    held = {}
    for run in range(40):
        with Cache(tmp_path) as cache:
            held |= fill(cache, values(5, 5 * run))
    reader = Cache(tmp_path)
    assert reader.get(digest("0")) is not None
    writing = Cache(tmp_path)
    held |= fill(writing, values(5, 1000))
    upkeep.merge(tmp_path)
    assert len(list(tmp_path.glob("*.pack"))) == 2  # the merged one, and that which is written to
    assert len(held_by(tmp_path, held)) == 205
    assert all(reader.get(key) == value for key, value in values(200).items())  # its packs are gone
    held |= fill(writing, values(5, 2000))
    assert len(held_by(tmp_path, held)) == 210


def test_prune_keeps_what_was_of_use_last(tmp_path):
    for run, back in enumerate((5000, 9000, 100)):
        with Cache(tmp_path) as cache:
            fill(cache, values(100, 100 * run))
            name = cache._writer.path.name
        packs.set_used(tmp_path / name, time.time() - back)
    size = upkeep.contents(tmp_path).size
    with Cache(tmp_path) as cache:
        assert cache.get(digest("100")) is not None  # the pack that was longest out of use, until now
    dropped, freed = upkeep.prune(tmp_path, limit=size // 2)
    assert upkeep.contents(tmp_path).size <= size // 2
    assert (dropped, freed > size // 3) == (300 - len(held_by(tmp_path, values(300))), True)
    assert len(held_by(tmp_path, values(100, 100))) == 100
    assert held_by(tmp_path, values(100, 200)) == list(values(100, 200))[-(300 - dropped - 100) :]  # its newest
    assert len(held_by(tmp_path, values(100))) == 0
    upkeep.prune(tmp_path, limit=0)
    assert list(tmp_path.iterdir()) == []


def test_prune_by_kind_and_age_and_what_older_versions_left(tmp_path, monkeypatch):
    with Cache(tmp_path) as cache:
        fill(cache, values(10), "row")
        fill(cache, values(10, 10), "thumbnail")
        with monkeypatch.context() as past:
            past.setattr(packs.time, "time_ns", lambda: int((time.time() - 1e6) * 1e9))
            fill(cache, values(5, 20), "row")
    (tmp_path / "3f").mkdir()
    (tmp_path / "3f" / "77").write_bytes(b"old")
    assert upkeep.contents(tmp_path).former == 1
    assert {kind.name: kind.entries for kind in upkeep.contents(tmp_path).kinds} == {"row": 15, "thumbnail": 10}
    assert upkeep.prune(tmp_path, kinds=("thumbnail",))[0] == 10
    assert not (tmp_path / "3f").exists()
    assert upkeep.prune(tmp_path, older=5e5)[0] == 5
    assert len(held_by(tmp_path, values(25))) == 10


def test_a_pack_that_may_be_written_to_is_not_pruned_until_its_writer_is_dead(tmp_path):
    cache = Cache(tmp_path)
    held = fill(cache, values(10))
    assert upkeep.prune(tmp_path, limit=0) == (0, 0)
    assert upkeep.contents(tmp_path).in_use == 1
    age(tmp_path, upkeep.IDLE + 1)
    assert upkeep.prune(tmp_path, limit=0)[0] == 10
    held = fill(cache, values(10, 50))  # it was not dead, and goes on with another
    assert len(held_by(tmp_path, held)) == 10
    assert all(cache.get(key) == value for key, value in held.items())


def test_a_limit_is_kept_at_the_end(tmp_path):
    with Cache(tmp_path, pack_size=10_000) as cache:
        fill(cache, values(1000))
        assert upkeep.keep_up(cache, None) == (0, 0)
        dropped, _ = upkeep.keep_up(cache, 50_000)
    assert dropped > 500
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 50_000


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path, monkeypatch):
    file, reads = tmp_path / "map.png", []
    read_bytes = type(file).read_bytes
    monkeypatch.setattr(type(file), "read_bytes", lambda path: reads.append(path) or read_bytes(path))

    def known(folder):
        reads.clear()
        with Cache(folder) as cache, FileMemory(cache) as memory, remembering(memory):
            return [file_digest(file) for _ in range(2)], len([path for path in reads if path == file])

    file.write_bytes(b"one")
    assert known(tmp_path / "cache") == ([digest(b"one")] * 2, 2)  # it may still change within a tick of the clock
    monkeypatch.setattr("arn.evaluation.file_memory._SETTLED", -1.0)
    assert known(tmp_path / "cache") == ([digest(b"one")] * 2, 1)
    assert known(tmp_path / "cache") == ([digest(b"one")] * 2, 0)
    times = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # of the same size, and made to look as old
    assert known(tmp_path / "cache") == ([digest(b"two")] * 2, 1)
    file.unlink()
    with pytest.raises(ArnError, match=r"map\.png"):
        known(tmp_path / "cache")


def test_own_packs_are_bounded_by_their_records_too(tmp_path, monkeypatch):
    monkeypatch.setattr(caches, "PACK_RECORDS", 10)
    with Cache(tmp_path) as cache:
        held = fill(cache, values(35))
    assert len(list(tmp_path.glob("*.pack"))) == 4
    assert len(held_by(tmp_path, held)) == 35


def test_parts_of_a_hash_do_not_run_into_one_another():
    assert len({digest("ab", "c"), digest("a", "bc"), digest("abc"), digest("abc", "")}) == 4


def test_code_version_knows_modules_apart():
    assert code_version("arn.metrics") != code_version("arn.classical")
    assert code_version("arn.evaluation.statistics") != code_version("arn.evaluation.cache")
