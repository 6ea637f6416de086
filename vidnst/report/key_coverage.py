"""How far painted keys cover the frames of a run, which frame follows which key, and where to paint one more.

A pixel counts as covered if it can be traced to a key that its frame follows, from frame to frame along the flow and
past no occlusion. The flows are the render's own, of which its log has sketches (`motion/flow_sketch.py`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidnst.config import RenderConfig
from vidnst.errors import VidnstError
from vidnst.frames import Shot, spread_over
from vidnst.media.input.key_files import named_keys
from vidnst.media.input.key_pictures import read_key_picture
from vidnst.motion.flow_sketch import Shares, SketchPair, to_shares, trace_sketches
from vidnst.runs import Manifest, RunLayout
from vidnst.runs.event_log import read_events

POOR_SHARE = 0.5
"""Share of a frame under which it is worth painting one more."""
_FILL_WEIGHT = 0.01
"""Weight of a key before one that is transparent somewhere: it counts where that one shows nothing."""
_MOST_FRAMES = 20_000
"""Frames of which sketches are read, 40 MB of text."""
_MOST_CANDIDATES = 240
"""Frames that are tried as the next key."""
_CANDIDATES_OF_SHOT = 48


@dataclass(frozen=True)
class KeyCoverage:
    """What the painted keys of a run cover."""

    shots: tuple[Shot, ...]
    keys: tuple[int, ...]
    """The frames that are painted, ascending."""
    follows: Mapping[int, Mapping[int, float]]
    """For each frame whose flows are known the share of it that follows each key, if any does."""
    next_key: int | None
    """The frame whose painting would cover most of the poorly covered frames; None where there are none."""

    @cached_property
    def covered(self) -> Mapping[int, float]:
        """The share of each frame that follows any key; frames whose flows are not known are left out."""
        return {frame: min(1.0, sum(shares.values())) for frame, shares in self.follows.items()}

    @cached_property
    def poor(self) -> tuple[int, ...]:
        """Frames of which too little is covered, the poorest first."""
        poor = (frame for frame, share in self.covered.items() if share < POOR_SHARE)
        return tuple(sorted(poor, key=lambda frame: (self.covered[frame], frame)))

    @property
    def unknown(self) -> tuple[int, ...]:
        """Frames whose flows are not known, ascending."""
        return tuple(frame for shot in self.shots for frame in shot.indices if frame not in self.follows)

    @property
    def advice(self) -> str:
        """Where to paint one more, in a sentence; empty where enough is covered."""
        if self.next_key is None:
            return ""
        poorest, count = self.poor[0], len(self.poor)
        share = f"{self.covered[poorest]:.0%}"
        where = f"of frame {poorest} less than half follows the painted keys ({share})"
        if count > 1:
            where = f"of {count} frames less than half follows the painted keys, least of frame {poorest} ({share})"
        return f"paint one more here: frame {self.next_key}; {where}"


def read_key_coverage(folder: Path, config: RenderConfig, shots: Sequence[Shot]) -> KeyCoverage | None:
    """Work out what the painted keys of a run cover; None if it has none.

    Args:
        folder: the run folder.
        config: the run's settings, which name its keys.
        shots: the shots of its range.

    Raises:
        RunError: the record or the log of the run is damaged.
    """
    recorded = Manifest.read(folder).look.keys
    keys = [frame for shot in shots for frame in shot.indices if str(frame) in recorded]
    if not keys:
        return None
    texts = _read_sketch_texts(folder)
    opaque = read_opaque(config, keys)
    parts = [_ShotCoverage(shot, keys, opaque, texts) for shot in shots]
    follows = {frame: shares for part in parts for frame, shares in part.follows.items()}
    found = KeyCoverage(tuple(shots), tuple(keys), follows, None)
    return replace(found, next_key=_next_key(parts, found.poor)) if found.poor else found


def key_paths(config: RenderConfig) -> dict[int, Path]:
    """Return the pictures of keys, as far as they can still be found."""
    paths: dict[int, Path] = {}
    with suppress(VidnstError, OSError):
        paths.update(named_keys(config))
    return {frame: path for frame, path in paths.items() if path.is_file()}


def read_opaque(config: RenderConfig, keys: Iterable[int]) -> dict[int, NDArray[np.bool_]]:
    """Return where those keys are opaque, `(H, W)`, that are transparent somewhere and can still be read."""
    found, paths = {}, key_paths(config)
    for key in keys:
        with suppress(VidnstError, OSError, KeyError):
            opaque = read_key_picture(paths[key])[1]
            if opaque is not None:
                found[key] = opaque
    return found


def _read_sketch_texts(folder: Path) -> dict[int, str]:
    """Read the sketches of a run, the last of each frame; the log may come from elsewhere."""
    texts: dict[int, str] = {}
    with suppress(FileNotFoundError):
        for event in read_events(RunLayout(folder).log):
            frame, text = event.get("frame"), event.get("sketch")
            if event.get("kind") != "flow" or not isinstance(frame, int) or not isinstance(text, str):
                continue
            if frame in texts or len(texts) < _MOST_FRAMES:
                texts[frame] = text
    return texts


def _next_key(parts: Sequence["_ShotCoverage"], poor: Collection[int]) -> int | None:
    """Return the frame whose painting covers most of some frames, in the shots of which most of these is missing."""
    gains: dict[int, float] = {}
    tried, frames = 0, frozenset(poor)
    missing = {part.shot: part.missing(frames) for part in parts}
    for part in sorted(parts, key=lambda part: -missing[part.shot]):
        if not missing[part.shot] or tried >= _MOST_CANDIDATES:
            break
        gains |= part.gains(frames)
        tried += min(len(part.shot), _CANDIDATES_OF_SHOT)
    return max(gains, key=lambda frame: (gains[frame], -frame), default=None)


class _ShotCoverage:
    """What the keys of one shot cover.

    Args:
        shot: its frames.
        keys: all keys, ascending.
        opaque: where those are opaque that are transparent somewhere.
        texts: the sketches of all frames.
    """

    def __init__(
        self, shot: Shot, keys: Sequence[int], opaque: Mapping[int, NDArray[np.bool_]], texts: Mapping[int, str]
    ) -> None:
        self.shot = shot
        self._keys = [key for key in keys if shot.start <= key < shot.end]
        self._sketches = _decoded(texts, range(shot.start + 1, shot.end))
        missing = (frame not in self._sketches for frame in range(shot.start + 1, shot.end))
        self._gaps = list(accumulate(missing, initial=0))
        """For each frame how many flows are missing from the start of the shot up to it."""
        self._opaque = {key: opaque[key] for key in self._keys if key in opaque}
        self._best: dict[int, Shares] = {}
        """For each frame the largest share of each of its cells that any key covers."""
        self.follows = self._followed()

    def missing(self, frames: Collection[int]) -> float:
        """Return how much of some frames is not covered, in frames."""
        return sum(1 - min(1.0, sum(shares.values())) for frame, shares in self.follows.items() if frame in frames)

    def gains(self, frames: Collection[int]) -> dict[int, float]:
        """Return how much more of some frames each key that is tried would cover, in frames."""
        gains = {}
        for key in spread_over(self.shot.start, self.shot.end, _CANDIDATES_OF_SHOT):
            if key in self.follows and key not in self._keys:
                traced = trace_sketches(self._sketches, key, self._around(key))
                gains[key] = sum(self._gain(frame, shares) for frame, shares in traced if frame in frames)
        return gains

    def _gain(self, frame: int, shares: Shares) -> float:
        best = self._best.get(frame)
        return float((shares if best is None else np.maximum(shares - best, 0)).mean())

    def _around(self, frame: int) -> range:
        """The frames between the keys on both sides of one."""
        before = max((key + 1 for key in self._keys if key < frame), default=self.shot.start)
        return range(before, min((key for key in self._keys if key > frame), default=self.shot.end))

    def _followed(self) -> dict[int, dict[int, float]]:
        """Trace the frames to the keys that they follow; sets `_best`."""
        parts: dict[int, dict[int, Shares]] = {frame: {} for frame in self.shot.indices}
        for key in self._keys:
            for frame, shares in trace_sketches(self._sketches, key, self._reach(key), self._given(key)):
                parts[frame][key] = shares
        return {frame: self._shared(frame, found) for frame, found in parts.items() if self._is_known(frame)}

    def _reach(self, key: int) -> range:
        """The frames that follow a key: up to the keys on both sides, and on past those that are partly transparent."""
        whole = (other for other in self._keys if other > key and other not in self._opaque)
        return range(self._around(key).start, next(whole, self.shot.end))

    def _given(self, key: int) -> Shares | None:
        opaque = self._opaque.get(key)
        return None if opaque is None else to_shares(opaque, self._sketches, key)

    def _shared(self, frame: int, found: Mapping[int, Shares]) -> dict[int, float]:
        """Share what is covered of a frame among the keys that cover it, as the render weighs them."""
        if not found:
            return {}
        self._best[frame] = best = np.maximum.reduce(list(found.values()))
        parts = {key: shares * self._weight(frame, key) for key, shares in found.items()}
        total = np.maximum(sum(parts.values()), 1e-9)
        return {key: float((best * part / total).mean()) for key, part in parts.items()}

    def _weight(self, frame: int, key: int) -> float:
        before = max((other for other in self._keys if other <= frame), default=None)
        after = min((other for other in self._keys if other > frame), default=None)
        if key not in (before, after):
            return _FILL_WEIGHT
        if before is None or after is None or frame == before:
            return 1.0
        far = (frame - before) / (after - before)
        return far if key == after else 1 - far

    def _is_known(self, frame: int) -> bool:
        """Return True if there are flows all the way to the keys on both sides."""
        before = max((key for key in self._keys if key <= frame), default=frame)
        after = min((key for key in self._keys if key >= frame), default=frame)
        return self._gaps[before - self.shot.start] == self._gaps[after - self.shot.start]


def _decoded(texts: Mapping[int, str], frames: range) -> dict[int, SketchPair]:
    """Decode the sketches of some frames: those of one size that are whole."""
    return dict(_same_size((frame, texts[frame]) for frame in frames if frame in texts))


def _same_size(texts: Iterable[tuple[int, str]]) -> Iterator[tuple[int, SketchPair]]:
    shape: tuple[int, ...] | None = None
    for frame, text in texts:
        with suppress(ValueError):
            pair = SketchPair.from_text(text)
            shape = shape or pair.forward.trusted.shape
            if pair.forward.trusted.shape == pair.backward.trusted.shape == shape:
                yield frame, pair


def stretches(frames: Sequence[int]) -> list[tuple[int, int]]:
    """Join frames, ascending, to stretches, each with its first and its last frame."""
    if not frames:
        return []
    ends = [one for one, two in pairwise(frames) if two > one + 1]
    starts = [two for one, two in pairwise(frames) if two > one + 1]
    return list(zip([frames[0], *starts], [*ends, frames[-1]], strict=True))
