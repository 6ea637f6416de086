"""Files of run folders that are something else: links, hard links, pipes; what is opened, and what is deleted."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.planted import Canary, plant
from support.run_folders import complete, manifest_of, nodes_of

from vidnst.errors import OutputError, RunError, VidnstError
from vidnst.farm.plan import StateId
from vidnst.runs import LogReader, Manifest, RunLog, RunPlan, RunStore, lock_holder
from vidnst.runs.event_log import EventLog
from vidnst.runs.folder_lock import FolderLock
from vidnst.runs.image_folder import ImageFolder
from vidnst.runs.removal import clear, remove_images
from vidnst.runs.safe_files import check_folder, file_names, is_file, open_descriptor, read_file
from vidnst.runs.stored_arrays import read_state_file


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    return Canary(tmp_path / "elsewhere")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a frame and a state."""
    folder = tmp_path / "out.mp4.vidnst"
    with RunStore.create(folder, manifest_of(output=str(tmp_path / "out.mp4"))) as store:
        complete(store, nodes_of(1)[0])
    return folder


OPENERS: list[Callable[[Path], object]] = [
    lambda path: FolderLock(path),
    lambda path: EventLog(path),
    lambda path: LogReader(path).read_new(),
    lambda path: read_file(path, max_bytes=1 << 20),
    lambda path: open_descriptor(path, os.O_RDWR | os.O_CREAT),
    lambda path: read_state_file(path, width=7, height=5),
]


@pytest.mark.parametrize("opener", range(len(OPENERS)))
@pytest.mark.parametrize("kind", ["link", "dangling link", "link to itself", "hard link", "FIFO", "folder"])
def test_what_is_no_file_of_its_own_is_refused(kind: str, opener: int, tmp_path: Path, canary: Canary) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    plant(kind, folder / "lock", canary)
    with pytest.raises(VidnstError, match=r"link|not a file of its own"):
        OPENERS[opener](folder / "lock")
    assert not is_file(folder / "lock")
    assert file_names(folder) == set()
    assert lock_holder(folder / "lock") is None
    assert canary.is_untouched()


@pytest.mark.parametrize("name", ["lock", "events.jsonl", "run.json", "plan.json"])
@pytest.mark.parametrize("kind", ["link", "hard link", "FIFO"])
def test_run_with_a_foreign_record_is_not_opened(name: str, kind: str, run: Path, canary: Canary) -> None:
    plant(kind, run / name, canary)
    with pytest.raises(RunError, match=name), RunStore.open(run) as store:
        assert store.plan
    assert canary.is_untouched()


def test_files_in_a_linked_folder_are_not_opened(run: Path, canary: Canary) -> None:
    plant("link", run / "frames", canary)
    assert not is_file(run / "frames" / "00000000.png")
    with pytest.raises(RunError, match="frames is a link"):
        read_file(run / "frames" / "00000000.png", max_bytes=100)
    with pytest.raises(RunError, match="is a link"):
        check_folder(run / "frames")


def test_planted_frames_and_states_count_as_missing(run: Path, canary: Canary) -> None:
    node = nodes_of(1)[0]
    assert isinstance(node.id, StateId)
    for kind in ("link", "hard link", "FIFO", "huge", "folder"):
        plant(kind, run / "frames" / "00000000.png", canary)
        plant(kind, run / "state" / "0.0.npy", canary)
        with RunStore.open(run) as store:
            assert not store.finished(node), kind
            assert not store.has_state(node.id), kind
            if kind != "folder":
                complete(store, node)
                assert store.finished(node), kind
    assert canary.is_untouched()


