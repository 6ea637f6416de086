"""Machines that a forecast is made for where they are not this one: only what is said of them is known."""

from dataclasses import dataclass

from vidnst.config import RenderConfig
from vidnst.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Farm:
    """Machines that are not this one."""

    gpu_bytes: int | None = None
    """Memory of each GPU; None where it is not known."""


def farm_of(config: RenderConfig, *, gpu_gib: float | None = None) -> Farm | None:
    """The machines to reckon for; None for this one.

    Args:
        config: of it, what it says about the farm: an address means machines elsewhere.
        gpu_gib: memory of each of their GPUs.

    Raises:
        ConfigError: how many workers there are is not said, or GPUs are for nothing.
    """
    farm = config.farm
    if gpu_gib is None and farm.address is None:
        return None
    if farm.workers is None:
        what = (
            f"the cluster at {farm.address} is not asked" if farm.address else "--gpu-memory is of machines elsewhere"
        )
        raise ConfigError(f"{what}, so it is not known how many workers there are", "add --workers N")
    if gpu_gib is not None and farm.device == "cpu":
        raise ConfigError("--gpu-memory is for nothing with farm.device=cpu", "leave one of them out")
    return Farm(None if gpu_gib is None else round(gpu_gib * 2**30))
