"""The worker that restyles chunks of a soundtrack. Imports no Ray."""

import threading
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vidnst.farm.jobs import RestyledSound, SoundJob
from vidnst.farm.workers import pick_device
from vidnst.style.sound.restyle import SoundStylizer


@dataclass(frozen=True)
class SoundWorkerFactory:
    """Makes a worker in its process; carries everything it needs, so that no file is read there."""

    style: NDArray[np.float32]
    """Samples of the style, `(channels, samples)`."""
    rate: int
    filters: int
    seed: int
    device: str
    threads: int | None = None
    """Threads of torch on a CPU; None does not set them."""

    def __call__(self) -> "SoundWorker":
        device = pick_device(self.device)
        if self.threads is not None and device.type == "cpu":
            torch.set_num_threads(self.threads)
        return SoundWorker(SoundStylizer(self.style, self.rate, filters=self.filters, seed=self.seed, device=device))


class SoundWorker:
    """Restyles one chunk at a time; several threads may call it."""

    def __init__(self, stylizer: SoundStylizer) -> None:
        self._stylizer = stylizer
        self._alone = threading.Lock()

    def run(self, job: SoundJob) -> RestyledSound:
        """Restyle a chunk.

        Raises:
            NumericalError: the optimisation gave NaN or infinity.
        """
        with self._alone:
            began = time.perf_counter()
            result = self._stylizer.restyle(
                job.samples, strength=job.strength, iterations=job.iterations, held=job.held
            )
            seconds = time.perf_counter() - began
        return RestyledSound(result.samples.reshape(-1), result.losses, result.evaluations, seconds)
