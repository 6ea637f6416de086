"""Times the steps of a network's training on this machine, and turns a time for the training into steps."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vidnst.config import RenderConfig
from vidnst.config.loader import with_settings
from vidnst.events import OnEvent, Stage, Warned, ignore
from vidnst.farm.flow_workers import FlowWorker
from vidnst.farm.jobs import FlowJob, GivenPart, Trained, TrainingPair, TrainJob
from vidnst.farm.plan import FlowId, NetworkId
from vidnst.farm.workers import StyleWorkerFactory
from vidnst.files.file_names import derived_name
from vidnst.frames import Pixels, Shot, to_16_bits
from vidnst.motion.flow import FlowPair
from vidnst.processes.parallel import local_cores
from vidnst.rendering.prepare import CheckedRequest, check_request
from vidnst.rendering.source_frames import source_frames
from vidnst.runs.layout import holds_run
from vidnst.runs.request import Request, read_request

_STEPS = "schedule.training.steps"
STAGE_STEPS = 2
"""Steps of each of the two stages that are timed."""


def with_training_time(request: Request, seconds: float, *, on_event: OnEvent = ignore) -> Request:
    """Return the request with as many training steps as take about `seconds` here, and at least one.

    Only the steps count, not what comes before and after them. A run that already lies in the request's folder keeps
    its number of steps, so that the same command resumes it.

    Raises:
        VidnstError: whatever a render would be refused for before it starts.
    """
    if holds_run(request.folder):
        earlier = read_request(request.folder).config
        return replace(request, config=with_settings(request.config, {_STEPS: earlier.schedule.training.steps}))
    frames_only = replace(
        request, output=request.output.with_name(derived_name(request.output.stem, suffix="-frames"))
    )  # -o may be a network
    checked = check_request(frames_only, overwrite=True, frames_only=True, on_event=on_event)
    on_event(Stage("timing"))
    shot = Shot(checked.start, checked.end)
    middle = shot.start + (len(shot) - 1) // 2
    with source_frames(checked, [shot]).open() as frames:
        frame, reference = frames.get(0, min(middle + 1, shot.end - 1)), frames.get(0, middle)
    flow_worker = FlowWorker(checked.config.flow.model_copy(update={"method": "dis"}))
    flows = flow_worker.run(FlowJob(FlowId(1, 0), frame, reference))
    steps = max(1, int(seconds / training_step_seconds(checked, frame, reference, flows)))
    on_event(Warned(f"{seconds:g} s of training are some {steps} steps here"))
    return replace(request, config=with_settings(request.config, {_STEPS: steps}))


def training_step_seconds(checked: CheckedRequest, frame: Pixels, reference: Pixels, flows: FlowPair) -> float:
    """Measure the seconds of a training step that holds a frame to a neighbour, whose flows are given, both ways."""
    assert checked.features is not None
    styles = [(style.pixels, style.weight) for style in checked.styles]
    threads = checked.config.farm.threads or local_cores()
    worker = StyleWorkerFactory(short_training(checked.config), checked.features, styles, threads)()
    pairs = (TrainingPair(0, 1, flows),)
    given = (GivenPart(to_16_bits(frame)), None) if checked.keys else ()
    state: NDArray[np.float32] | None = None
    seconds: list[float] = []
    for stage in (1, 2, 3):
        job = TrainJob(NetworkId(0, stage), state, (frame, reference), (None, None), pairs, 0, given, threads)
        trained = worker.run(job)
        assert isinstance(trained, Trained)
        state = trained.state
        seconds.append(trained.seconds / STAGE_STEPS)
    return min(seconds[1:])


def short_training(config: RenderConfig) -> RenderConfig:
    """A training of two stages after the one that measures, all of whose steps are with neighbours."""
    training = {"steps": 2 * STAGE_STEPS, "stage_steps": STAGE_STEPS, "alone": 0.0}
    return with_settings(config, {f"schedule.training.{name}": value for name, value in training.items()})
