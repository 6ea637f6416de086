"""Temporary files of outputs: where they lie, and which of them the next session removes."""

import json
from pathlib import Path

import pytest
from support.renders import logged_events
from support.run_folders import manifest_of

from vidnst.files.part_files import can_move
from vidnst.runs import RunStore


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.mp4"


@pytest.fixture
def store(output: Path) -> RunStore:
    return RunStore.create(output.with_name("out.mp4.vidnst"), manifest_of(output=str(output)))


def test_parts_are_in_the_run_folder_and_swept_from_there(store: RunStore, output: Path) -> None:
    maker = store.part_maker(output)
    file, folder = maker.file(output), maker.directory(output)
    (folder / "000000.png").write_bytes(b"half")
    store.close()
    assert {file.parent, folder.parent} == {store.folder}
    RunStore.open(store.folder).close()
    assert not file.exists()
    assert not folder.exists()


def test_parts_elsewhere_are_swept_by_what_the_log_says(
    store: RunStore, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidnst.runs.run_store.can_move", lambda folder, output: False)
    maker = store.part_maker(output)
    file, folder = maker.file(output), maker.directory(output)
    foreign = output.with_name(".out.0123456789ab.part.mkv")
    foreign.write_bytes(b"mine")
    output.write_bytes(b"mine")
    for path in (foreign, output):
        store.record("part", path=str(path))
    store.close()
    assert {file.parent, folder.parent} == {output.parent}
    assert [event["path"] for event in logged_events(store.folder, "part")][:2] == [str(file), str(folder)]
    RunStore.open(store.folder).close()
    assert not file.exists()
    assert not folder.exists()
    assert foreign.exists()
    assert output.exists()


def test_moving_is_tried(tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    assert can_move(folder, output)
    assert not can_move(folder, tmp_path / "missing" / "out.mp4")

    def refuse(path: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "rename", refuse)
    assert not can_move(folder, output)
    assert list(folder.iterdir()) == []
    assert list(tmp_path.iterdir()) == [folder]


def test_a_batch_leads_to_no_runs_elsewhere(tmp_path: Path) -> None:
    from vidnst.runs.discovery import find_runs

    mine, sent = tmp_path / "mine" / "a.mp4.vidnst", tmp_path / "sent" / "out" / "b.mp4.vidnst"
    for run in (mine, sent):
        RunStore.create(run, manifest_of()).close()
    (tmp_path / "sent" / "jobs.batch").mkdir()
    (tmp_path / "sent" / "out" / "c.vidnst").symlink_to(mine)
    runs = (sent, mine, tmp_path / "sent" / "out" / "c.vidnst", "a\0b")
    rows = [{"name": str(number), "run_folder": str(run)} for number, run in enumerate(runs)]
    (tmp_path / "sent" / "jobs.batch" / "jobs.json").write_text(json.dumps({"jobs": rows}))
    assert find_runs(tmp_path / "sent" / "jobs.batch").runs == (sent,)
