"""Pictures as people have them in Python, and maps and cutouts in the same kind: :func:`saliency`, :func:`cutout`.

A picture is a path, the ``bytes`` of a file, an image of PIL, an array of NumPy (gray H x W, RGB H x W x 3,
RGBA H x W x 4; uint8, uint16, bool, or float in 0..1) or a tensor of torch (1, 3 or 4 x H x W; uint8, or float in
0..1). Its map and its cutout come back as

- a path: arrays, float32 H x W in 0..1 and uint8 RGBA H x W x 4;
- ``bytes``: the bytes of a PNG;
- PIL: images of mode L and RGBA;
- an array: as for a path;
- a tensor: float32 H x W, and 4 x H x W of the tensor's own kind; both on its device.

A list or a tuple gives a list; a batch, B x ..., a batch; any other iterable a generator, whose pictures are made in
batches as they are asked for. On a ground (``background=``) a cutout is RGB, with three channels.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps

from arn.data.images import Picture, read_photo, read_picture, upper_bits
from arn.inference.methods import Map, Method
from arn.inference.pipeline import batches
from arn.inference.render import Image, Style, encode, parse_ground, render

if TYPE_CHECKING:
    import torch

Form = Callable[[Image | Map], Any]
"""Turns a map (float32) or an image (uint8) into the kind that the picture came in."""


Same = TypeVar("Same", bytes, PillowImage.Image, NDArray[Any], "torch.Tensor")
"""Comes back as it was given."""


Network = str | os.PathLike[str] | Method


@overload
def saliency(pictures: Same, network: Network = ..., device: str = ...) -> Same: ...
@overload
def saliency(pictures: str | os.PathLike[str], network: Network = ..., device: str = ...) -> NDArray[Any]: ...
@overload
def saliency(pictures: list[Any] | tuple[Any, ...], network: Network = ..., device: str = ...) -> list[Any]: ...
@overload
def saliency(pictures: Iterable[Any], network: Network = ..., device: str = ...) -> Any: ...
def saliency(pictures: Any, network: Network = "arn_lite", device: str = "cpu") -> Any:
    """The map of a picture, or of each of many; what kinds there are and what comes back: see this module.

    >>> arn.saliency("dog.jpg").shape          # a path, an array, an image, a tensor, bytes
    (400, 300)

    Args:
        pictures: one picture, a list or generator of pictures, or a batch of them.
        network: as :func:`arn.load` takes it, or what it returned. One that was named is loaded once a process.
        device: of torch, or ``auto``; of a named network.

    Raises ArnError naming a file that cannot be read; TypeError and ValueError that say what was given.
    """
    return of_anything(_method(network, device), pictures, lambda picture, found: found)


@overload
def cutout(
    pictures: Same,
    network: Network = ...,
    device: str = ...,
    *,
    background: Any = ...,
    crop: bool = ...,
    margin: float = ...,
) -> Same: ...
@overload
def cutout(
    pictures: str | os.PathLike[str],
    network: Network = ...,
    device: str = ...,
    *,
    background: Any = ...,
    crop: bool = ...,
    margin: float = ...,
) -> NDArray[Any]: ...
@overload
def cutout(
    pictures: list[Any] | tuple[Any, ...],
    network: Network = ...,
    device: str = ...,
    *,
    background: Any = ...,
    crop: bool = ...,
    margin: float = ...,
) -> list[Any]: ...
@overload
def cutout(
    pictures: Iterable[Any],
    network: Network = ...,
    device: str = ...,
    *,
    background: Any = ...,
    crop: bool = ...,
    margin: float = ...,
) -> Any: ...
def cutout(
    pictures: Any,
    network: Network = "arn_lite",
    device: str = "cpu",
    *,
    background: Any = None,
    crop: bool = False,
    margin: float = 0.05,
) -> Any:
    """The object of a picture, or of each of many, with transparency around it, in the kind that was given.

    >>> arn.cutout(PIL.Image.open("dog.jpg")).save("dog.png")

    Args:
        pictures: as for :func:`saliency`, which says the rest.
        background: in place of transparency: a colour (``white``, ``#1a2b3c``, three numbers in 0..255), ``blur``, the
            picture's own ground out of focus, or another picture.
        crop: to the object.
        margin: around it, as a share of the longer side of its box.
    """
    ground = _ground(background)
    style = Style("cutout", ground, margin if crop else None)
    return of_anything(_method(network, device), pictures, lambda picture, found: render(picture, found, style))


def of_anything(
    method: Method, given: Any, make: Callable[[Picture, Map], Image | Map], batch_size: int | None = None
) -> Any:
    """What `make` makes of each picture and its map, in the kind that the picture was given in."""
    size = batch_size or method.batch_size
    if _is_single(given):
        picture, form = as_picture(given)
        return form(make(picture, method.maps([picture])[0]))
    if _is_batch(given):
        made = list(_each(method, given, make, size))
        if isinstance(given, np.ndarray):
            return np.stack(made)
        import torch

        return torch.stack(made)
    if isinstance(given, list | tuple):
        return list(_each(method, given, make, size))
    if isinstance(given, Iterable) and not isinstance(given, dict | set | frozenset):
        return _each(method, given, make, size)
    raise TypeError(f"a picture is a path, bytes, a PIL image, a NumPy array or a torch tensor, not {_named(given)}")


def _each(
    method: Method, pictures: Iterable[Any], make: Callable[[Picture, Map], Image | Map], size: int
) -> Iterator[Any]:
    for batch in batches(map(as_picture, pictures), size):
        maps = method.maps([picture for picture, _ in batch])
        for (picture, form), found in zip(batch, maps, strict=True):
            yield form(make(picture, found))


def as_picture(given: Any) -> tuple[Picture, Form]:
    """One picture as uint8 RGB H x W x 3, transparency over white, and what turns its map or cutout into its kind.

    Raises TypeError and ValueError that say what was given; ArnError for a file.
    """
    if isinstance(given, str | os.PathLike):
        return read_picture(Path(given)), lambda made: made
    if isinstance(given, bytes | bytearray | memoryview):
        picture, profile = read_photo(Path("the picture in memory"), bytes(given))
        return picture, lambda made: encode(_as_image(made), ".png", profile=profile)
    if isinstance(given, PillowImage.Image):
        return _of_pillow(given), functools.partial(_to_pillow, given)
    if isinstance(given, np.ndarray):
        return _of_array(given), lambda made: made
    if _is_tensor(given):
        return _of_tensor(given)
    raise TypeError(f"a picture is a path, bytes, a PIL image, a NumPy array or a torch tensor, not {_named(given)}")


def _of_pillow(image: PillowImage.Image) -> Picture:
    image = ImageOps.exif_transpose(image)
    if image.mode == "I":  # 32 bits, in which some programs keep 16
        wide = np.asarray(image)
        if not 0 <= wide.min() <= wide.max() <= 65535:
            raise ValueError(f"an image of mode I holds 16 bits, 0..65535, not {wide.min()}..{wide.max()}")
        return _of_array(upper_bits(wide))
    if image.mode in ("F", "I;16", "I;16B", "I;16L"):
        return _of_array(np.asarray(image))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = PillowImage.alpha_composite(PillowImage.new("RGBA", layer.size, "white"), layer)
    return np.array(image.convert("RGB"))


def _to_pillow(given: PillowImage.Image, made: Image | Map) -> PillowImage.Image:
    image = PillowImage.fromarray(_as_image(made))
    if made.ndim == 3 and given.mode in ("RGB", "RGBA", "RGBX", "P") and "icc_profile" in given.info:
        image.info["icc_profile"] = given.info["icc_profile"]  # PIL saves it with the colours that it is of
    return image


def _of_array(array: NDArray[Any]) -> Picture:
    shape = array.shape
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in shape:
        raise ValueError(
            f"an array is H x W, H x W x 3 (RGB) or H x W x 4 (RGBA), not {' x '.join(map(str, shape))}; of a tensor "
            "of torch the channels come first"
        )
    values = _eight_bits(array)
    if values.shape[2] == 4:
        share = values[:, :, 3:].astype(np.uint16)
        values = ((values[:, :, :3] * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values)


def _eight_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return upper_bits(array)
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # NaN fails this as well
            raise ValueError(f"values of type float are within 0..1, not {low:g}..{high:g}; divide 0..255 by 255")
        return np.rint(array.astype(np.float32) * 255).astype(np.uint8)
    raise ValueError(f"values are uint8, uint16, bool or float, not {array.dtype}")


def _of_tensor(tensor: torch.Tensor) -> tuple[Picture, Form]:
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3, 4):
        raise ValueError(
            "a tensor is 3 x H x W (RGB), 4 x H x W (RGBA) or 1 x H x W (gray), not "
            f"{' x '.join(map(str, tensor.shape))}"
        )
    device, as_float = tensor.device, tensor.is_floating_point()
    values = (tensor.float() if as_float else tensor).detach().cpu().permute(1, 2, 0).numpy()

    def form(made: Image | Map) -> torch.Tensor:
        import torch

        found = torch.from_numpy(np.ascontiguousarray(made))
        if made.ndim == 2:
            return found.to(device)
        found = found.permute(2, 0, 1)
        return (found.float() / 255 if as_float else found).contiguous().to(device)

    return _of_array(values), form


def _as_image(made: Image | Map) -> Image:
    return cast(Image, made) if made.dtype == np.uint8 else np.rint(made * np.float32(255)).astype(np.uint8)


def _is_single(given: Any) -> bool:
    if isinstance(given, str | os.PathLike | bytes | bytearray | memoryview | PillowImage.Image):
        return True
    return (isinstance(given, np.ndarray) or _is_tensor(given)) and given.ndim != 4


def _is_batch(given: Any) -> bool:
    return (isinstance(given, np.ndarray) or _is_tensor(given)) and given.ndim == 4 and len(given) > 0


def _is_tensor(given: Any) -> bool:
    """Without importing torch for it: who has a tensor has torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(given, torch.Tensor)


def _named(given: Any) -> str:
    kind = type(given)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return f"{name} {given!r}" if isinstance(given, int | float) or given is None else name


def _ground(background: Any) -> Any:
    if background is None:
        return None
    if isinstance(background, str):
        return read_picture(Path(background)) if Path(background).is_file() else parse_ground(background)
    if isinstance(background, tuple | list) and len(background) == 3 and all(isinstance(v, int) for v in background):
        red, green, blue = background
        if not all(0 <= value <= 255 for value in background):
            raise ValueError(f"background={background}: a colour is three numbers in 0..255")
        return red, green, blue
    return as_picture(background)[0]


_loading = threading.Lock()


def _method(network: Network, device: str) -> Method:
    if not isinstance(network, str | os.PathLike):
        return network
    with _loading:  # else two threads load it twice
        return _loaded(os.fspath(network), device)


@functools.lru_cache(maxsize=4)
def _loaded(network: str, device: str) -> Method:
    from arn.inference.loading import load

    return cast(Method, load(network, device))
