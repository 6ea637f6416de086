"""Sketches of flows: their text, and what is traced along them."""

import base64
import zlib

import numpy as np
import pytest

from vidnst.motion.flow import Flow, FlowPair, NotedFlowPair
from vidnst.motion.flow_sketch import SketchPair, to_shares, trace_sketches, with_sketch

HEIGHT, WIDTH, STEP = 54, 96, 8
"""A frame of 24 cells across, and a pan of two cells."""


def moved(step: float) -> Flow:
    """The flow of a picture that moves to the left by some pixels, seen from the later frame."""
    x = np.arange(WIDTH) + step
    inside = np.broadcast_to((x >= 0) & (x <= WIDTH - 1), (HEIGHT, WIDTH))
    vectors = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    vectors[..., 0] = step
    return Flow(vectors, inside.astype(np.uint8) * np.uint8(255))


def pan(frames: int) -> dict[int, SketchPair]:
    pair = SketchPair.of(FlowPair(moved(STEP), moved(-STEP)))
    return dict.fromkeys(range(1, frames), pair)


def test_text_keeps_a_sketch() -> None:
    rng = np.random.default_rng(0)
    flows = [
        Flow(
            rng.normal(0, 9, (HEIGHT, WIDTH, 2)).astype(np.float32),
            rng.choice([0, 255], (HEIGHT, WIDTH)).astype(np.uint8),
        )
        for _ in range(2)
    ]
    sketch = SketchPair.of(FlowPair(*flows))
    text = with_sketch(FlowPair(*flows)).sketch
    assert len(text) < 6000
    for old, new in zip(sketch, SketchPair.from_text(text), strict=True):
        np.testing.assert_allclose(new.vectors, old.vectors, atol=1 / 64)
        np.testing.assert_allclose(new.trusted, old.trusted, atol=1 / 500)


def test_sketch_averages_trusted_vectors_alone() -> None:
    flow = moved(STEP)
    flow.valid[:, ::2] = 0
    flow.vectors_px[:, ::2] = 999
    sketch = SketchPair.of(FlowPair(flow, flow)).forward
    np.testing.assert_allclose(sketch.trusted[:, :-2], 0.5, atol=1e-5)
    np.testing.assert_allclose(sketch.vectors[:, :-2], np.broadcast_to((2, 0), (14, 22, 2)), atol=1e-4)


@pytest.mark.parametrize("key", [0, 3, 6])
def test_pan_is_traced_as_far_as_it_is_seen(key: int) -> None:
    traced = dict(trace_sketches(pan(7), key, range(7)))
    assert sorted(traced) == list(range(7))
    for frame, shares in traced.items():
        assert shares.mean() == pytest.approx(1 - abs(frame - key) * STEP / WIDTH, abs=0.01)
    assert traced[key].min() == 1


def test_what_is_given_moves_along() -> None:
    left = np.zeros((HEIGHT, WIDTH), bool)
    left[:, : WIDTH // 2] = True
    sketches = pan(4)
    traced = dict(trace_sketches(sketches, 3, range(4), to_shares(left, sketches, 3)))
    # Seen from frame 0 the half has moved to the right by three steps, and the first columns were not seen yet.
    assert traced[0][:, :6].max() == 0
    np.testing.assert_allclose(traced[0][:, 6:17], 1, atol=1e-5)
    assert traced[0][:, 19:].max() == 0


def test_nothing_is_traced_past_a_missing_flow() -> None:
    sketches = pan(7)
    del sketches[5]
    assert sorted(frame for frame, _ in trace_sketches(sketches, 2, range(7))) == [0, 1, 2, 3, 4]
    assert [frame for frame, _ in trace_sketches({}, 2, range(7))] == [2]
    assert sorted(frame for frame, _ in trace_sketches(pan(7), 2, range(1, 4))) == [1, 2, 3]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no base64!",
        "AAAA",
        base64.b64encode(zlib.compress(b"")).decode(),
        base64.b64encode(zlib.compress(bytes(200))).decode(),
        base64.b64encode(zlib.compress(bytes([2, 2]) * 50)).decode(),
        base64.b64encode(zlib.compress(bytes(1 << 24))).decode(),
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="sketch"):
        SketchPair.from_text(text)


def test_sketch_and_note_travel_together() -> None:
    noted = with_sketch(NotedFlowPair.of(FlowPair(moved(1), moved(-1)), "by DIS on the CPU"))
    assert noted.note == "by DIS on the CPU"
    assert noted.sketch
    assert NotedFlowPair.of(noted, "other").sketch == noted.sketch