def test_clearing_deletes_only_what_a_run_makes(run: Path, canary: Canary) -> None:
    (run / "frames" / "thesis.tex").write_text("mine")
    (run / "frames" / "00000007.png").symlink_to(canary.file)
    (run / "frames" / "00000008.png").mkdir()
    (run / "frames" / "00000008.png" / "mine.txt").write_text("mine")
    (run / "masks" / "sky").mkdir(parents=True)
    (run / "masks" / "sky" / "00000000.png").write_text("mask")
    (run / "masks" / "linked").symlink_to(canary.folder)
    clear(run)
    assert sorted(path.name for path in (run / "frames").iterdir()) == ["00000008.png", "thesis.tex"]
    assert not (run / "state").exists()
    assert not (run / "masks" / "sky").exists()
    assert not (run / "run.json").exists()
    assert canary.is_untouched()


@pytest.mark.parametrize("name", ["state", "frames", "masks", "before", "finished"])
def test_linked_folders_are_never_emptied(name: str, run: Path, canary: Canary) -> None:
    plant("link", run / name, canary)
    for remove in (lambda: clear(run), lambda: remove_images(run / name)):
        with pytest.raises(RunError, match="is a link"):
            remove()
    assert (run / "run.json").exists()
    assert canary.is_untouched()


def test_a_finished_run_keeps_files_of_others(run: Path) -> None:
    (run / "state" / "notes.txt").write_text("mine")
    with RunStore.open(run) as store:
        store.finish(keep=False, output=Path("out.mp4"))
    assert [path.name for path in (run / "state").iterdir()] == ["notes.txt"]
    assert not (run / "frames").exists()


def test_a_log_is_bounded(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunStore.open(run) as store:
        store.record("warned", message="x" * (2 << 20))
    assert len(RunLog.read(run).warnings) == 1
    monkeypatch.setattr("vidnst.runs.event_log._MAX_LOG_BYTES", (run / "events.jsonl").stat().st_size + 200)
    with RunStore.open(run) as store, pytest.raises(OutputError, match=r"event log .* is full"):
        store.record("warned", message="x" * 300)
    monkeypatch.setattr("vidnst.runs.event_log._MAX_LOG_BYTES", 100)
    for read in (lambda: RunLog.read(run), lambda: LogReader(run / "events.jsonl").read_new()):
        with pytest.raises(RunError, match="larger than"):
            read()


def test_a_watched_log_with_an_endless_line_is_refused(run: Path) -> None:
    with (run / "events.jsonl").open("r+b") as file:
        file.truncate(3 << 20)
    with pytest.raises(RunError, match="a line of over 1 MiB"):
        LogReader(run / "events.jsonl").read_new()


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 5000])
def test_texts_that_name_no_file_are_refused(text: str, tmp_path: Path) -> None:
    folder = tmp_path / "out.mp4.vidnst"
    values = manifest_of().model_dump(mode="json")
    for key in ("output", "weights", "network", "raft_weights", "sources"):
        changed = values | {key: [text] if key == "sources" else text}
        folder.mkdir(exist_ok=True)
        (folder / "run.json").write_text(json.dumps(changed))
        with pytest.raises(RunError, match="is no path"):
            Manifest.read(folder)


def test_packed_arrays_of_a_pass_are_bounded(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = ImageFolder(run, "finished")
    np.savez_compressed(images.folder / "0.npz", frame=np.array(3), values=np.zeros(1 << 20))
    assert images.read_state(0) is not None
    monkeypatch.setattr("vidnst.runs.image_folder._MAX_STATE_BYTES", 1 << 20)
    assert images.read_state(0) is None


def test_header_of_a_state_is_checked_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "0.0.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<u2", "fortran_order": False, "shape": (1 << 40, 1 << 20, 3)}
        )
    with pytest.raises(RunError, match=r"0\.0\.npy cannot be read"):
        read_state_file(path, width=7, height=5)
    np.save(path, np.zeros((5, 7, 3), np.uint16))
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(RunError, match="ends after 104 of 105 values"):
        read_state_file(path, width=7, height=5)


def test_missing_plan_and_log_are_no_errors(run: Path) -> None:
    (run / "events.jsonl").unlink()
    assert RunPlan.read(run) is None
    assert RunLog.read(run).sessions == 0
    assert LogReader(run / "events.jsonl").read_new() == (False, [])
