"""Hands styles and weights to the workers, once for all clips that share them."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidnst.farm.flow_workers import FlowWorkerFactory
from vidnst.farm.jobs import Shared, SharingPool
from vidnst.farm.provisioning import WorkerCounts
from vidnst.farm.sound_work import SoundWorkerFactory
from vidnst.farm.workers import StyleWorkerFactory
from vidnst.lru_cache import LruCache
from vidnst.rendering.prepared_render import PreparedRender

STYLES_KEPT = 64
"""Styles and weights that the driver keeps: clips that follow each other mostly share theirs."""


class StyleCache:
    """Makes the factories of a render's workers, and shares each with the pool once.

    Args:
        pool: the workers.
        workers: their numbers of threads.
    """

    def __init__(self, pool: SharingPool, workers: WorkerCounts) -> None:
        self.pool = pool
        self._threads = workers.threads
        self._flow_threads = workers.flow_threads or workers.threads
        self._shared = LruCache[str, Shared](STYLES_KEPT)

    def of(self, render: PreparedRender) -> tuple[Shared, Shared]:
        """Return what makes the workers for a render's stylizing jobs, and for its flow jobs."""
        config, marks, checked = render.config, render.checked.manifest.look, render.checked
        sections = config.model_dump(mode="json", include={"model", "styles", "losses", "optimize", "motion"})
        if config.schedule.kind == "network":
            sections["training"] = config.schedule.training.model_dump(mode="json")
            sections["keys"] = config.keys.model_dump(mode="json", exclude={"pictures", "folder"})
            sections["keys"]["are_given"] = config.keys.are_given
        pictures = [(style.pixels, style.weight) for style in render.styles]
        drawn = [(digest(pixels.tobytes()), pixels.shape, str(pixels.dtype), weight) for pixels, weight in pictures]
        features = self._weights("weights", marks.weights, checked.features)
        raft = self._weights("flow weights", marks.flow_weights, checked.raft)
        style = _key("style", sections, drawn, marks.backbone, marks.weights, config.farm.device)
        flow = _key("flow", config.flow.model_dump(mode="json"), marks.flow_weights, config.farm.device)
        threads, flow_threads, device = self._threads, self._flow_threads, config.farm.device
        return (
            self._share(style, lambda: StyleWorkerFactory(config, features, pictures, threads)),
            self._share(flow, lambda: FlowWorkerFactory(config.flow, raft, device, flow_threads)),
        )

    def of_sound(self, render: PreparedRender) -> tuple[Shared, ...]:
        """Return what makes the workers for each track of a soundtrack that is restyled."""
        audio, seed, device = render.config.audio, render.config.optimize.seed, render.config.farm.device

        def factory(style: NDArray[np.float32], rate: int) -> SoundWorkerFactory:
            return SoundWorkerFactory(style, rate, audio.filters, seed, device, self._threads)

        return tuple(
            self._share(
                _key("sound", digest(track.style.tobytes()), track.sound.rate, audio.filters, seed, device),
                partial(factory, track.style, track.sound.rate),
            )
            for track in render.sound.tracks
        )

    def share_network(self, network: NDArray[np.float32]) -> Shared:
        """Return a trained transform network as workers get it."""
        return self._share(f"network {digest(network.tobytes())}", lambda: network)

    def _weights(self, kind: str, fingerprint: str, weights: Any) -> Shared | None:
        return None if weights is None else self._share(f"{kind} {fingerprint}", lambda: weights)

    def _share(self, key: str, make: Callable[[], Any]) -> Shared:
        return self._shared.get(key, lambda: self.pool.share(key, make()))


def digest(data: bytes) -> str:
    """Return a short hash."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _key(kind: str, *parts: Any) -> str:
    return f"{kind} {digest(json.dumps(parts, sort_keys=True).encode())}"
