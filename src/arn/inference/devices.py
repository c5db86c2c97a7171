"""Where a network runs, and in which precision. Torch is imported only where its answer is wanted."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from arn.errors import ArnError

if TYPE_CHECKING:
    import torch

# Where a driver of a GPU that torch knows leaves its traces: NVIDIA, NVIDIA on boards, AMD, either below Windows.
_TRACES = ("nvidia*", "nvhost*", "kfd", "dxg")


def may_have_gpu() -> bool:
    """False where there can be none, so that torch need not be imported, which takes seconds, to learn that."""
    if "torch" in sys.modules:
        return automatic_device() != "cpu"
    system = platform.system()
    if system == "Linux":
        return any(any(Path("/dev").glob(trace)) for trace in _TRACES)
    return system == "Darwin" or shutil.which("nvidia-smi") is not None


def automatic_device() -> str:
    """``cuda`` or ``mps`` where there is one, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def choose_device(name: str) -> torch.device:
    """A device by torch's name, or ``auto``. Raises ArnError where there is none of that name."""
    import torch

    name = automatic_device() if name == "auto" else name
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ArnError(f"device={name}: {str(error).splitlines()[0]}") from error
    return device


def multiplies_bf16(device: torch.device) -> bool:
    """Whether it does so in hardware: emulated, bfloat16 is many times slower than float32."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return False
