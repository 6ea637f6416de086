"""Times the restyling of a chunk of a soundtrack on this machine."""

import time
from collections.abc import Callable

import numpy as np

from vidnst.farm.jobs import SoundJob
from vidnst.farm.plan import SoundId
from vidnst.farm.sound_work import SoundWorkerFactory
from vidnst.rendering.prepare import CheckedRequest
from vidnst.style.sound.chunks import CHUNK_SECONDS

_TIMED_SECONDS = 1.0
_TIMED_EVALUATIONS = 3
_LEVEL = 0.07


def chunk_seconds(
    checked: CheckedRequest, threads: int | None, *, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the seconds that a chunk takes one worker, which grow with its length; 0 if no sound is restyled.

    Args:
        threads: those of a worker on a CPU; None leaves them as they are.
        clock: what is timed, in seconds.
    """
    if checked.sound is None:
        return 0.0
    stream, config = checked.sound.plan.streams[0], checked.config
    length = round(_TIMED_SECONDS * stream.sample_rate)
    noise = _LEVEL * np.random.default_rng(0).standard_normal((stream.channels, length)).astype(np.float32)
    worker = SoundWorkerFactory(noise, stream.sample_rate, config.audio.filters, 0, config.farm.device, threads)()
    seconds = []
    for count in (1, 1 + _TIMED_EVALUATIONS):
        began = clock()
        worker.run(SoundJob(SoundId(0, 0, 0), noise, 1.0, count))
        seconds.append(clock() - began)
    each = max(0.0, seconds[1] - seconds[0]) / _TIMED_EVALUATIONS
    return each * config.audio.iterations * min(CHUNK_SECONDS, float(checked.sound.seconds)) / _TIMED_SECONDS
