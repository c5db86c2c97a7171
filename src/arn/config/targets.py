"""What a config may build, name by name: a config, checkpoint or export is data, perhaps a stranger's."""

from __future__ import annotations


def _of(package: str, names: str) -> tuple[str, ...]:
    return tuple(f"{package}.{name}" for name in names.split())


_LIGHTNING = "pytorch_lightning"

TARGETS: dict[str, tuple[str, ...]] = {
    "network": _of("arn.networks", "ARN Amulet DHSNet KSRApprox NLDF SRM UCF"),
    "loss": _of("arn.training.losses", "SaliencyLoss"),
    "optimizer": _of("torch.optim", "ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax NAdam RAdam RMSprop Rprop SGD"),
    "data": _of("arn.data.datamodule", "SaliencyDataModule"),
    "callbacks": (
        *_of("arn.training.averaging", "ExponentialAverage StochasticAverage"),
        *_of("arn.training.callbacks", "ResourceMonitor"),
        *_of(
            f"{_LIGHTNING}.callbacks",
            "DeviceStatsMonitor EarlyStopping GradientAccumulationScheduler LearningRateMonitor ModelSummary "
            "RichModelSummary StochasticWeightAveraging Timer",
        ),
    ),
    "logger": _of(f"{_LIGHTNING}.loggers", "CSVLogger CometLogger MLFlowLogger TensorBoardLogger WandbLogger"),
    "profiler": _of(f"{_LIGHTNING}.profilers", "AdvancedProfiler PyTorchProfiler SimpleProfiler"),
    "launcher": _of("arn.multirun.launchers", "Local Slurm"),
}
"""By group of conf/. Whoever adds a class to a group adds its name here; of somebody else's there is ``plugins=``."""

PARTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("arn.networks.KSRApprox", "proposals"): ("arn.classical.proposals.Proposals",),
}
"""Arguments that are objects themselves, by class and name. Every other one is a value, in which nothing is built."""

CLOSED: dict[str, tuple[str, ...]] = {
    f"{_LIGHTNING}.loggers.WandbLogger": ("settings", "experiment"),
    f"{_LIGHTNING}.loggers.MLFlowLogger": ("experiment",),
    f"{_LIGHTNING}.loggers.CometLogger": ("experiment_config",),
}
"""Arguments that no config gives: ``settings`` would choose W&B's server, which is then sent the key of the account."""
