"""Small copies of flows between neighbouring frames, which a run keeps, and what can be traced along them.

A sketch has a mean vector for each of a few hundred cells, and the share of the cell's pixels whose flow is trusted. It
takes about two kilobytes for both directions, and tells what a key covers without another estimate of the flow.
"""

import base64
import binascii
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.motion.flow import Flow, FlowPair, NotedFlowPair, target_positions

Shares: TypeAlias = NDArray[np.float32]
"""`(h, w)`: the share of each cell that can be traced to a key, in [0, 1]."""

_CELLS_ACROSS = 24
"""Cells along the longest side."""
_STEPS = 32
"""Steps of a stored vector to one cell."""
_LEAST_SHARE = 0.02
"""Share of a frame below which a key is not traced any farther."""
_FARTHEST = 240
"""Frames to which a key is traced on either side."""


@dataclass(frozen=True, slots=True)
class FlowSketch:
    """A flow in cells."""

    vectors: NDArray[np.float32]
    """`(h, w, 2)`, x then y, in cells: the mean of the trusted ones."""
    trusted: Shares
    """`(h, w)`: the share of each cell's pixels whose flow is trusted."""

    @classmethod
    def of(cls, flow: Flow) -> "FlowSketch":
        """Average a flow over cells."""
        height, width = flow.valid.shape
        scale = min(1.0, _CELLS_ACROSS / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        valid = (flow.valid == 255).astype(np.float32)
        trusted = np.asarray(cv2.resize(valid, size, interpolation=cv2.INTER_AREA), np.float32)
        sums = cv2.resize(flow.vectors_px * valid[..., None], size, interpolation=cv2.INTER_AREA)
        means = sums / np.maximum(trusted, 1e-6)[..., None]
        return cls(means * np.array([size[0] / width, size[1] / height], np.float32), trusted)

    def after(self, step: "FlowSketch") -> "FlowSketch":
        """Return the flow along `step`, from another frame into this one's, and on along this one."""
        x, y = target_positions(step.vectors)
        onward = cv2.remap(self.vectors, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return FlowSketch(step.vectors + onward, step.trusted * _sampled(self.trusted, x, y))

    def shows(self, given: Shares | None) -> Shares:
        """Return the share of each cell that shows what is given of the reference; None if all of it is."""
        return self.trusted if given is None else self.trusted * _sampled(given, *target_positions(self.vectors))

    def to_bytes(self) -> bytes:
        """Height and width, each a byte, then vectors and shares, rounded."""
        steps = np.rint(self.vectors * _STEPS).clip(-(1 << 15), (1 << 15) - 1).astype("<i2")
        changes = np.diff(steps, axis=1, prepend=np.zeros_like(steps[:, :1]))  # these compress better
        shares = np.rint(self.trusted * 255).astype(np.uint8)
        return bytes(self.trusted.shape) + changes.tobytes() + shares.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "FlowSketch":
        """Read what `to_bytes` wrote; ValueError if it is something else."""
        if len(data) < 2 or 0 in data[:2] or len(data) != 2 + 5 * data[0] * data[1]:
            raise ValueError("these are no bytes of a sketch")
        height, width, count = data[0], data[1], data[0] * data[1]
        changes = np.frombuffer(data, "<i2", 2 * count, 2).reshape(height, width, 2)
        shares = np.frombuffer(data, np.uint8, count, 2 + 4 * count).reshape(height, width)
        vectors = np.cumsum(changes, axis=1, dtype=np.int16).astype(np.float32) / np.float32(_STEPS)
        return cls(vectors, shares.astype(np.float32) / np.float32(255))


class SketchPair(NamedTuple):
    """Sketches of the flows between two frames in both directions, as in a `FlowPair`."""

    forward: FlowSketch
    backward: FlowSketch

    @classmethod
    def of(cls, pair: FlowPair) -> "SketchPair":
        """Average both flows over cells."""
        return cls(FlowSketch.of(pair.forward), FlowSketch.of(pair.backward))

    def to_text(self) -> str:
        """Base64 of the compressed bytes, of some two thousand characters."""
        return base64.b64encode(zlib.compress(self.forward.to_bytes() + self.backward.to_bytes())).decode()

    @classmethod
    def from_text(cls, text: str) -> "SketchPair":
        """Read what `to_text` wrote; ValueError if it is something else."""
        most = 2 * (2 + 5 * _CELLS_ACROSS**2)
        try:
            data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), most)
        except (zlib.error, binascii.Error) as error:
            raise ValueError(f"this is no text of a sketch: {error}") from error
        half = len(data) // 2
        return cls(FlowSketch.from_bytes(data[:half]), FlowSketch.from_bytes(data[half:]))


def with_sketch(pair: FlowPair) -> NotedFlowPair:
    """Return the same flows with a sketch of them."""
    return NotedFlowPair.of(pair, sketch=SketchPair.of(pair).to_text())


def to_shares(mask: NDArray[np.bool_], sketches: Mapping[int, SketchPair], frame: int) -> Shares:
    """Return the share of each cell of a frame, sketched as its neighbours are, where a mask `(H, W)` is True."""
    height, width = _cells_of(sketches, frame)
    return np.asarray(cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA), np.float32)


def trace_sketches(
    sketches: Mapping[int, SketchPair], key: int, within: range, given: Shares | None = None
) -> Iterator[tuple[int, Shares]]:
    """Yield the frames around a key of which something can be traced to it, each with the shares of its cells.

    Args:
        sketches: by frame, those of the flows from it to the frame before and back. Where one is missing, nothing
            farther is traced.
        key: number of the frame that is a key.
        within: frames to which it is traced; `key` is among them.
        given: the share of each of its cells that is given; None for all.
    """
    yield key, np.ones(_cells_of(sketches, key), np.float32) if given is None else given
    after = ((frame, pair.forward) for frame, pair in _steps(sketches, range(key + 1, within.stop), 0))
    before = ((frame, pair.backward) for frame, pair in _steps(sketches, range(key - 1, within.start - 1, -1), 1))
    for steps in (after, before):
        flow: FlowSketch | None = None
        for frame, step in steps:
            flow = step if flow is None else flow.after(step)
            shares = flow.shows(given)
            if shares.mean() < _LEAST_SHARE or abs(frame - key) > _FARTHEST:
                break
            yield frame, shares


def _steps(sketches: Mapping[int, SketchPair], frames: Iterable[int], later: int) -> Iterator[tuple[int, SketchPair]]:
    """Pair frames with the sketches of the steps from them, up to the first that is missing."""
    for frame in frames:
        pair = sketches.get(frame + later)
        if pair is None:
            return
        yield frame, pair


def _cells_of(sketches: Mapping[int, SketchPair], frame: int) -> tuple[int, int]:
    """Rows and columns of a frame's cells; one cell where no flow of it is known."""
    near = sketches.get(frame) or sketches.get(frame + 1)
    height, width = near.forward.trusted.shape if near else (1, 1)
    return height, width


def _sampled(shares: Shares, x: NDArray[np.float32], y: NDArray[np.float32]) -> Shares:
    """Sample shares of one picture at the positions to which another's cells move."""
    return np.asarray(cv2.remap(shares, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
