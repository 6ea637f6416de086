"""The workers that estimate optical flows: plain classes that tests can call. Imports no Ray.

OpenCV estimates most flows, and a worker's process then needs no torch, which takes seconds to import.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidnst.config import MotionConfig
from vidnst.errors import FarmError
from vidnst.farm.jobs import FlowJob, Shared
from vidnst.motion.flow import FlowPair, compose_pairs, estimate_pair
from vidnst.motion.flow_sketch import with_sketch
from vidnst.motion.opencv_threads import set_opencv_threads

if TYPE_CHECKING:  # it brings torch
    from vidnst.motion.raft import Raft


class FlowWorker:
    """Estimates optical flows, with OpenCV or with RAFT on one device."""

    def __init__(self, config: MotionConfig, raft: "Raft | None" = None) -> None:
        self._config = config
        self._raft = raft

    def run(self, job: FlowJob) -> FlowPair:
        """Estimate the flows between the job's frame and its reference; a `NotedFlowPair` if there is more to tell.

        Raises:
            FarmError: the method is raft, and the worker has no weights.
        """
        return with_sketch(self._estimated(job)) if job.is_sketched else self._estimated(job)

    def _estimated(self, job: FlowJob) -> FlowPair:
        config = self._config
        if self._raft is not None:
            from vidnst.farm.flow_fallback import estimate_in_memory

            return estimate_in_memory(self._raft, job.frame, job.reference, config)
        if config.method == "raft":
            raise FarmError("motion.method is raft, but no weights came with the flow worker", "set it to dis")
        guess = None if job.through is None else compose_pairs(*job.through)
        return estimate_pair(job.frame, job.reference, config, guess=guess)


@dataclass(frozen=True)
class FlowWorkerFactory:
    """Makes a flow worker in its process; carries everything it needs, so that no file is read there."""

    config: MotionConfig
    raft: Mapping[str, NDArray[np.float32]] | Shared | None = None
    """RAFT's weights by name; None if the method is another, or no flow is estimated."""
    device: str = "auto"
    """The device of RAFT: auto, cpu or cuda."""
    threads: int | None = None
    """Threads of OpenCV, and of RAFT on a CPU; None does not set them."""

    def __call__(self) -> FlowWorker:
        if self.raft is None or self.config.method == "dis":
            if self.threads is not None:
                set_opencv_threads(self.threads)
            return FlowWorker(self.config)
        return FlowWorker(self.config, self._build_raft(self.raft))

    def _build_raft(self, weights: Mapping[str, NDArray[np.float32]] | Shared) -> "Raft":
        from vidnst.farm.workers import pick_device, use_threads
        from vidnst.motion.raft import Raft, build_raft

        device = pick_device(self.device)
        if self.threads is not None and device.type == "cpu":
            use_threads(self.threads)
        network = build_raft(weights.get() if isinstance(weights, Shared) else weights, device)
        return Raft(network, self.config, device=device)
