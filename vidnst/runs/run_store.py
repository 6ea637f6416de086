"""A run folder, open for work: results are written so that a kill at any moment loses next to nothing.

A node is finished when the log says so. Its frame, and its state if an unfinished node reads it, are on the disk under
their final names before that line is written, so a kill loses at most the nodes in flight and those that wait to be
written (see `async_writer`).
"""

import json
import os
import socket
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import OutputError, RunError
from vidnst.farm.deferred import Deferred, opened
from vidnst.farm.plan import NetworkId, Node, NodeId, SoundId, StateId, StoredId, finished_nodes
from vidnst.files.atomic_write import translate_os_errors, write_all_atomically, write_bytes_atomically
from vidnst.files.part_files import PartMaker, can_move, is_part_of, remove_part, remove_parts
from vidnst.runs.disk_space import output_bytes
from vidnst.runs.done_record import DoneRecord
from vidnst.runs.event_log import EventLog
from vidnst.runs.folder_lock import FolderLock
from vidnst.runs.layout import FOLDERS, RunLayout, check_run, foreign_names, frame_name, holds_run, state_name
from vidnst.runs.manifest import Manifest
from vidnst.runs.plan_record import RunPlan
from vidnst.runs.removal import clear, remove_all_images, remove_finished, remove_states
from vidnst.runs.run_log import RunLog
from vidnst.runs.safe_files import check_folder, file_names
from vidnst.runs.stored_arrays import StoredArray, check_array, read_network_file, read_state_file, save_array

_MAX_REDO_NODES = 10_000
"""Nodes that one line of the log names: it must not grow without bounds."""


