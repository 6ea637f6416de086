"""Opens the run folder of a render: an earlier run goes on, or is replaced where that is asked for."""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vidnst.errors import ConfigError, FarmError, OutputError, RangeError, RunError, StyleError, VidnstError
from vidnst.events import Cancelled
from vidnst.farm.component_window import default_window
from vidnst.farm.plan import FlowId, Node
from vidnst.formatting import counted
from vidnst.media.output.preflight import check_output
from vidnst.processes.parallel import local_cores
from vidnst.rendering.prepare import CheckedRequest
from vidnst.rendering.redo_keys import with_recorded_keys
from vidnst.runs import Manifest, RunLog, RunStore, check_free_space, holds_run, required_bytes
from vidnst.runs.layout import RunLayout, owns_output
from vidnst.runs.removal import remove_run
from vidnst.runs.safe_files import file_names


def open_run(
    checked: CheckedRequest,
    *,
    restart: bool,
    start_over: bool = False,
    redo: bool = False,
    new_keys: Collection[int] = (),
) -> tuple[RunStore, str]:
    """Open the run folder to resume the same render, or begin a new run if the disk can hold it.

    Args:
        checked: what is rendered.
        restart: discard what is in the folder.
        start_over: discard it, too, where it is another render of the same output.
        redo: frames of an earlier run are to be rendered again, so there must be one that kept its frames.
        new_keys: frames whose painted keys differ from those of that run.

    Returns:
        The open folder, and a sentence about what was discarded; empty if nothing was that could be resumed.

    Raises:
        RunError: the folder holds another render, or frames that would be lost, or none to redo.
        DiskFullError: the disk is too small.
    """
    folder, note = checked.request.folder, ""
    if redo and not holds_run(folder):
        raise RunError(f"{folder} is no run folder, so there are no frames to redo", "render without --redo")
    if holds_run(folder) and not restart:
        store = RunStore.open(folder)
        manifest = with_recorded_keys(checked.manifest, store.manifest, new_keys) if new_keys else checked.manifest
        _check_output(checked, store)
        changes = store.manifest.changes(manifest, any_range=checked.has_independent_frames and not store.complete)
        if not changes and (not store.complete or checked.config.output.keep_frames):
            store.adopt(manifest)
            return store, ""
        store.close()
        if changes and store.begun:
            note = _start_over(checked, store, changes, start_over=start_over, redo=redo)
        elif not changes and store.frames_kept:
            raise _kept_frames_refused(folder, store.frames_kept)
        elif not changes and redo:
            raise RunError(
                f"the run in {folder} is finished and has kept no frames, so none of them can be redone by itself",
                "render all of it again with --restart, and with --keep-frames to have them kept from then on",
            )
        restart = True  # nothing is lost: a finished run keeps no frames, and one that failed at the start has none
    check_disk(checked, (checked.width, checked.height))
    return RunStore.create(folder, checked.manifest, restart=restart), note


@contextmanager
def closed_after_error(store: RunStore) -> Iterator[None]:
    """Close the store if the block is left by an error."""
    try:
        yield
    except BaseException:
        store.close()
        raise


@contextmanager
def removing_refused(store: RunStore, cancelled: Cancelled | None = None) -> Iterator[None]:
    """Remove the run folder if the block is left because an option is refused before anything was tried.

    The store must be closed by then. A render that is being stopped keeps its folder, and can be resumed.
    """
    try:
        yield
    except (ConfigError, FarmError, RangeError, StyleError) as error:
        is_refusal = not isinstance(error, FarmError) or type(error) is FarmError
        is_stopping = cancelled is not None and cancelled()
        if is_refusal and store.is_first_session and not is_stopping and not _has_results(store):
            remove_run(store.folder)
        raise


def _has_results(store: RunStore) -> bool:
    """Return True if frames were painted, or tried, or the source was studied, which may have taken long."""
    is_studied = store.plan is not None and store.plan.adjustments is not None
    return store.begun or is_studied or RunLog.read(store.folder).failed_attempts > 0


def _check_output(checked: CheckedRequest, store: RunStore) -> None:
    """Raise RunError, and close the store, if its run is of another output and the folder was only named for this."""
    folder, output = store.folder, checked.request.output
    if store.begun or store.complete:
        if _is_same_place(store.manifest.output, output) or owns_output(folder, output):
            return
        store.close()
        raise RunError(
            f"the run in {folder} is of another output, {store.manifest.output}",
            "choose another --work-dir, or discard that run with --restart",
        )


def _start_over(checked: CheckedRequest, store: RunStore, changes: list[str], *, start_over: bool, redo: bool) -> str:
    """Return what to say about a run that is replaced by another render.

    Raises:
        RunError: it may not be: nobody asked for that, or it is the run of another output.
    """
    loss = _loss(store.frames_kept, len(RunLog.read(store.folder).done_nodes))
    refusal = _other_render(store.folder, changes, loss)
    if checked.request.continues:
        raise RunError(refusal.what, "undo the change, or render it under another name")
    if redo:
        raise RunError(refusal.what, "give the same settings to redo some of its frames, or leave out --redo")
    if not start_over:
        raise refusal
    return f"{refusal.what}; starting over, as --overwrite says{loss}"


