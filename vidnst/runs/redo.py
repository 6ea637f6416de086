"""Frames of a run that are made again, because they failed or because the user asks for it."""

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from vidnst.errors import ConfigError, FramesFailedError, RangeError, RunError
from vidnst.events import OnEvent, Warned, ignore
from vidnst.farm.plan import FlowId, NetworkId, Node, NodeId, SoundId, StateId, StoredId
from vidnst.formatting import format_duration
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
    span: tuple[int, int],
    only: bool = False,
    on_event: OnEvent = ignore,
) -> None:
    """Mark frames, in all their passes, and what depends on them as unfinished, so that they are made again.

    What that takes is said before anything is marked.

    Args:
        store: the run.
        plans: the plans of its shots, each in its order.
        frames: indices of the whole source.
        span: the run's first frame, and the one after its last.
        only: leave what depends on the frames as it is.
        on_event: receives a warning with the number of frames that are made again, and the time that it takes.

    Raises:
        RangeError: a frame is outside the run's range.
        RunError: only these frames are to be made again, and states that they start from were deleted.
    """
    if outside := sorted(frame for frame in frames if not span[0] <= frame < span[1]):
        raise RangeError(f"frame {outside[0]} cannot be redone: the run has frames {span[0]} to {span[1] - 1}")
    chosen, marked, without_state = set(frames), list[set[StoredId]](), set[StoredId]()
    for plan in plans:
        nodes = list(plan)
        alone: set[StoredId] = {node.id for node in nodes if isinstance(node.id, StateId) and node.id.frame in chosen}
        again = alone if only else dependents_of_frames(nodes, chosen)
        without_state |= store.finished_nodes(nodes) - store.finished_nodes(nodes, but=again) - again
        marked.append(again)
    if only and without_state:
        raise RunError(
            f"{_frames(without_state)} that these start from would be painted again, too: their states were deleted",
            "give the frames to --redo; with --keep-frames from the start, a run keeps all states",
        )
    on_event(Warned(_announcement(store, chosen, set().union(*marked), without_state, only=only)))
    for again in marked:
        store.forget(again, frames=chosen)
    store.forget_finished(chosen)


def _announcement(
    store: RunStore, chosen: set[int], marked: set[StoredId], without_state: set[StoredId], *, only: bool
) -> str:
    """Say which frames are made again, how many depend on them, and how long that takes."""
    these = f"frame{'' if len(chosen) == 1 else 's'} {format_frame_list(chosen)}"
    them = "it" if len(chosen) == 1 else "them"
    others = len({node.frame for node in marked} - chosen)
    if only:
        text = f"rendering again: {these}, and nothing that depends on {them}"
    elif others:
        more = f"{others} more frame{'' if others == 1 else 's'}"
        text = f"rendering again: {these}, and {more} that {'depends' if others == 1 else 'depend'} on {them}"
    else:
        text = f"rendering again: {these}, on which no others depend"
    if without_state:
        text += f", and {_frames(without_state)} whose states were deleted (--keep-frames from the start keeps them)"
    seconds = _expected_seconds(RunLog.read(store.folder), marked | without_state)
    return text if seconds is None else f"{text}: about {format_duration(seconds)}"


def _frames(states: Iterable[StoredId]) -> str:
    count = len({state.frame for state in states})
    return f"{count} more frame{'' if count == 1 else 's'}"


def _expected_seconds(log: RunLog, nodes: Collection[StoredId]) -> float | None:
    """Return how long nodes take that were done before, at the speed of the run's sessions; None if that is unknown."""
    again = [log.done_nodes[name] for name in map(str, nodes) if name in log.done_nodes]
    if not again or not log.session_seconds:
        return None
    share = sum(again) / log.evaluations if log.evaluations else len(again) / len(log.done_nodes)
    return max(1.0, float(round(share * log.session_seconds)))


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
