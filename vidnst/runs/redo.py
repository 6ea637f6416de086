"""Frames of a run that are made again, because they failed or because the user asks for it."""

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from vidnst.errors import ConfigError, FramesFailedError, RangeError
from vidnst.events import OnEvent, Warned, ignore
from vidnst.farm.plan import FlowId, NetworkId, Node, NodeId, SoundId, StateId, StoredId
from vidnst.runs import RunLog, RunStore
from vidnst.runs.layout import continue_command

_MAX_FRAMES = 1 << 24
"""Frames that one item of a list may name."""


def parse_frame_list(text: str) -> tuple[int, ...]:
    """Parse frames in a text like `7,30-35`, both ends included; ascending, each once.

    Raises:
        ConfigError: the text is no such list.
    """
    frames: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last - first >= _MAX_FRAMES:
            raise ConfigError(f"--redo {text!r} is no list of frames", "write for example --redo 7,30-35")
        frames.update(range(first, last + 1))
    return tuple(sorted(frames))


def format_frame_list(frames: Iterable[int]) -> str:
    """Format frames as a text that `parse_frame_list` reads: `7, 30-35`."""
    ordered = sorted(set(frames))
    gaps = (position for position, (one, two) in enumerate(pairwise(ordered), start=1) if two != one + 1)
    edges = [0, *gaps, len(ordered)]
    runs = [ordered[first:stop] for first, stop in pairwise(edges) if first < stop]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def redo_frames(
    store: RunStore,
    plans: Iterable[Iterable[Node]],
    frames: Collection[int],
    *,
    start: int,
    end: int,
    on_event: OnEvent = ignore,
) -> None:
    """Mark frames, in all their passes, and what depends on them as unfinished, so that they are made again.

    Args:
        store: the run.
        plans: the plans of its shots, each in its order.
        frames: indices of the whole source.
        start, end: the run's range.
        on_event: receives a warning with the number of nodes that are made again.

    Raises:
        RangeError: a frame is outside the run's range.
    """
    if outside := sorted(frame for frame in frames if not start <= frame < end):
        raise RangeError(f"frame {outside[0]} cannot be redone: the run has frames {start} to {end - 1}")
    chosen, marked, without_state = set(frames), set[StoredId](), 0
    for plan in plans:
        nodes = list(plan)
        before = store.finished_nodes(nodes)
        dependents = dependents_of_frames(nodes, chosen)
        store.forget(dependents, frames=chosen)
        marked |= dependents
        without_state += len(before - store.finished_nodes(nodes) - dependents)
    store.forget_finished(chosen)
    text = f"frames {format_frame_list(chosen)} are rendered again, {len(marked)} nodes with all that depend on them"
    if without_state:
        text += f", and {without_state} more whose states were deleted (output.keep_frames from the start keeps them)"
    on_event(Warned(text))


def dependents_of_frames(nodes: Iterable[Node], frames: Collection[int]) -> set[StoredId]:
    """The states of frames, and those that read them directly or through others, of a plan in its order."""
    states = [node for node in nodes if isinstance(node.id, StateId)]
    return with_dependents(states, {node.id for node in states if node.id.frame in frames})


def with_dependents(nodes: Iterable[Node], roots: Collection[NodeId]) -> set[StoredId]:
    """Some nodes of a plan in its order, and those that read them directly or through others; flows are left out."""
    dependents: set[StoredId] = set()
    for node in nodes:
        if not isinstance(node.id, FlowId) and (node.id in roots or not dependents.isdisjoint(node.stored_needs)):
            dependents.add(node.id)
    return dependents


def frames_failed(
    given_up: Mapping[NodeId, tuple[str, NodeId | None]], folder: Path, output: Path, *, frames: int
) -> FramesFailedError:
    """The error for a run in which nodes were given up: how many frames, which, why, and what to do.

    Args:
        given_up: for each node one line about what went wrong, and the node at which it did, if it is another.
        folder, output: the run folder, and what it renders.
        frames: number of frames of the whole run.
    """
    if training := next((node for node in given_up if isinstance(node, NetworkId)), None):
        error, _ = given_up[training]
        return FramesFailedError(
            f"no frame of {frames} is painted because {training.describe()} failed: {error}",
            f"retry it with: {continue_command('retry', folder, output)}",
            frames=(),
        )
    missing = sorted({node.frame for node in given_up if isinstance(node, StateId)})
    if not missing and (chunk := next((node for node in given_up if isinstance(node, SoundId)), None)):
        return FramesFailedError(
            f"the soundtrack lacks {chunk.describe()}: {given_up[chunk][0]}; everything else is finished and kept",
            f"retry it with: {continue_command('retry', folder, output)}",
            frames=(),
        )
    failed = [(node, error) for node, (error, because) in given_up.items() if because is None]
    root, error = failed[0] if failed else next((node, error) for node, (error, _) in given_up.items())
    others = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    return FramesFailedError(
        f"{len(missing)} of {frames} frames failed ({format_frame_list(missing)}) because"
        f" {root.describe()}{others} did: {error}; everything else is finished and kept",
        f"retry these with: {continue_command('retry', folder, output)}",
        frames=tuple(missing),
    )


def report_suspects(folder: Path, on_event: OnEvent) -> None:
    """Warn of the frames that look wrong, those of earlier sessions included."""
    if suspects := dict(sorted(RunLog.read(folder).suspects.items())):
        frame, problem = next(iter(suspects.items()))
        subject = "frame looks wrong and is" if len(suspects) == 1 else "frames look wrong and are"
        listed = format_frame_list(suspects)
        on_event(Warned(f"{len(suspects)} {subject} kept as is: {listed}; frame {frame}: {problem}"))
