"""A forecast while the workers of a render start: a few evaluations of a small picture tell what its nodes take.

It measures the time of one thread of the processor, so workers that start at the same time do not change it.
"""

import math
import time
from dataclasses import astuple, replace

import numpy as np
from numpy.typing import NDArray

from vidnst.config import MotionConfig, ScheduleConfig
from vidnst.farm.flow_workers import FlowWorker
from vidnst.farm.jobs import FlowJob, PaintJob, Shared, StylizeJob, Trained, TrainingPair, TrainJob
from vidnst.farm.memory_fallback import MemoryLadder
from vidnst.farm.plan import FlowId, NetworkId, StateId
from vidnst.farm.provisioning import choose_worker_counts
from vidnst.farm.workers import StyleWorker, pick_device, threads_on_cpu
from vidnst.frames import Pixels, to_16_bits
from vidnst.motion.blend import WarmSource
from vidnst.processes.parallel import local_cores
from vidnst.rendering.node_times import SecondsOf
from vidnst.rendering.prepare import CheckedRequest
from vidnst.style.stylizer import Stylizer
from vidnst.style.transform.network import TransformNetwork
from vidnst.tools.forecast.sound_time import chunk_seconds
from vidnst.tools.forecast.timing import WorkTimings, node_seconds
from vidnst.tools.forecast.training_time import STAGE_STEPS, short_training

_PIXELS = 128 * 128
"""Of the picture that is timed."""
_LEAST_SIDE_PX = 48
_EVALUATIONS = 4
"""Evaluations with their gradients that are timed."""


def foresee_nodes(checked: CheckedRequest) -> SecondsOf | None:
    """Estimate what the nodes of a render take a worker here; None on GPUs.

    Call it in a thread of its own.
    """
    config = checked.config
    is_trained = checked.schedule.kind == "network" and checked.network is None and checked.schedule.training.steps > 0
    if not config.stylizes or checked.features is None:
        return None
    device = pick_device(config.farm.device)
    if device.type != "cpu":
        return None
    width = checked.frames if checked.schedule.kind != "chain" else 1
    workers = choose_worker_counts(config.farm, width=width, cores=local_cores(), gpus=0)
    size = _small_size(checked.height, checked.width)
    frame, reference = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    stylizer = Stylizer(checked.features, [(frame, 1.0)], config)
    worker, step = StyleWorker(stylizer, device, MemoryLadder(config, None)), 0.0
    with threads_on_cpu(1, device):
        small = _time_small(checked, worker, frame, reference)
        if is_trained:
            short = short_training(config.model_copy(update={"schedule": _from_noise(config.schedule)}))
            step = _time_step(StyleWorker(stylizer, device, MemoryLadder(short, None)), frame, reference)
        sound = chunk_seconds(checked, None, clock=time.thread_time) / (workers.threads or 1)
    scale = checked.height * checked.width / (frame.shape[0] * frame.shape[1]) / (workers.threads or 1)
    timings = WorkTimings(*(seconds * scale for seconds in astuple(small)[:-1]))
    crop = config.schedule.training.crop
    cropped = min(checked.height, crop) * min(checked.width, crop) / (frame.shape[0] * frame.shape[1])
    step *= cropped / (config.farm.threads or local_cores())  # one stage at a time has all of them
    return node_seconds(checked, replace(timings, sound=sound, training_step=step))


def _from_noise(schedule: ScheduleConfig) -> ScheduleConfig:
    """The schedule with a training that reads no network, since its steps take as long."""
    return schedule.model_copy(update={"training": schedule.training.model_copy(update={"start": "noise"})})


def _time_step(worker: StyleWorker, frame: Pixels, reference: Pixels) -> float:
    """Time a step of a training that holds a small frame to a neighbour: the best of two stages."""
    motion = MotionConfig()
    flows = FlowWorker(motion).run(FlowJob(FlowId(1, 0), frame, reference))
    state: NDArray[np.float32] | None = None
    seconds: list[float] = []
    for stage in (1, 2, 3):
        pairs = (TrainingPair(0, 1, flows),)
        job = TrainJob(NetworkId(0, stage), state, (frame, reference), (None, None), pairs, seed=0)
        began = time.thread_time()
        trained = worker.run(job)
        assert isinstance(trained, Trained)
        state = trained.state
        seconds.append((time.thread_time() - began) / STAGE_STEPS)
    return min(seconds[1:])


def _time_small(checked: CheckedRequest, worker: StyleWorker, frame: Pixels, reference: Pixels) -> WorkTimings:
    """Time what the nodes of a render would take if its frames were as small as these two."""

    def timed(job: StylizeJob | PaintJob) -> float:
        began = time.thread_time()
        worker.run(job)
        return time.thread_time() - began

    painting = 0.0
    if checked.schedule.kind == "network":
        paint = PaintJob(StateId(0), frame, Shared("", TransformNetwork().to_vector()))
        timed(paint)  # loads kernels
        painting = timed(paint)
        if not checked.schedule.passes:
            return WorkTimings(0.0, 0.0, 0.0, 0.0, 0.0, painting)
    motion = checked.config.flow.model_copy(update={"method": "dis"})
    pair = FlowWorker(motion).run(FlowJob(FlowId(1, 0), frame, reference))
    warped = WarmSource(to_16_bits(reference), pair.forward, 1.0, reference)
    starts = (WarmSource(to_16_bits(frame), None, 1.0, frame), warped, warped)

    def stylizing(count: int, *starts: WarmSource) -> float:
        return timed(StylizeJob(StateId(0), frame, starts, iterations=count, seed=0))

    stylizing(1, *starts)  # loads kernels
    fixed, more, cold = stylizing(1, *starts), stylizing(1 + _EVALUATIONS, *starts), stylizing(1)
    return WorkTimings(max(1e-9, (more - fixed) / _EVALUATIONS), fixed, cold, 0.0, 0.0, painting)


def _small_size(height: int, width: int) -> tuple[int, int]:
    """Return a size of about the same shape, no larger than the frame."""
    shrink = min(1.0, math.sqrt(_PIXELS / (height * width)))
    small_height, small_width = (min(side, max(_LEAST_SIDE_PX, round(side * shrink))) for side in (height, width))
    return small_height, small_width
