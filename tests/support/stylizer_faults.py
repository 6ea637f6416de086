"""Workers whose stylizer misbehaves: it runs out of memory, spoils frames, or marks how it has made them."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from vidnst.farm.jobs import StylizeJob
from vidnst.farm.workers import StyleWorker
from vidnst.style.memory.modes import MemoryMode
from vidnst.style.minimize import StylizeResult
from vidnst.style.stylizer import Stylizer

Stylize = Callable[[], StylizeResult]

_current = threading.local()


def wrap_stylizer(
    patch: pytest.MonkeyPatch, wrapper: Callable[[StylizeJob, MemoryMode, int, Stylize], StylizeResult]
) -> None:
    """Have every attempt of a worker at a frame go through a wrapper.

    Args:
        wrapper: gets the job, the memory mode and the seed of the attempt, and a function that makes it.
    """
    run, stylize = StyleWorker.stylize, Stylizer.stylize

    def run_job(worker: StyleWorker, job: StylizeJob, **options: Any) -> Any:
        _current.job = job
        return run(worker, job, **options)

    def stylize_frame(stylizer: Stylizer, content: Tensor, **options: Any) -> StylizeResult:
        attempt = partial(stylize, stylizer, content, **options)
        return wrapper(_current.job, options["memory_mode"], options["seed"], attempt)

    patch.setattr(StyleWorker, "stylize", run_job)
    patch.setattr(Stylizer, "stylize", stylize_frame)


def with_pixels(result: StylizeResult, pixels: tuple[Any, ...], level: int) -> StylizeResult:
    """Return a result with some pixels at a level of 16 bits: `np.s_[rows, columns]`."""
    image = result.image.clone()
    image[(..., *pixels)] = level / 65535
    return replace(result, image=image)


def out_of_memory() -> torch.OutOfMemoryError:
    """Return the error that torch raises where a GPU's memory does not suffice."""
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1048576 bytes.")
