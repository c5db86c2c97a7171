"""The seeds of the fuzzing: small real files of every format that is read."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save


def _small(data_dir: Path, kind: str) -> Image.Image:
    """A real picture or mask, 96 px wide; every mutation of a large one would take longer and find no more."""
    path = sorted((data_dir / "ECSSD" / kind).iterdir())[3]
    with Image.open(path) as image:
        return image.convert("RGB" if kind == "images" else "L").resize((96, 72))


@pytest.fixture(scope="session")
def picture_seeds(data_dir):
    picture, mask = _small(data_dir, "images"), _small(data_dir, "masks")
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "turned"
    kinds = [
        *[(picture, "JPEG", options) for options in ({}, {"progressive": True}, {"exif": exif}, {"subsampling": 0})],
        *[(mask, "PNG", {}), (mask.convert("1"), "PNG", {}), (picture, "PNG", {}), (picture.convert("P"), "PNG", {})],
        *[(picture.convert("RGBA"), "PNG", {}), (picture, "PNG", {"exif": exif}), (mask, "JPEG", {})],
        *[(picture, "WEBP", {}), (picture, "WEBP", {"lossless": True}), (picture, "BMP", {}), (picture, "GIF", {})],
        *[(picture, "TIFF", {"compression": one}) for one in (None, "tiff_lzw", "jpeg", "tiff_deflate")],
        *[(picture, "PPM", {}), (mask, "PPM", {}), (mask.convert("1"), "PPM", {}), (picture, "AVIF", {})],
        *[(picture.convert("CMYK"), "JPEG", {}), (picture, "JPEG2000", {}), (mask, "TIFF", {"compression": "group4"})],
    ]
    seeds = [(data_dir / "SOD" / "maps" / "DSS").glob("*.png").__next__().read_bytes()]
    for image, kind, options in kinds:
        file = io.BytesIO()
        (image.convert("1") if options.get("compression") == "group4" else image).save(file, kind, **options)
        seeds.append(file.getvalue())
    wide = io.BytesIO()
    Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 20).save(wide, "PNG")
    return [*seeds, wide.getvalue()]


NETWORK = {
    "_target_": "arn.networks.ARN",
    "backbone": "timm:test_resnet",
    "strides": [4, 8],
    "input_size": 32,
    "rcl": {"channels": 4},
    "decoder": {"channels": [4]},
}


@pytest.fixture(scope="session")
def weights_seeds():
    """By file name, of the smallest network that there is."""
    from arn.networks import ARN

    torch.manual_seed(0)
    network = ARN(**{key: value for key, value in NETWORK.items() if key != "_target_"})
    config = {"name": "small", "network": NETWORK, "tta": "none", "data": {"train": ["X"], "test": ["Y"]}}
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    checkpoint = io.BytesIO()
    torch.save({"arn_config": config, "state_dict": state, "epoch": 1}, checkpoint)
    return {
        "best.ckpt": checkpoint.getvalue(),
        "model.safetensors": save(network.state_dict()),
        "config.json": json.dumps({"format": 1, "trained_on": ["X"], **config}).encode(),
    }


@pytest.fixture(scope="session")
def onnx_seed():
    """A file that is one mean and a sigmoid."""
    onnx = pytest.importorskip("onnx")
    kind, helper = onnx.TensorProto.FLOAT, onnx.helper
    nodes = [
        helper.make_node("ReduceMean", ["pictures", "axes"], ["mean"], keepdims=1),
        helper.make_node("Sigmoid", ["mean"], ["maps"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("pictures", kind, ["batch", 3, 16, 16])],
        [helper.make_tensor_value_info("maps", kind, ["batch", 1, 16, 16])],
        [helper.make_tensor("axes", onnx.TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"arn.format": "1", "arn.name": "small", "arn.parameters": "12"})
    return model.SerializeToString()


@pytest.fixture(scope="session")
def archive_seeds(picture_seeds):
    seeds = []
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for number in range(3):
                archive.writestr(f"images/{number}.jpg", picture_seeds[1])
                archive.writestr(f"masks/{number}.png", picture_seeds[0])
        seeds.append(file.getvalue())
    return seeds
