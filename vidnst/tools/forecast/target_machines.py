"""The machines that a forecast is for, and the workers that a render would start there."""

from dataclasses import dataclass

from vidnst.config import RenderConfig
from vidnst.devices.gpus import has_usable_gpu
from vidnst.errors import ConfigError
from vidnst.farm.provisioning import WorkerCounts, choose_worker_counts
from vidnst.farm.workers import gpu_memory_sizes, pick_device
from vidnst.processes.parallel import local_cores
from vidnst.tools.forecast.render_plan import RenderPlan


@dataclass(frozen=True, slots=True)
class TargetMachines:
    """Machines other than this one, of which only what the user describes is known."""

    gpu_bytes: int | None = None
    """Memory of each GPU; None if it is not known."""


def parse_target(config: RenderConfig, *, gpu_gib: float | None = None) -> TargetMachines | None:
    """The machines that the settings describe; None for this one.

    Args:
        config: `farm.address` means other machines.
        gpu_gib: memory of each of their GPUs.

    Raises:
        ConfigError: the number of workers is not given, or GPUs are described but not used.
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
        raise ConfigError("--gpu-memory has no effect with farm.device=cpu", "leave one of them out")
    return TargetMachines(None if gpu_gib is None else round(gpu_gib * 2**30))


def count_workers(plan: RenderPlan, target: TargetMachines | None) -> WorkerCounts:
    """Number of workers that a render would start on the target machines, or here."""
    farm = plan.checked.config.farm
    if target is not None:
        count, threads = farm.workers or 1, farm.threads or 1
        gpus = 0.0 if farm.device == "cpu" else float(count)
        return choose_worker_counts(farm, width=plan.concurrency, cores=count * threads, gpus=gpus, threads=threads)
    gpus = 0.0
    if plan.checked.config.stylizes and pick_device(farm.device).type == "cuda":
        gpus = 1.0 if farm.executor == "inline" else float(len(gpu_memory_sizes()))
    return choose_worker_counts(farm, width=plan.concurrency, cores=local_cores(), gpus=gpus)


def like_local_workers(workers: WorkerCounts, config: RenderConfig) -> bool:
    """True if a worker here would use the same kind of device, so that timing one here says something."""
    on_gpus = workers.threads is None
    return has_usable_gpu() if on_gpus else pick_device(config.farm.device).type == "cpu"
