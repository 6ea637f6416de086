"""How many workers a render gets, with how many threads each, and hiring them."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from vidnst.config import FarmConfig
from vidnst.farm.jobs import Pool, Team, WorkerFactory
from vidnst.farm.ray_pool import RayPool, RaySession, default_workers
from vidnst.farm.worker import FlowWorkerFactory, StyleWorkerFactory
from vidnst.plan import Lane


@dataclass(frozen=True, slots=True)
class Staff:
    """Workers to start."""

    style: int
    """Stylizing workers."""
    flow: int
    """Flow workers."""
    threads: int | None
    """Threads of each stylizing worker on a CPU; None on a GPU."""


def choose_staff(farm: FarmConfig, *, width: int, cores: int, gpus: float, threads: int | None = None) -> Staff:
    """The staff that suits a plan and the machines.

    Args:
        farm: what the user decided; what they left open is chosen here.
        width: how many nodes of the plan can run at once.
        cores: CPU cores that there are.
        gpus: GPUs that there are; 0 where rendering is on CPUs.
        threads: threads of each worker that an earlier run of the same render had. They win, since the rounding of
            sums depends on them.

    On a CPU several workers of few threads do more than one of many, so there are as many as the plan can use; what
    is left of the cores becomes threads.
    """
    if gpus:
        style = farm.workers or max(1, default_workers(gpus=gpus, gpus_per_worker=farm.gpus_per_worker))
        return Staff(style, max(1, min(style, cores)), None)
    threads = threads or farm.threads
    style = farm.workers or max(1, min(width, cores // (threads or 1)))
    return Staff(style, max(1, min(style, cores // 2)), threads or max(1, cores // style))


def local_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def hire(
    factory: StyleWorkerFactory, *, width: int, threads: int | None, verbose: bool = False
) -> Iterator[tuple[Pool, Staff]]:
    """Workers for a render, until the block is left.

    Args:
        factory: makes stylizing workers; its configuration says the rest.
        width: how many nodes of the plan can run at once.
        threads: of an earlier run of the same render, if there was one.
        verbose: whether the workers' output is shown.

    Raises:
        FarmError: the workers cannot be had.
    """
    farm = factory.config.farm
    flow = FlowWorkerFactory(factory.config.motion)
    if farm.executor == "inline" or factory.features is None:  # passing frames through is not worth a process
        from vidnst.farm.inline import InlinePool
        from vidnst.farm.worker import pick_device

        gpu = pick_device(farm.device).type == "cuda"
        staff = choose_staff(farm, width=width, cores=local_cores(), gpus=float(gpu), threads=threads)
        teams: dict[Lane, tuple[WorkerFactory, int]]
        teams = {Lane.STYLE: (replace(factory, threads=staff.threads), staff.style), Lane.FLOW: (flow, staff.flow)}
        with closing(InlinePool(teams)) as pool:
            yield pool, staff
        return
    wanted = (farm.workers or 1) * (farm.threads or threads or 1)
    with RaySession(address=farm.address, cpus=wanted, verbose=verbose) as session:
        gpus = 0.0 if farm.device == "cpu" else session.gpus
        cores = int(session.cpus) if session.joined else local_cores()
        staff = choose_staff(farm, width=width, cores=cores, gpus=gpus, threads=threads)
        share = farm.gpus_per_worker if gpus or farm.device == "cuda" else 0.0
        style = Team(replace(factory, threads=staff.threads), staff.style, cpus=float(staff.threads or 1), gpus=share)
        with closing(RayPool(session, {Lane.STYLE: style, Lane.FLOW: Team(flow, staff.flow, cpus=0)})) as ray_pool:
            yield ray_pool, staff
