"""Which frames of a run are to be made again: because they failed, or because somebody asks for it."""

import re
import shlex
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from vidnst.errors import ConfigError, FramesFailedError, RangeError
from vidnst.events import OnEvent, Warned, ignore
from vidnst.farm.plan import FlowId, Node, NodeId, StateId
from vidnst.runs import RunLog, RunStore

_MOST = 1 << 24
"""Frames that a list may name."""


def parse_frames(text: str) -> tuple[int, ...]:
    """Frames out of a text like `7,30-35`, both ends included; ascending, each once.

    Raises:
        ConfigError: it is no such text.
    """
    frames: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last or last - first >= _MOST:
            raise ConfigError(f"--redo {text!r} is no list of frames", "write for example --redo 7,30-35")
        frames.update(range(first, last + 1))
    return tuple(sorted(frames))


def spans(frames: Iterable[int]) -> str:
    """Frames as a text that `parse_frames` reads: `7, 30-35`."""
    ordered = sorted(set(frames))
    cuts = [0, *(place for place, (one, two) in enumerate(pairwise(ordered), 1) if two != one + 1), len(ordered)]
    parts = [ordered[first:stop] for first, stop in pairwise(cuts) if first < stop]
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def redo_frames(
    store: RunStore,
    plans: Iterable[Iterable[Node]],
    frames: Collection[int],
    *,
    start: int,
    end: int,
    on_event: OnEvent = ignore,
) -> None:
    """Have a run forget frames, in all their passes, and what depends on them; they are made again like others.

    Args:
        store: the run.
        plans: of its shots, each in its order.
        frames: indices of the whole source.
        start, end: the run's range.
        on_event: hears how many there are.

    Raises:
        RangeError: a frame is not of the run.
    """
    if strange := sorted(frame for frame in frames if not start <= frame < end):
        raise RangeError(f"frame {strange[0]} cannot be redone: the run has frames {start} to {end - 1}")
    asked, forgotten, anew = set(frames), set[StateId](), 0
    for plan in plans:
        nodes = list(plan)
        before = store.finished_states(nodes)
        gone = depending(nodes, asked)
        store.forget(gone, frames=asked)
        forgotten |= gone
        anew += len(before - store.finished_states(nodes) - gone)
    store.forget_finished(asked)
    text = f"frames {spans(asked)} are rendered again, {len(forgotten)} pieces of work with what depends on them"
    if anew:
        text += (
            f", and {anew} more whose states are no longer there (with output.keep_frames from the start they would be)"
        )
    on_event(Warned(text))


def depending(nodes: Iterable[Node], frames: Collection[int]) -> set[StateId]:
    """The states of frames, and those that read them directly or through others. A plan in its order."""
    states = [node for node in nodes if isinstance(node.id, StateId)]
    return reading(states, {node.id for node in states if node.id.frame in frames})


def reading(nodes: Iterable[Node], roots: Collection[NodeId]) -> set[StateId]:
    """Some states of a plan, and those that read them directly or through others. The plan in its order."""
    found: set[StateId] = set()
    for node in nodes:
        if isinstance(node.id, StateId) and (node.id in roots or not found.isdisjoint(node.states)):
            found.add(node.id)
    return found


def frames_failed(
    given_up: Mapping[NodeId, tuple[str, NodeId | None]], folder: Path, *, frames: int
) -> FramesFailedError:
    """What to tell of a run in which nodes were given up: how many frames, which, why, and what to do.

    Args:
        given_up: for each node one line about what went wrong, and the node at which it did, where it is another.
        folder: the run's.
        frames: of the whole run.
    """
    missing = sorted({node.frame for node in given_up if isinstance(node, StateId)})
    failed = [(node, error) for node, (error, because) in given_up.items() if because is None]
    root, error = failed[0] if failed else next((node, error) for node, (error, _) in given_up.items())
    others = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    return FramesFailedError(
        f"{len(missing)} of {frames} frames failed ({spans(missing)}) because {node_name(root)}{others} did: {error};"
        " all else is finished and kept",
        f"try these again with: vidnst retry {shlex.quote(str(folder))}",
        frames=tuple(missing),
    )


def node_name(node: NodeId) -> str:
    """A node as a user knows it."""
    if isinstance(node, FlowId):
        return f"the motion from frame {node.frame} to frame {node.reference}"
    return f"frame {node.frame}" + (f" in pass {node.pass_index}" if node.pass_index else "")


def report_suspects(folder: Path, on_event: OnEvent) -> None:
    """Tell which frames look wrong, this session's and earlier ones'."""
    if wrong := dict(sorted(RunLog.read(folder).suspects.items())):
        frame, why = next(iter(wrong.items()))
        looks = "frame looks wrong and is" if len(wrong) == 1 else "frames look wrong and are"
        on_event(Warned(f"{len(wrong)} {looks} kept as is: {spans(wrong)}; frame {frame}: {why}"))
