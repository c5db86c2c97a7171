"""From ``maps=`` and ``from=`` of a bench to folders of maps, whichever of their forms they have."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from arn.config.compose import read_config
from arn.config.requests import BenchRequest, MapOptions
from arn.config.schema import read
from arn.data.sources import SCENES
from arn.errors import ArnError
from arn.evaluation.map_tree import find_tree
from arn.inference.map_folder import MapFolder, Place

OPTIONS = tuple(one.name for one in fields(MapOptions))
FILE_KEYS = ("datasets", "methods", "checkpoints", "onnx", "maps", "trained_on")
"""What a file of methods may hold, spelled as in conf/bench.yaml."""


def with_found_maps(request: BenchRequest, say: Callable[[str], None]) -> BenchRequest:
    """The request with what its file of methods names, and with every method and data set below ``maps=DIR``.

    Without `datasets` those are scored that maps are given of, else drawn scenes. Raises ArnError for a file or folder
    that is not there or holds none.
    """
    if request.methods_file is not None:
        request = _with_file(request, Path(request.methods_file).expanduser(), say)
    maps, options = _tree_of(request.maps)
    if maps is not None:
        tree = find_tree(Path(maps).expanduser(), request.datasets)
        for line in tree.passed_over:
            say(f"passed over: {line}")
        found = {
            method: {name: {"folder": str(folder), **options} for name, folder in of_method.items()}
            for method, of_method in tree.folders.items()
        }
        request = replace(request, maps=found, datasets=request.datasets or _at_hand(tree.datasets, say))
        request = _without_idle(request, found, maps, say)
    if not request.datasets:
        named = [name for place in request.maps.values() if isinstance(place, Mapping) for name in place]
        named = [name for name in dict.fromkeys(named) if name not in ("folder", *OPTIONS)]
        request = replace(request, datasets=named or [SCENES])
    return request


def _tree_of(maps: Any) -> tuple[str | None, dict[str, Any]]:
    """The folder and the options of ``maps=DIR`` and ``maps={folder: DIR, ...}``; None for maps by name."""
    if isinstance(maps, str):
        return maps, {}
    if isinstance(maps.get("folder"), str):
        options = {key: value for key, value in maps.items() if key != "folder"}
        return maps["folder"], _given(read(MapOptions, options, place="maps."))
    return None, {}


def _given(options: MapOptions) -> dict[str, Any]:
    return {key: value for key, value in asdict(options).items() if value is not None}


def _at_hand(datasets: Sequence[str], say: Callable[[str], None]) -> list[str]:
    """Those of found data sets whose pictures are there. Raises ArnError where none are."""
    from arn.data.layout import find_dataset

    there: list[str] = []
    errors: dict[str, ArnError] = {}
    for name in datasets:
        try:
            find_dataset(name)
            there.append(name)
        except ArnError as error:
            errors[name] = error
    for name, why in errors.items() if there else ():
        say(f"maps of {name} are left out: {str(why).partition('. ')[0]}")
    if not there:
        raise next(iter(errors.values()))
    return there


def _with_file(request: BenchRequest, path: Path, say: Callable[[str], None]) -> BenchRequest:
    """The request with a file's data sets and methods below those of the command line."""
    content = OmegaConf.to_container(read_config(path))
    if not isinstance(content, Mapping) or not content:
        raise ArnError(
            f"{path} names no methods: expected {', '.join(FILE_KEYS)}, as arn bench scan DIR -o FILE writes"
        )
    if unknown := [str(key) for key in content if key not in FILE_KEYS]:
        raise ArnError(
            f"{path}: there is no key {', '.join(unknown)} in a file of methods; there are {', '.join(FILE_KEYS)}"
        )
    given = {key: value for key, value in content.items() if value is not None}
    for key in ("datasets", "methods"):
        given[key] = [given[key]] if isinstance(given.get(key), str) else [str(one) for one in given.get(key) or ()]
    for key in ("checkpoints", "onnx", "maps", "trained_on"):
        if not isinstance(given.setdefault(key, {}), Mapping):
            raise ArnError(f"{path}: {key} takes names: {key}: {{NAME: VALUE}}")
        given[key] = {str(name): value for name, value in given[key].items()}
    if _tree_of(given["maps"])[0] is not None or isinstance(request.maps, str):
        raise ArnError("from= names methods one by one: give maps=DIR without from=, or list it by arn bench scan DIR")
    maps = {name: _below(path.parent, place) for name, place in given["maps"].items()}
    files = {key: {n: _at(path.parent, file) for n, file in given[key].items()} for key in ("checkpoints", "onnx")}
    request = replace(
        request,
        datasets=request.datasets or given["datasets"],
        methods=given["methods"] or None if request.methods is None else request.methods,
        checkpoints=files["checkpoints"] | request.checkpoints,
        onnx=files["onnx"] | request.onnx,
        maps=maps | request.maps,
        trained_on=given["trained_on"] | request.trained_on,
    )
    return _without_idle(request, maps, str(path), say)


