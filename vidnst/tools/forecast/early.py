"""A forecast while the workers of a render start: a few evaluations of a small picture tell what its nodes take.

It measures the time of one thread of the processor, so workers that start at the same time do not change it.
"""

import math
import time

import numpy as np
import torch

from vidnst.farm.jobs import FlowJob, PaintJob, Shared, StylizeJob
from vidnst.farm.memory_fallback import MemoryLadder
from vidnst.farm.plan import FlowId, StateId
from vidnst.farm.provisioning import choose_worker_counts
from vidnst.farm.workers import FlowWorker, StyleWorker, pick_device
from vidnst.frames import Pixels, to_16_bits
from vidnst.motion.blend import WarmSource
from vidnst.parallel import local_cores
from vidnst.rendering.node_times import SecondsOf
from vidnst.rendering.prepare import CheckedRequest
from vidnst.style.stylizer import Stylizer
from vidnst.style.transform.network import TransformNetwork
from vidnst.tools.forecast.timing import WorkTimings, node_seconds

_PIXELS = 128 * 128
"""Of the picture that is timed."""
_LEAST_SIDE_PX = 48
_EVALUATIONS = 4
"""Evaluations with their gradients that are timed."""


def foresee_nodes(checked: CheckedRequest) -> SecondsOf | None:
    """Estimate what the nodes of a render take a worker here; None on GPUs, and where a network is trained.

    Call it in a thread of its own.
    """
    config = checked.config
    is_trained = checked.schedule.kind == "network" and checked.network is None and checked.schedule.training.steps > 0
    if not config.stylizes or checked.features is None or is_trained or pick_device(config.farm.device).type != "cpu":
        return None
    width = checked.frames if checked.schedule.kind != "chain" else 1
    workers = choose_worker_counts(config.farm, width=width, cores=local_cores(), gpus=0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        timings = _time_small(checked, threads=workers.threads or 1)
    finally:
        torch.set_num_threads(threads)
    return node_seconds(checked, timings)


def _time_small(checked: CheckedRequest, *, threads: int) -> WorkTimings:
    """Time a small picture, and scale that up to the size of a frame."""
    height, width = _small_size(checked.height, checked.width)
    random = np.random.default_rng(0)
    frame, reference = (random.integers(0, 256, (height, width, 3), np.uint8) for _ in range(2))
    scale = checked.height * checked.width / (height * width) / threads
    assert checked.features is not None
    worker = _small_worker(checked, frame)
    if checked.schedule.kind == "network":
        job = PaintJob(StateId(0), frame, Shared("", TransformNetwork().to_vector()))
        worker.run(job)
        began = time.thread_time()
        worker.run(job)
        painting = (time.thread_time() - began) * scale
        if not checked.schedule.passes:
            return WorkTimings(0.0, 0.0, 0.0, 0.0, 0.0, painting)
    else:
        painting = 0.0
    motion = checked.config.motion.model_copy(update={"method": "dis"})
    pair = FlowWorker(motion).run(FlowJob(FlowId(1, 0), frame, reference))
    warped = WarmSource(to_16_bits(reference), pair.forward, 1.0, reference)
    starts = (WarmSource(to_16_bits(frame), None, 1.0, frame), warped, warped)

    def seconds(count: int, *starts: WarmSource) -> float:
        began = time.thread_time()
        worker.stylize(StylizeJob(StateId(0), frame, starts, iterations=count, seed=0))
        return time.thread_time() - began

    seconds(1, *starts)  # loads kernels
    fixed, more, cold = seconds(1, *starts), seconds(1 + _EVALUATIONS, *starts), seconds(1)
    evaluation = max(1e-9, (more - fixed) / _EVALUATIONS)
    return WorkTimings(evaluation * scale, fixed * scale, cold * scale, 0.0, 0.0, painting)


def _small_worker(checked: CheckedRequest, style: Pixels) -> StyleWorker:
    """Return a worker whose style is as small as its frames."""
    assert checked.features is not None
    stylizer = Stylizer(checked.features, [(style, 1.0)], checked.config)
    return StyleWorker(stylizer, torch.device("cpu"), MemoryLadder(checked.config, None))


def _small_size(height: int, width: int) -> tuple[int, int]:
    """Return a size of about the same shape, no larger than the frame."""
    shrink = min(1.0, math.sqrt(_PIXELS / (height * width)))
    small_height, small_width = (min(side, max(_LEAST_SIDE_PX, round(side * shrink))) for side in (height, width))
    return small_height, small_width
