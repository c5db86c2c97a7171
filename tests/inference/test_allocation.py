"""What is freed is used again, without the system's help."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
from arn.inference.allocation import reuse_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        b"x" * 2**25  # 8,192 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

done = reuse_memory() if sys.argv[1] == "reuse" else None
print(done, faults())
"""

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc", reason="it is glibc that is told"
)


def run(how, **environment):
    ours = ("MALLOC_", "GLIBC_", "ARN_ALLOCATOR")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    command = [sys.executable, "-c", CODE, how]
    done, count = subprocess.run(
        command, env=plain | environment, check=True, capture_output=True, text=True
    ).stdout.split()
    return done, int(count)


def test_freed_memory_is_used_again():
    """By default, blocks of this size come from the system each time and fault page by page."""
    assert run("plain")[1] > 5 * 8192
    done, count = run("reuse")
    assert done == "True"
    assert count < 3 * 8192


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_the_environment_chose_stays(name):
    value = "glibc.malloc.tcache_count=7" if name == "GLIBC_TUNABLES" else "131072"
    assert run("reuse", **{name: value})[0] == "False"


def test_it_can_be_left_alone():
    assert run("reuse", ARN_ALLOCATOR="default")[0] == "False"
    assert run("reuse", ARN_ALLOCATOR="")[0] == "True"
