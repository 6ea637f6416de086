"""What clips of a batch have in common: looks that their jobs carry, weights and pictures that are held once."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from vidnst.farm.jobs import Shared, SharingPool
from vidnst.farm.workers import FlowWorkerFactory, StyleWorkerFactory
from vidnst.rendering.pipeline import PreparedRender
from vidnst.rendering.prepare import Job as RenderJob

_LOOKS_KEPT = 64
"""In the driver's hands: clips that come one after the other mostly share theirs."""


class StyleCache:
    """Makes what a job's look stands for, once for all clips that look alike.

    Args:
        threads: of each worker on a CPU.
    """

    def __init__(self, pool: SharingPool, threads: int | None) -> None:
        self._pool = pool
        self._threads = threads
        self._shared: OrderedDict[str, Shared] = OrderedDict()

    def of(self, job: RenderJob) -> tuple[Shared, Shared]:
        """The looks of a render's stylizing jobs and of its flow jobs."""
        config, marks = job.config, job.manifest.look
        sections = config.model_dump(mode="json", include={"model", "styles", "losses", "optimize", "motion"})
        pictures = [(style.pixels, style.weight) for style in job.styles]
        drawn = [(_digest(pixels.tobytes()), pixels.shape, str(pixels.dtype), weight) for pixels, weight in pictures]
        features = None if job.features is None else self._share(f"weights {marks.weights}", lambda: job.features)
        raft = None if job.raft is None else self._share(f"flow weights {marks.flow_weights}", lambda: job.raft)
        style = _key("style", sections, drawn, marks.backbone, marks.weights, config.farm.device)
        flow = _key("flow", sections["motion"], marks.flow_weights, config.farm.device)
        threads, device = self._threads, config.farm.device
        return (
            self._share(style, lambda: StyleWorkerFactory(config, features, pictures, threads)),
            self._share(flow, lambda: FlowWorkerFactory(config.motion, raft, device, threads)),
        )

    def _share(self, key: str, make: Callable[[], Any]) -> Shared:
        if key not in self._shared:
            self._shared[key] = self._pool.share(key, make())
            while len(self._shared) > _LOOKS_KEPT:
                self._shared.popitem(last=False)
        self._shared.move_to_end(key)
        return self._shared[key]


class WeightCache:
    """Lets clips that were prepared with equal weights and style pictures hold them once. For several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def share(self, begun: PreparedRender) -> PreparedRender:
        """The same, holding what others hold already."""
        job, look = begun.job, begun.job.manifest.look
        styles = tuple(
            replace(
                style, pixels=self._one(f"style {_digest(style.pixels.tobytes())} {style.pixels.shape}", style.pixels)
            )
            for style in job.styles
        )
        features = self._one(f"weights {look.weights}", job.features)
        raft = self._one(f"flow weights {look.flow_weights}", job.raft)
        return replace(begun, job=replace(job, styles=styles, features=features, raft=raft))

    def _one(self, key: str, value: Any) -> Any:
        with self._lock:
            kept = self._kept.setdefault(key, value)
            self._kept.move_to_end(key)
            while len(self._kept) > _LOOKS_KEPT:
                self._kept.popitem(last=False)
            return kept


def _key(kind: str, *parts: Any) -> str:
    return f"{kind} {_digest(json.dumps(parts, sort_keys=True).encode())}"


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