def _without_idle(
    request: BenchRequest, maps: Mapping[str, Any], where: str, say: Callable[[str], None]
) -> BenchRequest:
    """The request without those of `maps` that are of none of its data sets, if it names any."""
    asked = [Path(name).name for name in request.datasets]
    idle = [one.name for one in map_folders(maps) if asked and not any(one.has(name) for name in asked)]
    if idle:
        say(f"{where} has no maps of {', '.join(asked)} by {', '.join(idle)}: left out")
    trained_on = {name: value for name, value in request.trained_on.items() if name not in idle}
    kept = {name: place for name, place in request.maps.items() if name not in idle}
    return replace(request, maps=kept, trained_on=trained_on)


def _below(folder: Path, place: Any) -> Any:
    """A place of maps whose relative folders are those beside the file that names them."""
    if isinstance(place, str):
        return str(folder / Path(place).expanduser())
    if isinstance(place, Mapping):
        return {str(key): value if key in OPTIONS else _below(folder, value) for key, value in place.items()}
    return place


def _at(folder: Path, file: Any) -> str:
    """A file beside that which names it; what is not there may be the name of a shipped network."""
    return str(folder / str(file)) if (folder / str(file)).exists() else str(file)


def map_folders(maps: Mapping[str, Any]) -> list[MapFolder]:
    """The methods that ``maps={NAME: ...}`` names. Raises ArnError for an unknown key or a value beyond its limits."""
    return [MapFolder(str(name), _place(place, f"maps.{name}")) for name, place in maps.items()]


def _place(given: Any, key: str) -> Place | dict[str, Place]:
    """``DIR``, ``{folder: DIR, OPTION: VALUE}`` or ``{DATASET: either, OPTION: VALUE}``; options may be of all sets."""
    if isinstance(given, str):
        return Place(given)
    if not isinstance(given, Mapping) or not given:
        raise ArnError(f"{key}={given!r}: expected a folder, {{folder: DIR, ...}} or {{DATASET: DIR}}")
    options = {str(name): value for name, value in given.items() if name in OPTIONS}
    rest = {str(name): value for name, value in given.items() if name not in OPTIONS}
    if "folder" in rest:
        folder = rest.pop("folder")
        if not isinstance(folder, str):
            raise ArnError(f"{key}.folder={folder!r}: must be a folder")
        return Place(folder, **_given(read(MapOptions, options | rest, place=f"{key}.")))
    if not rest:
        raise ArnError(f"{key}: names no folder; say folder: DIR beside {', '.join(options)}")
    for name, value in rest.items():
        close = difflib.get_close_matches(name, ("folder", *OPTIONS), n=1, cutoff=0.75)
        if close and not (isinstance(value, str | Mapping) and Path(str(value)).is_dir()):
            raise ArnError(f"{key}.{name}: there is no such key; did you mean {key}.{close[0]}?")
    of_all = _given(read(MapOptions, options, place=f"{key}."))
    places: dict[str, Place] = {}
    for name, value in rest.items():
        place = _place(
            {"folder": value, **of_all} if isinstance(value, str) else {**of_all, **(value or {})}, f"{key}.{name}"
        )
        if isinstance(place, dict):
            raise ArnError(f"{key}.{name}: names no folder")
        places[name] = place
    return places
