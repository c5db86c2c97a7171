"""Kernels where nothing can be written: kept in the temporary folder, or compiled anew."""

import os
import stat
import subprocess
import sys

import pytest

PROGRAM = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = [caching.UserProvidedCacheLocator]  # as if nothing else could be written
import numpy as np
from arn.metrics.kernels import extent
print(extent(np.array([[3, 7]], np.uint8)))
"""


def run(temporary):
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment | {"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders of one user alone")
def test_kernels_go_to_a_folder_of_this_user_alone_or_nowhere(tmp_path):
    ran = run(tmp_path)
    assert ran.returncode == 0, ran.stderr
    place = tmp_path / f"arn-kernels-{os.getuid()}"
    assert ran.stderr.count("compiled kernels go to") == 1
    assert any(place.rglob("*.nbi"))
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    place.chmod(0o777)  # anybody could put a program there
    ran = run(tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "are compiled anew" in ran.stderr
