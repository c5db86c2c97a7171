"""What lies in the folder of an export: formats, and the networks that came with the package. Nothing imports torch."""

from __future__ import annotations

from pathlib import Path

from arn.errors import ArnError

EXPORT_FORMAT, TTA_FORMAT = 1, 2
"""Versions of what `arn export` writes: with ``tta`` the second, which an ARN that would ignore it refuses."""

SHIPPED = {"arn_lite": "ARN-Lite", "arn": "ARN"}
"""Trained networks that may come with the package, by the name that `arn.load` takes, and what tables call them."""

WEIGHTS, GRAPH = "model.safetensors", "model.onnx"

_PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained"


def shipped() -> dict[str, Path]:
    """The trained networks that came with this installation: name -> export folder."""
    return {name: _PRETRAINED / name for name in SHIPPED if (_PRETRAINED / name / WEIGHTS).is_file()}


def check_format(version: object, origin: str | Path) -> None:
    """Raises ArnError unless this ARN can read what `arn export` wrote under this format version."""
    if str(version) not in (str(EXPORT_FORMAT), str(TTA_FORMAT)):
        raise ArnError(
            f"{origin} is of export format {version}, and this ARN reads {EXPORT_FORMAT} and {TTA_FORMAT}: update ARN"
        )
