"""The cache of a bench: whole values or none."""

import pytest

from arn.errors import ArnError
from arn.evaluation.cache import Cache
from arn.files import digest
from arn.provenance import code_version


def test_what_was_put_is_got(tmp_path):
    cache = Cache(tmp_path / "cache")
    assert cache.get(digest("a")) is None
    cache.put(digest("a"), b"value")
    assert cache.get(digest("a")) == b"value"
    assert Cache(tmp_path / "cache").get(digest("a")) == b"value"


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:10] + b"x" + data[11:], lambda _: b""])
def test_a_damaged_value_counts_as_absent(tmp_path, damage):
    cache = Cache(tmp_path)
    cache.put(digest("a"), b"a value of some length")
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    file.write_bytes(damage(file.read_bytes()))
    assert cache.get(digest("a")) is None
    cache.put(digest("a"), b"again")
    assert cache.get(digest("a")) == b"again"


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArnError, match=r"cache=.*file"):
        Cache(tmp_path / "file").put(digest("a"), b"value")


def test_parts_of_a_hash_do_not_run_into_one_another():
    assert len({digest("ab", "c"), digest("a", "bc"), digest("abc"), digest("abc", "")}) == 4


def test_code_version_knows_modules_apart():
    assert code_version("arn.metrics") != code_version("arn.classical")
    assert code_version("arn.evaluation.statistics") != code_version("arn.evaluation.cache")
