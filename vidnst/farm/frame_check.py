"""Judges a painted frame by its job: whether it is stale, or does not fit what it started from."""

import numpy as np

from vidnst.farm.jobs import Stylized, StylizeJob
from vidnst.motion.quality_gate import Neighbour, quality_problem, thumbnail_luma

_MAX_STALENESS = 1.5
"""Staleness from which a frame is painted once more. Key frames of time-lapses reach 1.1."""


def is_stale(result: Stylized) -> bool:
    """True if a frame is known to show an earlier one."""
    return result.staleness is not None and result.staleness > _MAX_STALENESS


def quality_problem_of(job: StylizeJob, result: Stylized) -> str:
    """Compare a result with the starts of its job, and with its own content; returns its problem, empty without one."""
    if job.source_thumbnails is None or result.thumbnail_luma is None:
        return ""
    if is_stale(result):
        return f"it shows an earlier frame: {result.staleness:.2g} times as far from its source as a fresh painting"
    known = job.state_thumbnails or (None,) * len(job.starts)
    neighbours = [
        Neighbour(thumbnail_luma(start.state) if thumbnail is None else thumbnail, source, start.flow)
        for start, source, thumbnail in zip(job.starts, job.source_thumbnails, known, strict=True)
        if start.flow is not None and source is not None
    ]
    return quality_problem(result.thumbnail_luma, thumbnail_luma(job.content), neighbours)


def retry_seed(seed: int) -> int:
    """The seed of a frame's second attempt."""
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])
