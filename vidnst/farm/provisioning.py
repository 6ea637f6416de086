"""Choose the number of workers and their threads, and start them. Imports torch only where this process paints."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from vidnst.config import FarmConfig
from vidnst.farm.jobs import SharingPool, WorkerGroup
from vidnst.farm.local_gpus import check_gpus, mixed_kinds_note
from vidnst.farm.multi_style_worker import MultiStyleWorker
from vidnst.farm.plan import Lane
from vidnst.farm.ray.actor_pool import RayPool, default_workers
from vidnst.farm.ray.connection import RaySession
from vidnst.farm.thread_pool import InlinePool
from vidnst.processes.parallel import local_cores

_START_SECONDS = 300.0
"""Time within which all workers together must start."""
_GROWING_START_SECONDS = 1800.0
"""The same on a cluster that grows: hosts must be started first, and fetch an image."""

_MOST_HANDS = 10
"""Most jobs that a worker has in work on a GPU: blending a start may take eight times as long as painting."""
_LEAST_HANDS = 3
"""One frame is painted, one comes and one leaves."""

_STYLE_MODULE = "vidnst.farm.workers"
"""Has what stylizing workers are made of, and brings torch."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerCounts:
    """The number of workers of each kind."""

    style: int
    flow: int
    threads: int | None
    """Threads of each stylizing worker on a CPU; None on a GPU."""
    concurrency: int = 1
    """Jobs that each stylizing worker has in work at once: it paints one, and others are blended, sent or checked."""
    flow_threads: int | None = None
    """Threads of each flow worker next to GPUs, which would take all cores otherwise; None takes `threads`."""
    notes: tuple[str, ...] = ()
    """What the user should know about the GPUs."""

    @property
    def prefetch(self) -> int:
        """Nodes that each stylizing worker is given ahead of the one that it paints."""
        return max(1, self.concurrency)


def choose_worker_counts(
    farm: FarmConfig, *, width: int, cores: int, gpus: float, threads: int | None = None
) -> WorkerCounts:
    """Choose the number of workers that suits a plan and the machines.

    On a CPU several workers with few threads do more than one with many, so there are as many as the plan can use;
    the other cores become threads.

    Args:
        farm: the user's settings; what they leave open is chosen here.
        width: number of nodes of the plan that can run at once.
        cores: number of CPU cores.
        gpus: number of GPUs; 0 to render on CPUs.
        threads: threads of each worker in an earlier run of the same render. They win, since the rounding of sums
            depends on them.
    """
    if gpus:
        style = farm.workers or max(1, default_workers(gpus=gpus, gpus_per_worker=farm.gpus_per_worker))
        flow, hands = max(1, min(style, cores)), min(_MOST_HANDS, max(_LEAST_HANDS, 1 + cores // style))
        return WorkerCounts(style, flow, None, hands, flow_threads=max(1, cores // (2 * flow)))
    threads = threads or farm.threads
    style = farm.workers or max(1, min(width, cores // (threads or 1)))
    return WorkerCounts(style, max(1, min(style, cores // 2)), threads or max(1, cores // style))


def share_gpu(share: float, *, raft: bool) -> tuple[float, float]:
    """Divide a share of a GPU between a stylizing worker and a flow worker; returns their shares.

    The flow worker's share is taken from the stylizing worker's, and there are never more flow workers, so as many
    pairs fit on a GPU as stylizing workers would alone.

    Args:
        share: the share of both.
        raft: whether flow needs a GPU at all.
    """
    if not raft:
        return share, 0.0
    from vidnst.farm.memory_fallback import FLOW_GPU_SHARE

    flow = round(share * FLOW_GPU_SHARE, 4)  # Ray counts in ten thousandths
    return round(share - flow, 4), flow


@contextmanager
def start_workers(
    farm: FarmConfig, *, width: int, threads: int | None = None, raft: bool = False, inline: bool = False
) -> Iterator[tuple[SharingPool, WorkerCounts]]:
    """Start stylizing and flow workers; they stop when the block is left. Jobs name their style set.

    Args:
        farm: the user's settings.
        width: number of nodes that can run at once.
        threads: threads of each worker in an earlier run of the same render; None if there was none.
        raft: whether flow workers need a share of the GPU.
        inline: whether to use threads of this process whatever the settings say, for work that needs no GPU.

    Raises:
        FarmError: the workers cannot be started.
    """
    if inline:
        farm = farm.model_copy(update={"executor": "inline", "device": "cpu"})
    inline = farm.executor == "inline"
    started = _start_threads(farm, width, threads) if inline else _start_actors(farm, width, threads, raft)
    with started as (pool, counts):
        cpus = "on GPUs" if counts.threads is None else f"of {counts.threads} threads each"
        logger.info("started %d stylizing workers %s and %d flow workers", counts.style, cpus, counts.flow)
        yield pool, counts


@contextmanager
def _start_threads(farm: FarmConfig, width: int, threads: int | None) -> Iterator[tuple[SharingPool, WorkerCounts]]:
    from vidnst.farm.workers import pick_device

    notes = check_gpus(farm)
    gpu = pick_device(farm.device).type == "cuda"
    counts = choose_worker_counts(farm, width=width, cores=local_cores(), gpus=float(gpu), threads=threads)
    counts = replace(counts, flow_threads=None, notes=notes)  # threads of one process share its settings
    groups = {
        Lane.STYLE: WorkerGroup(MultiStyleWorker, counts.style, concurrency=counts.concurrency),
        Lane.FLOW: WorkerGroup(MultiStyleWorker, counts.flow),
    }
    with closing(InlinePool(groups)) as pool:
        yield pool, counts


@contextmanager
def _start_actors(
    farm: FarmConfig, width: int, threads: int | None, raft: bool
) -> Iterator[tuple[SharingPool, WorkerCounts]]:
    slots = (farm.workers or 1) * (farm.threads or threads or 1)
    with RaySession(address=farm.address, cpus=slots) as session:
        gpus = 0.0 if farm.device == "cpu" else session.gpus
        grows = farm.grows and session.joined
        if grows and farm.device == "cuda":  # there may be none yet
            gpus = max(gpus, 1.0)
        cores = int(session.cpus) if session.joined else local_cores()
        counts = choose_worker_counts(farm, width=width, cores=cores, gpus=gpus, threads=threads)
        notes = mixed_kinds_note(session.gpu_kinds if gpus else ()) if session.joined else check_gpus(farm)
        counts = replace(counts, notes=notes)
        share = farm.gpus_per_worker if gpus or farm.device == "cuda" else 0.0
        style_share, flow_share = share_gpu(share, raft=raft)
        # Stylizing workers first: placed before them, flow workers could crowd one GPU and leave no room there.
        groups = {
            Lane.STYLE: WorkerGroup(
                MultiStyleWorker,
                counts.style,
                float(counts.threads or 1),
                style_share,
                counts.concurrency,
                preload=_STYLE_MODULE,
            ),
            Lane.FLOW: WorkerGroup(MultiStyleWorker, counts.flow, cpus=0, gpus=flow_share),
        }
        seconds = _GROWING_START_SECONDS if grows else _START_SECONDS
        with closing(RayPool(session, groups, start_timeout_seconds=seconds, grows=grows)) as pool:
            yield pool, counts
