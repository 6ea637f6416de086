"""Results that stay where a worker made them: jobs carry references, which are opened on the worker that needs them.

A pool whose workers are other processes splits each result: small facts (losses, evaluations, names) go to the driver,
the arrays stay behind. A job may hold a `Deferred` wherever its type says an array, a flow or a guidance; the worker
gets the value itself. A pool whose workers are threads passes the values. Imports no Ray or torch.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from vidnst.farm.jobs import FlowJob, PaintJob, Shared, Stylized, StylizeJob, Trained, TrainJob
from vidnst.motion.flow import FlowPair, with_flows

_JOBS = (StylizeJob, FlowJob, TrainJob, PaintJob)


class Deferred(ABC):
    """A value that a worker can have by a reference."""

    nbytes: int
    """Size of the value."""

    @abstractmethod
    def get(self) -> Any:
        """Return the value, in this process.

        Raises:
            LostValueError: the machine that held it is gone.
        """


@dataclass(frozen=True, slots=True)
class Part:
    """The place of a value: in a result, or in a job that is on its way."""

    group: int
    """Which of several groups of values; 0 in a result, which has one."""
    place: int
    """Position within the group."""
    nbytes: int = 0


def opened(value: Any) -> Any:
    """Return a value itself, whether it is deferred or not."""
    return value.get() if isinstance(value, Deferred) else value


def split_result(result: Any) -> tuple[Any, tuple[Any, ...]]:
    """Split a worker's result into facts, with `Part` in place of values, and these values; none for small results."""
    values: list[Any] = []

    def leave(value: Any) -> Part:
        values.append(value)
        return Part(0, len(values) - 1, value_size(value))

    if isinstance(result, FlowPair):
        return with_flows(result, [leave(flow) for flow in result]), tuple(values)  # type: ignore[misc]
    if isinstance(result, Stylized | Trained):
        arrays = {field.name: getattr(result, field.name) for field in fields(result)}
        changes: Any = {name: leave(value) for name, value in arrays.items() if isinstance(value, np.ndarray)}
        return replace(result, **changes), tuple(values)
    return result, ()


def join_result(facts: Any, defer: Callable[[Part], Deferred]) -> Any:
    """Put what stands for the values into the facts of a result."""
    return _changed(facts, Part, defer) if isinstance(facts, FlowPair | Stylized | Trained) else facts


def pack_job(job: Any, place_of: Callable[[Any], Part]) -> Any:
    """Replace every `Deferred` of a job by its place among the values that travel with the job."""
    return _changed(job, Deferred, place_of) if isinstance(job, _JOBS) else job


def unpack_job(job: Any, groups: Sequence[Sequence[Any]]) -> Any:
    """Put the values that came with a job into their places."""
    if not groups or not isinstance(job, _JOBS):
        return job
    return _changed(job, Part, lambda part: groups[part.group][part.place])


def _changed(value: Any, kind: type[Any], change: Callable[[Any], Any]) -> Any:
    """A copy of dataclasses and tuples with every object of a kind changed; the same objects where nothing is."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, tuple):
        parts = [_changed(part, kind, change) for part in value]
        if all(part is old for part, old in zip(parts, value, strict=True)):
            return value
        if isinstance(value, FlowPair):
            return with_flows(value, parts)
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if is_dataclass(value) and not isinstance(value, Shared):
        olds = {field.name: getattr(value, field.name) for field in fields(value)}
        news = {name: _changed(old, kind, change) for name, old in olds.items()}
        changes = {name: new for name, new in news.items() if new is not olds[name]}
        return replace(value, **changes) if changes else value  # type: ignore[type-var]
    return value


def value_size(value: Any) -> int:
    """The size of an array, or of the arrays of a dataclass, in bytes."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    return sum(value_size(getattr(value, field.name)) for field in fields(value)) if is_dataclass(value) else 0
