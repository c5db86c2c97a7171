"""Former spellings of keys, for the runs, exports and command lines that have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, open_dict

from arn.config.schema import to_plain
from arn.errors import ArnError

RENAMED = {
    "train": ("network.levels", "network.attention.stages"),
    "predict": ("mirror",),
    "export": ("mirror",),
}
"""Keys that conf/ has no more, by verb. A command line may still give them: Hydra refuses a key that is not there, so
they are added, and :func:`upgrade_composed` puts their meaning where it belongs."""


def upgrade_network(config: Mapping[str, Any]) -> dict[str, Any]:
    """A network's config in the present spelling, which only ARN's options have not always had.

    ``levels`` and ``attention.stages`` counted the halvings of a backbone's taps, from one for VGG16's first block and
    from zero for `timm`: they are strides now, 2^(level - 1) and 2^level. ``mirror`` is no option of the network any
    more but test-time augmentation, see :func:`stored_tta`: it is left out.
    """
    if config.get("_target_") not in ("arn.networks.ARN", "arn.networks.arn.ARN"):
        return dict(config)
    offset = 1 if config.get("backbone", "vgg16") == "vgg16" else 0

    def strides(levels: Any) -> Any:
        whole = isinstance(levels, list | tuple) and all(
            isinstance(level, int) and offset <= level <= 30 for level in levels
        )
        return [2 ** (level - offset) for level in levels] if whole else levels

    options = {key: value for key, value in config.items() if key not in ("levels", "mirror")}
    if "levels" in config:
        options["strides"] = strides(config["levels"]) or options.get("strides")
    attention = config.get("attention")
    if isinstance(attention, Mapping) and "stages" in attention:
        kept = {key: value for key, value in attention.items() if key not in ("stages", "strides")}
        options["attention"] = {**kept, "strides": strides(attention["stages"])}
    return options


def upgrade_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a run or an export in the present spelling."""
    network = config.get("network")
    return {**config, "network": upgrade_network(network)} if isinstance(network, Mapping) else dict(config)


def stored_tta(config: Mapping[str, Any]) -> str:
    """The test-time augmentation that the config of a run or an export, however spelled, asks for: ``flip | none``."""
    return str(config.get("tta") or ("flip" if (config.get("network") or {}).get("mirror") else "none"))


def accept_renamed(verb: str, arguments: Sequence[str]) -> list[str]:
    """A command line whose former keys Hydra takes as additions. Raises ArnError for one that has gone."""
    if any(argument.lstrip("+").partition("=")[0] == "network.mirror" for argument in arguments):
        raise ArnError("network.mirror is test-time augmentation now: tta=flip of arn predict, arn export and arn.load")
    names = RENAMED.get("train" if verb == "sweep" else verb, ())
    return [f"+{argument}" if argument.partition("=")[0] in names else argument for argument in arguments]


def upgrade_composed(verb: str, config: DictConfig) -> None:
    """Move the values of former keys to the present ones, in place. Raises ArnError for a wrong one."""
    with open_dict(config):
        if "mirror" in RENAMED.get(verb, ()) and "mirror" in config:
            mirror = config.pop("mirror")
            if not isinstance(mirror, bool | None):
                raise ArnError(f"mirror must be true or false, not {mirror!r}; it is spelled tta=flip or tta=none now")
            if mirror is not None:
                config.tta = "flip" if mirror else "none"
        network = config.get("network")
        if not isinstance(network, DictConfig):
            return
        attention = network.get("attention")
        if "levels" in network or (isinstance(attention, DictConfig) and "stages" in attention):
            config.network = upgrade_network(to_plain(network))


def one_as_list(config: DictConfig) -> None:
    """One name as it is for a list of one, in place: ``data.test=SOD``. What a run records is always the list."""
    data = config.get("data")
    for key in ("train", "test") if isinstance(data, DictConfig) else ():
        if isinstance(data.get(key), str):
            data[key] = [data[key]]
