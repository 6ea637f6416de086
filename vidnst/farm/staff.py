"""How many workers a render gets, with how many threads each, and hiring them."""

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vidnst.config import FarmConfig
from vidnst.farm.jobs import Pool, Team, WorkerFactory
from vidnst.farm.ray_pool import RayPool, RaySession, default_workers
from vidnst.farm.worker import FlowWorkerFactory, StyleWorkerFactory
from vidnst.plan import Lane

_START_SECONDS = 300.0
_GROWING_SECONDS = 1800.0
"""For workers on hosts that must be started first, and fetch an image."""
_FLOW_PART = 0.1  # of what a stylizing worker would hold of a GPU; flow is some percent of its work


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


def share_gpu(share: float, *, raft: bool) -> tuple[float, float]:
    """Shares of a GPU that a stylizing worker and a flow worker hold.

    Args:
        share: what the two may hold together.
        raft: whether flow needs a GPU at all.

    The flow worker's is taken from the stylizing worker's, and there are never more flow workers, so as many pairs fit
    on a GPU as stylizing workers would alone.
    """
    flow = round(share * _FLOW_PART, 4) if raft else 0.0  # Ray counts in ten thousandths
    return round(share - flow, 4) if raft else share, flow


def local_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def hire(
    factory: StyleWorkerFactory,
    *,
    width: int,
    threads: int | None,
    raft: Mapping[str, NDArray[np.float32]] | None = None,
    verbose: bool = False,
) -> Iterator[tuple[Pool, Staff]]:
    """Workers for a render, until the block is left.

    Args:
        factory: makes stylizing workers; its configuration says the rest.
        width: how many nodes of the plan can run at once.
        threads: of an earlier run of the same render, if there was one.
        raft: RAFT's weights by name, where flow is found with it.
        verbose: whether the workers' output is shown.

    Raises:
        FarmError: the workers cannot be had.
    """
    farm = factory.config.farm
    flow = FlowWorkerFactory(factory.config.motion, raft, farm.device)
    if farm.executor == "inline" or factory.features is None:  # passing frames through is not worth a process
        from vidnst.farm.inline import InlinePool
        from vidnst.farm.worker import pick_device

        gpu = pick_device(farm.device).type == "cuda"
        staff = choose_staff(farm, width=width, cores=local_cores(), gpus=float(gpu), threads=threads)
        teams: dict[Lane, tuple[WorkerFactory, int]]
        teams = {
            Lane.STYLE: (replace(factory, threads=staff.threads), staff.style),
            Lane.FLOW: (replace(flow, threads=staff.threads), staff.flow),
        }
        with closing(InlinePool(teams)) as pool:
            yield pool, staff
        return
    wanted = (farm.workers or 1) * (farm.threads or threads or 1)
    with RaySession(address=farm.address, cpus=wanted, verbose=verbose) as session:
        gpus = 0.0 if farm.device == "cpu" else session.gpus
        grows = farm.grows and session.joined
        if grows and farm.device == "cuda":  # there may be none yet
            gpus = max(gpus, 1.0)
        cores = int(session.cpus) if session.joined else local_cores()
        staff = choose_staff(farm, width=width, cores=cores, gpus=gpus, threads=threads)
        share = farm.gpus_per_worker if gpus or farm.device == "cuda" else 0.0
        of_style, of_flow = share_gpu(share, raft=raft is not None)
        cpus = float(staff.threads or 1)
        # Stylizing workers first: placed before them, flow workers could crowd one GPU and leave no room there.
        crews = {
            Lane.STYLE: Team(replace(factory, threads=staff.threads), staff.style, cpus=cpus, gpus=of_style),
            Lane.FLOW: Team(replace(flow, threads=staff.threads), staff.flow, cpus=0, gpus=of_flow),
        }
        seconds = _GROWING_SECONDS if grows else _START_SECONDS
        with closing(RayPool(session, crews, start_timeout_seconds=seconds, grows=grows)) as ray_pool:
            yield ray_pool, staff
