"""Chunks of a sound: they cover it, and joining them gives it back without a seam."""

from itertools import pairwise

import numpy as np
import pytest

from vidnst.style.sound.chunks import chunk_count, chunk_spans, fade, join_chunks

RATE = 1000


@pytest.mark.parametrize("samples", [1, 400, 9_999, 10_000, 10_001, 19_500, 73_217])
def test_joined_chunks_are_the_sound(samples: int) -> None:
    sound = np.random.default_rng(samples).standard_normal((2, samples)).astype(np.float32)
    spans = chunk_spans(samples, RATE)
    joined = list(join_chunks(spans, lambda number: sound[:, spans[number].start : spans[number].end]))
    np.testing.assert_allclose(np.concatenate(joined, 1), sound, atol=1e-6)


def test_chunks_overlap_by_half_a_second() -> None:
    spans = chunk_spans(73_217, RATE)
    assert len(spans) == chunk_count(73_217, RATE) == 8
    assert {before.end - after.start for before, after in pairwise(spans)} == {500}
    assert max(map(len, spans)) <= 10_000
    assert max(map(len, spans)) - min(map(len, spans)) <= 1


def test_an_empty_sound_has_no_chunk() -> None:
    assert chunk_spans(0, RATE) == ()


@pytest.mark.parametrize("alike", [0.0, 0.6, 1.0])
def test_a_fade_keeps_the_level(alike: float) -> None:
    generator = np.random.default_rng(1)
    one, other = generator.standard_normal((2, 1, 60_000)).astype(np.float32)
    two = np.float32(alike) * one + np.float32((1 - alike**2) ** 0.5) * other
    levels = (fade(one, two).reshape(-1, 6000) ** 2).mean(1)
    assert levels == pytest.approx(1, abs=0.07)
