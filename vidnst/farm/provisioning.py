"""How many workers a render gets, with how many threads each, and hiring them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vidnst.config import FarmConfig
from vidnst.farm.jobs import SharingPool, WorkerFactory, WorkerGroup
from vidnst.farm.memory_fallback import FLOW_PART
from vidnst.farm.multi_style_worker import SkippingWorkerFactory
from vidnst.farm.plan import Lane
from vidnst.farm.ray.actor_pool import RayPool, default_workers
from vidnst.farm.ray.connection import RaySession
from vidnst.farm.workers import FlowWorkerFactory, StyleWorkerFactory
from vidnst.parallel import local_cores

Crews: TypeAlias = tuple[WorkerFactory, WorkerFactory]
"""What makes stylizing workers, and what makes flow workers."""

_START_SECONDS = 300.0
_GROWING_SECONDS = 1800.0
"""For workers on hosts that must be started first, and fetch an image."""


@dataclass(frozen=True, slots=True)
class WorkerCounts:
    """Workers to start."""

    style: int
    """Stylizing workers."""
    flow: int
    """Flow workers."""
    threads: int | None
    """Threads of each stylizing worker on a CPU; None on a GPU."""


def choose_worker_counts(
    farm: FarmConfig, *, width: int, cores: int, gpus: float, threads: int | None = None
) -> WorkerCounts:
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
        return WorkerCounts(style, max(1, min(style, cores)), None)
    threads = threads or farm.threads
    style = farm.workers or max(1, min(width, cores // (threads or 1)))
    return WorkerCounts(style, max(1, min(style, cores // 2)), threads or max(1, cores // style))


def share_gpu(share: float, *, raft: bool) -> tuple[float, float]:
    """Shares of a GPU that a stylizing worker and a flow worker hold.

    Args:
        share: what the two may hold together.
        raft: whether flow needs a GPU at all.

    The flow worker's is taken from the stylizing worker's, and there are never more flow workers, so as many pairs fit
    on a GPU as stylizing workers would alone.
    """
    flow = round(share * FLOW_PART, 4) if raft else 0.0  # Ray counts in ten thousandths
    return round(share - flow, 4) if raft else share, flow


def _hands(gpu: bool) -> int:
    """A GPU would stand still while a frame goes and another comes. On a CPU that is little beside painting, and each
    thread that paints keeps working memory of its own."""
    return 2 if gpu else 1


@contextmanager
def hire(
    factory: StyleWorkerFactory,
    *,
    width: int,
    threads: int | None,
    raft: Mapping[str, NDArray[np.float32]] | None = None,
    verbose: bool = False,
) -> Iterator[tuple[SharingPool, WorkerCounts]]:
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
    inline = factory.features is None  # passing frames through is not worth a process

    def crews(staff: WorkerCounts) -> Crews:
        makers = (replace(factory, threads=staff.threads), replace(flow, threads=staff.threads))
        return SkippingWorkerFactory(makers[0]), SkippingWorkerFactory(makers[1])

    with start_workers(
        farm, crews, width=width, threads=threads, raft=raft is not None, inline=inline, verbose=verbose
    ) as found:
        yield found


@contextmanager
def start_workers(
    farm: FarmConfig,
    crews: Callable[[WorkerCounts], Crews],
    *,
    width: int,
    threads: int | None = None,
    raft: bool = False,
    inline: bool = False,
    verbose: bool = False,
) -> Iterator[tuple[SharingPool, WorkerCounts]]:
    """Workers until the block is left.

    Args:
        farm: what the user decided.
        crews: what makes stylizing and flow workers, once their number is known.
        raft: whether flow workers need a share of the GPU.
        inline: whether to take threads of this process in any case.
        width, threads, verbose: as for `hire`.

    Raises:
        FarmError: the workers cannot be had.
    """
    if inline or farm.executor == "inline":
        from vidnst.farm.thread_pool import InlinePool
        from vidnst.farm.workers import pick_device

        gpu = pick_device(farm.device).type == "cuda"
        staff = choose_worker_counts(farm, width=width, cores=local_cores(), gpus=float(gpu), threads=threads)
        style, flow = crews(staff)
        inline_teams = {
            Lane.STYLE: WorkerGroup(style, staff.style, concurrency=_hands(gpu)),
            Lane.FLOW: WorkerGroup(flow, staff.flow),
        }
        with closing(InlinePool(inline_teams)) as pool:
            yield pool, staff
        return
    wanted = (farm.workers or 1) * (farm.threads or threads or 1)
    with RaySession(address=farm.address, cpus=wanted, verbose=verbose) as session:
        gpus = 0.0 if farm.device == "cpu" else session.gpus
        grows = farm.grows and session.joined
        if grows and farm.device == "cuda":  # there may be none yet
            gpus = max(gpus, 1.0)
        cores = int(session.cpus) if session.joined else local_cores()
        staff = choose_worker_counts(farm, width=width, cores=cores, gpus=gpus, threads=threads)
        share = farm.gpus_per_worker if gpus or farm.device == "cuda" else 0.0
        of_style, of_flow = share_gpu(share, raft=raft)
        style, flow = crews(staff)
        # Stylizing workers first: placed before them, flow workers could crowd one GPU and leave no room there.
        teams = {
            Lane.STYLE: WorkerGroup(style, staff.style, float(staff.threads or 1), of_style, _hands(of_style > 0)),
            Lane.FLOW: WorkerGroup(flow, staff.flow, cpus=0, gpus=of_flow),
        }
        seconds = _GROWING_SECONDS if grows else _START_SECONDS
        with closing(RayPool(session, teams, start_timeout_seconds=seconds, grows=grows)) as ray_pool:
            yield ray_pool, staff
