"""Chunks of a sound: overlapping parts that are restyled alone, and the fading of each into the next.

The parts of an overlap are alike, since both start from the same samples, but not equal. A linear fade between sounds
that differ dips in level, and one of constant power rises where they agree. So the fade's weights follow from how alike
the two parts are: whatever that is, the level stays.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Samples of a sound, `(channels, samples)`; full scale is 1."""

CHUNK_SECONDS, OVERLAP_SECONDS = 10.0, 0.5
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """The samples `start <= index < end` of a sound."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


def chunk_count(samples: int, rate: int) -> int:
    """Return the number of chunks of a sound; 0 if it is empty."""
    longest, overlap = _lengths(rate)
    return 0 if samples <= 0 else max(1, -(-(samples - overlap) // (longest - overlap)))


def chunk_spans(samples: int, rate: int) -> tuple[ChunkSpan, ...]:
    """Return the chunks of a sound, about equally long, each overlapping the next."""
    count, overlap = chunk_count(samples, rate), _lengths(rate)[1]
    edges = [number * max(0, samples - overlap) // max(1, count) for number in range(count)]
    starts = [*edges, samples - overlap]
    return tuple(
        ChunkSpan(start, samples if number == count - 1 else starts[number + 1] + overlap)
        for number, start in enumerate(edges)
    )


def _lengths(rate: int) -> tuple[int, int]:
    return round(CHUNK_SECONDS * rate), round(OVERLAP_SECONDS * rate)


def join_chunks(spans: tuple[ChunkSpan, ...], read: Callable[[int], Samples]) -> Iterator[Samples]:
    """Yield a sound from its restyled chunks, piece by piece; one chunk and an overlap are in memory.

    Args:
        spans: the chunks, from `chunk_spans`.
        read: returns a chunk by its number.
    """
    tail: Samples | None = None
    for number, span in enumerate(spans):
        chunk = read(number)
        kept = len(span) if number == len(spans) - 1 else spans[number + 1].start - span.start
        if tail is not None:
            faded = fade(tail, chunk[:, : tail.shape[1]])
            yield faded
            yield chunk[:, tail.shape[1] : kept]
        else:
            yield chunk[:, :kept]
        tail = chunk[:, kept:]


def fade(before: Samples, after: Samples) -> Samples:
    """Fade one sound into another of the same length, at a steady level whatever the two have in common."""
    rising = np.linspace(0, 1, before.shape[1], dtype=np.float32)
    falling = 1 - rising
    one, two = before.astype(np.float64), after.astype(np.float64)
    alike = float((one * two).sum() / (np.sqrt((one**2).sum() * (two**2).sum()) + _TINY))
    level = np.sqrt(falling**2 + rising**2 + 2 * max(0.0, alike) * falling * rising)
    return ((falling * before + rising * after) / level).astype(np.float32)
