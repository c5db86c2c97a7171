"""Damaged files and strange values for the fuzzing of tests/fuzz, drawn by Hypothesis so that a finding shrinks."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

LONG = int(os.environ.get("ARN_FUZZ", "1"))
"""How many times as many examples as CI has; `make fuzz` sets it."""

_INTERESTING = [b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0"]


def examples(count: int) -> settings:
    """So many examples in CI, the same ones each time; others each time in a long run, which keeps what it finds."""
    return settings(
        max_examples=count * LONG,
        deadline=None,
        derandomize=LONG == 1,
        database=None if LONG == 1 else settings.get_profile("default").database,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
    )


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with one to six things done to it."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        if not data:
            break
        # Heads are where decoders decide: every other change is in the first part of a file.
        end = draw(st.sampled_from([len(data), min(len(data), 64), min(len(data), 600)]))
        at = draw(st.integers(0, end - 1))
        match draw(st.sampled_from(["bit", "bytes", "cut", "drop", "repeat", "insert", "splice"])):
            case "bit":
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "bytes":
                value = draw(st.one_of(st.sampled_from(_INTERESTING), st.binary(min_size=1, max_size=8)))
                data[at : at + len(value)] = value
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + draw(st.integers(1, 64))]
            case "repeat":
                data[at:at] = data[at : at + draw(st.integers(1, 64))]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=16))
            case "splice":
                other = draw(st.sampled_from(seeds))
                data[at:] = other[min(at, len(other)) :]
    return bytes(data)


numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([10**9, -(10**9), 2**31, 2**63, 10**30, 0.5, -0.5, 1e-12, 1e300, -1e300]),
)
_WORDS = (
    *("null", "true", "false", "nan", "inf", "-inf", "''", '""', "[]", "{}", "abc", "[1]", "[a,b]", "[[1]]", "[null]"),
    *("{a: 1}", "{_target_: os.system}", "a=b", "[", "{", "\\", ".", "..", "~", "/dev/null", "${seed}", "${nothing}"),
    *("${oc.env:NOTHING}", "'${'", "2024", "2024-01-01", "auto", "none", "1e400", "0x10", "1_000", "-0", "1e-3"),
    *("'a b'", '"a b"', "[1,2,3]", "{1: 2}", "ä", "\U0001f600", "a" * 300),
)
words = st.sampled_from(_WORDS)
values = st.one_of(numbers.map(str), words)
"""Right-hand sides of overrides: wrong types, edges of ranges, what YAML and Hydra's grammar make something else of."""
