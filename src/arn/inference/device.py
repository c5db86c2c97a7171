"""What a network runs on, and in which precision."""

from __future__ import annotations

import torch

from arn.errors import ArnError


def choose_device(name: str = "auto") -> torch.device:
    """``auto``: CUDA where there is any, else Apple's MPS, else the CPU; or a device by torch's name, as ``cuda:1``.

    Raises:
        ArnError: torch knows no such device, or this machine has none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ArnError(f"device={name}: {str(error).splitlines()[0]}") from error
    return device


def describe_device(device: torch.device) -> str:
    """As tables say it: ``NVIDIA H100`` or ``CPU, 2 threads``."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"CPU, {torch.get_num_threads()} threads" if device.type == "cpu" else device.type.upper()
