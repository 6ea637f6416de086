"""Settings of trainings, changed from the command line."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import TypeVar

from vidnst.errors import ConfigError
from vidnst.style.distill.distillation import DistillSettings
from vidnst.style.transform.pretraining import PretrainSettings

AnySettings = TypeVar("AnySettings", DistillSettings, PretrainSettings)


def with_assignments(settings: AnySettings, assignments: Iterable[str]) -> AnySettings:
    """Return settings changed by texts like `rate=0.001`.

    Raises:
        ConfigError: an unknown name, or an invalid value.
    """
    kinds = {name: type(value) for name, value in asdict(settings).items()}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        if name not in kinds:
            raise ConfigError(f"there is no training setting {name!r}", f"use one of {', '.join(kinds)}")
        try:
            settings = replace(settings, **{name: kinds[name](text)})
        except ValueError as error:
            raise ConfigError(f"--set {assignment!r} is not a number", f"write {name}=1, for example") from error
    return settings