def check_existing(checked: CheckedRequest, *, overwrite: bool, restart: bool) -> VidnstError | None:
    """Return why a render would be refused because of its output, or of what an earlier session left; None if not.

    Nothing is changed.
    """
    request, folder = checked.request, checked.request.folder
    log = RunLog.read(folder) if holds_run(folder) and not restart else None
    is_own = log is not None and owns_output(folder, request.output) and log.was_writing(request.output)
    if refusal := _output_refusal(checked, overwrite=overwrite or is_own):
        return refusal
    if log is None or not log.done_nodes:
        return None
    changes, kept = _changes(checked, log), len(file_names(RunLayout(folder).frames))
    if changes:
        return None if overwrite else _other_render(folder, changes, _loss(kept, len(log.done_nodes)))
    is_refused = log.complete and kept and not checked.config.output.keep_frames
    return _kept_frames_refused(folder, kept) if is_refused else None


def existing_in_words(checked: CheckedRequest, nodes: Iterable[Node], *, restart: bool) -> dict[str, str]:
    """Say what becomes of an `output` and of a `run` that exist, if a render is not refused because of them.

    Nothing is changed.

    Args:
        checked: what is rendered.
        nodes: those of its plan.
        restart: as for a render.
    """
    words: dict[str, str] = {}
    if _output_refusal(checked, overwrite=False) and not _output_refusal(checked, overwrite=True):
        words["output"] = "is replaced"
    folder = checked.request.folder
    log = RunLog.read(folder) if holds_run(folder) else RunLog()
    if not log.done_nodes:
        return words
    kept = len(file_names(RunLayout(folder).frames))
    loss, changes = _loss(kept, len(log.done_nodes)), _changes(checked, log)
    if restart:
        words["run"] = f"starts over, as --restart says{loss}"
    elif changes:
        words["run"] = f"is of another render ({'; '.join(changes)}) and starts over{loss}"
    elif log.complete:
        frames = counted(kept, "frame")
        words["run"] = f"is finished and has kept {frames}" if kept else "is finished; all frames are painted again"
    else:
        pieces = [str(node.id) for node in nodes if not isinstance(node.id, FlowId)]
        done = sum(name in log.done_nodes for name in pieces)
        words["run"] = f"goes on: {done} of {counted(len(pieces), 'piece')} done"
    return words


def check_sized_output(checked: CheckedRequest, size: tuple[int, int], *, overwrite: bool) -> None:
    """Make sure that the output of a checked request can be written with frames of a size in pixels.

    Raises:
        OutputError: it cannot, or it exists and `overwrite` is False.
    """
    check_output(
        checked.request.output,
        checked.config.output,
        clip=checked.clip,
        start=checked.start,
        end=checked.end,
        overwrite=overwrite,
        size=size,
    )


def _output_refusal(checked: CheckedRequest, *, overwrite: bool) -> OutputError | None:
    """Return why the output would be refused; None if it would not."""
    try:
        check_sized_output(checked, (checked.width, checked.height), overwrite=overwrite)
    except OutputError as error:
        return error
    return None


def _changes(checked: CheckedRequest, log: RunLog) -> list[str]:
    """List in what a render differs from the run in its folder."""
    any_range = checked.has_independent_frames and not log.complete
    return Manifest.read(checked.request.folder).changes(checked.manifest, any_range=any_range)


def _other_render(folder: Path, changes: Sequence[str], loss: str) -> RunError:
    return RunError(
        f"the run in {folder} is of another render: {'; '.join(changes)}",
        f"start over with --overwrite{loss}, keep both with another --work-dir, or undo the change",
    )


def _kept_frames_refused(folder: Path, kept: int) -> RunError:
    return RunError(
        f"the run in {folder} is finished and has kept its {kept} frames",
        "give --keep-frames to go on with them, or --restart to delete them and paint all again",
    )


def _loss(frames: int, pieces: int) -> str:
    """Say what starting over deletes: finished frames, else the passes of frames and other pieces that are done."""
    if frames:
        return f", which deletes the {counted(frames, 'frame')} that it has finished"
    return f", which deletes the {counted(pieces, 'piece')} that it has done" if pieces else ""


def _is_same_place(one: str | os.PathLike[str], two: str | os.PathLike[str]) -> bool:
    return os.path.realpath(one) == os.path.realpath(two)


def check_disk(checked: CheckedRequest, size: tuple[int, int]) -> None:
    """Check that the run folder's disk can hold frames of this size.

    Raises:
        DiskFullError: it cannot.
    """
    check_free_space(checked.request.folder, disk_bytes(checked, size))


def disk_bytes(checked: CheckedRequest, size: tuple[int, int]) -> int:
    """Return how many bytes the run folder may come to hold with frames of this width and height."""
    config = checked.config
    more_bits = config.output.picture_bits * config.finishes + checked.clip.bit_depth * bool(config.filters.before)
    sound = checked.sound.disk_bytes if checked.sound is not None else 0
    return sound + required_bytes(
        frames=checked.frames,
        width=size[0],
        height=size[1],
        states=_most_states(checked),
        bits=config.frame_bits,
        more_bits=more_bits,
    )


def _most_states(checked: CheckedRequest) -> int:
    """Return how many states the run folder may hold at once."""
    schedule, farm = checked.schedule, checked.config.farm
    if schedule.kind == "independent":
        return 0
    passes = max(1, schedule.passes) if schedule.kind in ("keys", "network") else 1
    if checked.config.output.keep_frames:
        return checked.frames * passes
    if schedule.kind == "chain":
        return 2 * local_cores()
    window = farm.window or default_window(farm.workers or local_cores(), groups=schedule.spacing)
    return min(checked.frames * passes, 2 * window)  # of each frame, the last pass and the one before