class RunStore:
    """A run folder that this process has locked. Made by `create` or `open`; close it, or use it in a `with`."""

    def __init__(self, folder: Path, manifest: Manifest, lock: FolderLock) -> None:
        self.folder = folder
        self.layout = RunLayout(folder)
        self.manifest = manifest
        self._lock = lock
        self._plan: RunPlan | None = None
        with translate_os_errors(folder):
            for name in FOLDERS:
                check_folder(folder / name)
            remove_parts(folder)
            for path in (self.layout.states, self.layout.frames):
                path.mkdir(exist_ok=True)
                remove_parts(path)
            self._states, self._frames = file_names(self.layout.states), file_names(self.layout.frames)
        self._events = EventLog(self.layout.log)
        log = RunLog.read(folder)
        self.complete = log.complete
        """True if nothing is left to do: the output is in its place, and measured where that was wanted."""
        self.seconds_per_frame = log.seconds_per_frame
        """Pace of the last session that finished at least two frames: seconds from one to the next."""
        self.is_first_session = log.sessions == 0
        """True if no earlier session has worked here."""
        self._done = set(log.done_nodes)
        for part in map(Path, log.parts):
            if is_part_of(part, Path(manifest.output)):
                remove_part(part)
        self._session = Lock()
        self._has_session = False

    @classmethod
    def create(cls, folder: Path, manifest: Manifest, *, restart: bool = False) -> Self:
        """Begin a run in a folder that is empty, or new.

        Args:
            folder: made if it is missing; what an unfinished `create` left in it is removed.
            manifest: the record of what is rendered.
            restart: whether to remove a run that the folder holds.

        Raises:
            RunError: the folder holds a run (without `restart`) or foreign files, or is in use.
            OutputError: it cannot be written; DiskFullError if there is no space.
        """
        with translate_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            foreign = foreign_names(folder)
        if foreign:
            raise RunError(
                f"the folder {folder} has files that belong to no run ({foreign[0]})",
                "choose an empty or new folder with --work-dir",
            )
        lock = FolderLock(RunLayout(folder).lock)
        try:
            if holds_run(folder) and not restart:
                raise RunError(f"the folder {folder} holds a run already", "resume it, or give --restart")
            clear(folder)
            write_bytes_atomically(RunLayout(folder).manifest, manifest.to_json())
            return cls(folder, manifest, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Resume a run.

        Raises:
            RunError: there is no run, or it is damaged or in use.
        """
        check_run(folder)
        lock = FolderLock(RunLayout(folder).lock)
        try:
            return cls(folder, Manifest.read(folder), lock)
        except BaseException:
            lock.release()
            raise

    def adopt(self, manifest: Manifest) -> None:
        """Record the settings of the input and the keys that a manifest of the same frames has, for later sessions."""
        config = self.manifest.config | {name: manifest.config[name] for name in ("input", "keys")}
        adopted = self.manifest.model_copy(update={"config": config, "look": manifest.look})
        if adopted != self.manifest:
            write_bytes_atomically(self.layout.manifest, adopted.to_json())
            self.manifest = adopted

    @property
    def plan(self) -> RunPlan | None:
        """The plan of the run; None before it is made.

        Raises:
            RunError: the file is damaged.
        """
        if self._plan is None:
            self._plan = RunPlan.read(self.folder)
        return self._plan

    def write_plan(self, plan: RunPlan) -> None:
        """Keep what is planned, for this session and later ones."""
        write_bytes_atomically(self.layout.plan, json.dumps(plan.model_dump(mode="json", exclude_none=True)).encode())
        self._plan = plan

    def update_plan(self, **changes: Any) -> None:
        """Change some values of the plan, which must have been written before."""
        assert self.plan is not None
        self.write_plan(self.plan.model_copy(update=changes))

    def write_measure(self, numbers: Mapping[str, Any]) -> Path:
        """Keep how steady the result is, as JSON values; returns the path of the file."""
        write_bytes_atomically(self.layout.measure, json.dumps(numbers, indent=1, allow_nan=False).encode())
        return self.layout.measure

    def write(
        self,
        *,
        states: Mapping[StoredId, StoredArray | Deferred] | None = None,
        frames: Mapping[int, Callable[[Path], object]] | None = None,
        threads: Executor | None = None,
    ) -> None:
        """Write results of nodes; no file is renamed to its final name before all are on the disk.

        Args:
            states: frames' states and networks, or references to them, which are opened as they are written.
            frames: by index in the source, a function that writes the finished image to the path that it is given (a
                temporary name that ends in `.png`).
            threads: writes the files in parallel; None writes them one after the other in this thread.

        Raises:
            DiskFullError: no space is left. OutputError: the files cannot be written for another reason.
            LostValueError: the machine that held a state is gone.
        """
        states, frames = states or {}, frames or {}
        for node, values in states.items():
            if not isinstance(values, Deferred):
                check_array(node, values.ndim, values.dtype)
        state_files = {
            self.layout.state(node): partial(_save_state, node=node, values=values) for node, values in states.items()
        }
        frame_files = {self.layout.frame(index): write for index, write in frames.items()}
        write_all_atomically({**state_files, **frame_files}, threads=threads)
        self._states.update(path.name for path in state_files)
        self._frames.update(path.name for path in frame_files)

    def write_mask(self, region: str, index: int, data: bytes) -> None:
        """Write the PNG file of a region's mask of a frame. Errors as in `write`."""
        path = self.layout.mask(region, index)
        check_folder(path.parent)
        with translate_os_errors(self.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path, data)

    def has_state(self, state: NodeId) -> bool:
        """True if the state can be read back; never for a flow."""
        return state_name(state) in self._states

    def read_state(self, state: StateId, *, width: int, height: int) -> NDArray[np.uint16]:
        """Read a state as it was written; see `stored_arrays.read_state_file`."""
        return read_state_file(self.layout.state(state), width=width, height=height)

    def read_network(self, network: NetworkId | SoundId) -> NDArray[np.float32]:
        """Read what a stage of a training left, or a chunk of sound; see `stored_arrays.read_network_file`."""
        return read_network_file(self.layout.state(network))

    def release(self, nodes: Iterable[NodeId]) -> None:
        """Delete states that no node will read any more; flows have no files."""
        names = self._states.intersection(map(state_name, nodes))
        self._states -= names
        with translate_os_errors(self.folder):
            remove_states(self.folder, names)

    def record(self, kind: str, *, durable: bool = False, **facts: Any) -> None:
        """Add an event to the log, from any thread; its facts are JSON values."""
        self._begin_session()
        self._events.append(kind, facts, durable=durable)

    def _begin_session(self) -> None:
        """Name this process in the log before its first event: a request that is refused leaves a run as it was."""
        with self._session:
            if not self._has_session:
                self._has_session = True
                self._events.append("session", {"process": os.getpid(), "host": socket.gethostname()})

    def record_done(self, nodes: Iterable[DoneRecord]) -> None:
        """Mark nodes as finished, all at once. Their states and frames must have been written before."""
        nodes = list(nodes)
        self._begin_session()
        self._events.extend([("done", done.to_dict()) for done in nodes])
        self._done.update(str(done.node.id) for done in nodes)

    def forget(self, nodes: Iterable[StoredId], *, frames: Iterable[int]) -> None:
        """Mark nodes as unfinished, so that they are made again; their old states stay until they are replaced.

        Args:
            nodes: nodes of one component.
            frames: the frames that are the reason, for the log.
        """
        names = sorted(map(str, nodes))
        for first in range(0, len(names), _MAX_REDO_NODES):
            self.record("redo", durable=True, nodes=names[first : first + _MAX_REDO_NODES], frames=len(set(frames)))
        self._done.difference_update(names)
        self.complete = False

    def forget_finished(self, frames: Iterable[int]) -> None:
        """Delete all finished images, since they depend on each other, and the filtered source images of some frames.

        Args:
            frames: the frames whose filtered source images are deleted.
        """
        with translate_os_errors(self.folder):
            remove_finished(self.folder, frames)

    @property
    def begun(self) -> bool:
        """True if there is any result that would be lost."""
        return bool(self._done or self._states or self._frames)

    @property
    def frames_kept(self) -> int:
        """Number of frames that are in the folder."""
        return len(self._frames)

    def finished(self, node: Node) -> bool:
        """True if the log says that the node is done, and what it leaves for good is there: a frame, network, sound."""
        if str(node.id) not in self._done:
            return False
        if isinstance(node.id, NetworkId) and not node.uses:  # the last stage, which frames are painted with
            return self.has_state(node.id)
        if isinstance(node.id, SoundId):  # the soundtrack is put together from all chunks
            return self.has_state(node.id)
        return not node.final or frame_name(node.id.frame) in self._frames

    def finished_nodes(self, nodes: Iterable[Node], *, but: Container[NodeId] = ()) -> set[StoredId]:
        """Nodes of one component (a shot's plan, in its order) that need no more work: see `plan.finished_nodes`.

        Args:
            nodes: the component's plan.
            but: nodes that count as unfinished.
        """
        if not self._done:
            return set()
        return finished_nodes(
            nodes, finished=lambda node: node.id not in but and self.finished(node), stored=self.has_state
        )

    def part_maker(self, output: Path) -> PartMaker:
        """What makes the temporary files of an output, so that a later session removes those that a kill leaves.

        They are in the run folder, if they can be moved from there; else they are next to it, and the log names them.
        """
        if can_move(self.folder, output):
            return PartMaker(self.folder)
        return PartMaker(announce=lambda part: self.record("part", durable=True, path=os.path.abspath(part)))

    @contextmanager
    def writing_output(self, output: Path) -> Iterator[None]:
        """Note that an output is being made, for `RunLog.was_writing` after a kill."""
        self.record("writing", durable=True, output=os.path.abspath(output))
        try:
            yield
        except Exception:
            with suppress(OutputError):  # a full disk cannot take this either
                self.record("unwritten")
            raise

    def finish(self, *, keep: bool, output: Path) -> None:
        """Record that nothing is left to do, and the output's size; delete states and images unless `keep` is set."""
        self.record("finished", durable=True, output_bytes=output_bytes(output))
        self.complete = True
        if keep:
            return
        remove_all_images(self.folder)
        self._states.clear()
        self._frames.clear()

    def close(self) -> None:
        """Close the log and release the lock of the folder."""
        self._events.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _save_state(path: Path, *, node: StoredId, values: StoredArray | Deferred) -> None:
    array = opened(values)
    check_array(node, array.ndim, array.dtype)
    save_array(path, array)
