"""The run folder: what it believes after any accident, what it refuses, and what it says."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.run_folders import complete, manifest_of, nodes_of, picture, plan_of

from vidnst.errors import DiskFullError, OutputError, RunError
from vidnst.farm.plan import StateId
from vidnst.farm.schedules import chain
from vidnst.frames import Shot
from vidnst.runs import DoneRecord, RunStore, StyleRecord, holds_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out.mp4.vidnst"


def test_reopened_run_has_its_finished_nodes(folder: Path) -> None:
    nodes = nodes_of(4)
    with RunStore.create(folder, manifest_of()) as store:
        for node in nodes[:2]:
            complete(store, node)
    with RunStore.open(folder) as store:
        assert [store.finished(node) for node in nodes] == [True, True, False, False]
        np.testing.assert_array_equal(store.read_state(StateId(1), width=7, height=5), picture(1))
        assert store.manifest == manifest_of()
        assert store.finished_nodes(chain(Shot(0, 4))) == {StateId(0), StateId(1)}


def test_files_without_an_event_do_not_count(folder: Path) -> None:
    (node,) = nodes_of(1)
    with RunStore.create(folder, manifest_of()) as store:
        store.write(states={StateId(0): picture(0)})
        store.write(frames={0: lambda path: path.write_bytes(b"png")})
    with RunStore.open(folder) as store:
        assert not store.finished(node)


def test_event_without_its_frame_does_not_count(folder: Path) -> None:
    (node,) = nodes_of(1)
    with RunStore.create(folder, manifest_of()) as store:
        complete(store, node)
        store.layout.frame(0).unlink()
    with RunStore.open(folder) as store:
        assert not store.finished(node)


def test_released_states_are_deleted_and_stay_finished(folder: Path) -> None:
    nodes = nodes_of(3)
    with RunStore.create(folder, manifest_of()) as store:
        for node in nodes[:2]:
            complete(store, node)
        store.release([StateId(0)])
        store.release([StateId(0)])
        assert not store.layout.state(StateId(0)).exists()
    with RunStore.open(folder) as store:
        assert store.finished_nodes(nodes) == {StateId(0), StateId(1)}
        assert [store.has_state(StateId(frame)) for frame in (0, 1)] == [False, True]


@pytest.mark.parametrize("keep", range(1, 60, 7))
def test_truncated_last_line_of_the_log_is_removed(folder: Path, keep: int) -> None:
    nodes = nodes_of(3)
    with RunStore.create(folder, manifest_of()) as store:
        complete(store, nodes[0])
        whole = (folder / "events.jsonl").read_bytes()
        complete(store, nodes[1])
    log = (folder / "events.jsonl").read_bytes()
    (folder / "events.jsonl").write_bytes(log[: len(whole) + keep])
    with RunStore.open(folder) as store:
        assert [store.finished(node) for node in nodes] == [True, False, False]
        complete(store, nodes[2])
    lines = (folder / "events.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["session", "done", "session", "done"]


def test_lines_that_are_no_events_are_skipped(folder: Path) -> None:
    (node,) = nodes_of(1)
    with RunStore.create(folder, manifest_of()) as store:
        complete(store, node)
    log = folder / "events.jsonl"
    log.write_bytes(b"\0\0\0\n[1]\n{\xff}\n" + log.read_bytes() + b"\0" * 100)
    with RunStore.open(folder) as store:
        assert store.finished(node)


def test_half_written_files_are_removed_on_opening(folder: Path) -> None:
    with RunStore.create(folder, manifest_of()) as store:
        parts = [
            store.layout.frame(3).with_name(".00000003.part.png"),
            store.layout.state(StateId(3)).with_name(".3.0.part.npy"),
        ]
        for part in parts:
            part.write_bytes(b"half")
    with RunStore.open(folder):
        assert not any(part.exists() for part in parts)


def test_failed_write_keeps_the_old_file(folder: Path) -> None:
    with RunStore.create(folder, manifest_of()) as store:
        store.write(frames={0: lambda path: path.write_bytes(b"old")})

        def fail(path: Path) -> None:
            path.write_bytes(b"half of the new")
            raise ValueError("in the middle")

        with pytest.raises(ValueError, match="in the middle"):
            store.write(frames={0: fail})
        with pytest.raises(OutputError, match="was not written"):
            store.write(frames={1: lambda path: None})
        assert [path.name for path in (folder / "frames").iterdir()] == ["00000000.png"]
        assert store.layout.frame(0).read_bytes() == b"old"


@pytest.mark.parametrize("damage", ["truncated", "text", "pickle", "float", "small", "missing"])
def test_damaged_state_is_named(folder: Path, damage: str) -> None:
    with RunStore.create(folder, manifest_of()) as store:
        store.write(states={StateId(4, 1): picture(0)})
        path = store.layout.state(StateId(4, 1))
        match damage:
            case "truncated":
                path.write_bytes(path.read_bytes()[:-10])
            case "text":
                path.write_text("hello")
            case "pickle":
                np.save(path, np.array([{}], dtype=object), allow_pickle=True)
            case "float":
                np.save(path, np.zeros((5, 7, 3), np.float32))
            case "small":
                np.save(path, np.zeros((5, 6, 3), np.uint16))
            case "missing":
                path.unlink()
        with pytest.raises(RunError, match=r"state/4\.1\.npy cannot be read"):
            store.read_state(StateId(4, 1), width=7, height=5)


def test_same_render_resumes_with_other_paths_and_versions() -> None:
    style = StyleRecord(path="elsewhere/starry.jpg", fingerprint="11", weight=1.0)
    assert manifest_of().changes(manifest_of(output="other.mkv", styles=(style,), versions={"vidnst": "9"})) == []


def style_of(name: str, fingerprint: str = "11", weight: float = 1.0) -> dict[str, Any]:
    return {"styles": (StyleRecord(path=f"b/{name}", fingerprint=fingerprint, weight=weight),)}


def losses_of(weight: float, layer: str) -> dict[str, Any]:
    return {"config": {"losses": {"style_weight": weight, "style_layers": {layer: 1.0}}}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (losses_of(20.0, "relu1_1"), "losses.style_weight: 10.0 -> 20.0"),
        (losses_of(10.0, "relu2_1"), "losses.style_layers.relu2_1: not set -> 1.0"),
        ({"config": {"input": {"size": 640}}}, "input.size: none -> 640"),
        ({"source": "bb"}, "source bird.mp4 has other bytes"),
        ({"network": "xx"}, "weights vgg19.pth has other bytes"),
        (style_of("starry.jpg", "22"), "style starry.jpg has other bytes"),
        (style_of("waves.jpg", "22"), "style starry.jpg -> waves.jpg"),
        (style_of("starry.jpg", weight=2.0), "weight of style starry.jpg: 1 -> 2"),
        ({"styles": ()}, "1 styles -> 0"),
    ],
)
def test_other_render_is_known_by_its_changes(change: dict[str, Any], words: str) -> None:
    assert words in manifest_of().changes(manifest_of(**change))


def test_other_weights_of_the_flow_make_another_render() -> None:
    one = manifest_of(flow_network="aa", raft_weights="net/raft_small.pth")
    two = manifest_of(flow_network="bb", raft_weights="net/raft_large.pth")
    assert one.changes(two) == ["RAFT weights raft_large.pth has other bytes"]
    assert one.changes(manifest_of(flow_network="aa", raft_weights="elsewhere.pth")) == []


def test_all_changes_are_named_at_once() -> None:
    changes = manifest_of().changes(manifest_of(source="bb", config={"input": {"size": 64}}))
    assert changes == ["input.size: none -> 64", "source bird.mp4 has other bytes"]


def test_create_over_a_run_needs_restart_and_empties_it(folder: Path) -> None:
    (node,) = nodes_of(1)
    with RunStore.create(folder, manifest_of()) as store:
        complete(store, node)
        store.write_plan(plan_of(1))
    with pytest.raises(RunError, match="holds a run already"):
        RunStore.create(folder, manifest_of())
    with RunStore.create(folder, manifest_of(source="bb"), restart=True) as store:
        assert not store.finished(node)
        assert not list((folder / "frames").iterdir())
        assert store.plan is None
        assert store.manifest.look.source == "bb"


def test_folder_with_foreign_files_is_left_alone(folder: Path) -> None:
    RunStore.create(folder, manifest_of()).close()
    (folder / "thesis.tex").write_text("ten years of work")
    for restart in (False, True):
        with pytest.raises(RunError, match=r"thesis\.tex"):
            RunStore.create(folder, manifest_of(), restart=restart)
    assert (folder / "frames").is_dir()


@pytest.mark.parametrize("name", ["frames/00000000.png", ".film.part.mp4", "before/00000001.png", "report.html"])
def test_own_names_that_no_run_gave_are_left_alone(name: str, folder: Path) -> None:
    path = folder / name
    path.parent.mkdir(parents=True)
    path.write_text("ten years of work")
    for restart in (False, True):
        with pytest.raises(RunError, match=rf"belong to no run \({path.relative_to(folder).parts[0]}\)"):
            RunStore.create(folder, manifest_of(), restart=restart)
    assert path.read_text() == "ten years of work"


def test_run_folder_with_links_is_refused(folder: Path, tmp_path: Path) -> None:
    RunStore.create(folder, manifest_of()).close()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / ".a.part.png").write_bytes(b"mine")
    (folder / "frames").rmdir()
    (folder / "frames").symlink_to(mine)
    with pytest.raises(RunError, match="is a link"):
        RunStore.open(folder)
    with pytest.raises(RunError, match="is a link"):
        RunStore.create(folder, manifest_of(), restart=True)
    assert (mine / ".a.part.png").exists()


def test_create_after_a_killed_create(folder: Path) -> None:
    folder.mkdir()
    for name in ("lock", "events.jsonl", ".run.part.json"):
        (folder / name).touch()
    with RunStore.create(folder, manifest_of()) as store:
        assert holds_run(store.folder)


def test_folder_in_use_names_process_and_host(folder: Path) -> None:
    with RunStore.create(folder, manifest_of()):
        with pytest.raises(RunError, match=rf"in use by process {os.getpid()} on "):
            RunStore.open(folder)
        with pytest.raises(RunError, match="in use"):
            RunStore.create(folder, manifest_of(), restart=True)
    RunStore.open(folder).close()


@pytest.mark.parametrize("text", ["", "{}", "[]", "{not json", '{"format": 99}'])
def test_damaged_manifest_is_refused_and_releases_the_lock(folder: Path, text: str) -> None:
    RunStore.create(folder, manifest_of()).close()
    (folder / "run.json").write_text(text)
    for _ in range(2):
        with pytest.raises(RunError, match=r"run\.json cannot be read"):
            RunStore.open(folder)


def test_open_refuses_a_folder_without_a_run(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunError, match="is no run folder"):
            RunStore.open(path)
    assert not (tmp_path / "nowhere").exists()


def test_plan_round_trips_and_a_damaged_one_is_refused(folder: Path) -> None:
    with RunStore.create(folder, manifest_of()) as store:
        assert store.plan is None
        store.write_plan(plan_of(4))
        store.update_plan(threads=3)
    with RunStore.open(folder) as store:
        assert store.plan == plan_of(4).model_copy(update={"threads": 3})
    for damaged in ("[1]", "{", "[" * 100_000):
        (folder / "plan.json").write_text(damaged)
        with RunStore.open(folder) as store, pytest.raises(RunError, match=r"plan\.json is damaged"):
            assert store.plan


def test_restart_removes_the_measurement(folder: Path) -> None:
    with RunStore.create(folder, manifest_of()) as store:
        path = store.write_measure({"frames": 3})
        assert json.loads(path.read_text()) == {"frames": 3}
    with RunStore.create(folder, manifest_of(), restart=True):
        assert not path.exists()


def test_finish_deletes_states_and_frames_unless_kept(folder: Path) -> None:
    (node,) = nodes_of(1)
    for keep in (True, False):
        with RunStore.create(folder, manifest_of(), restart=True) as store:
            complete(store, node)
            assert not store.complete
            store.finish(keep=keep, output=Path("out.mp4"))
        assert (folder / "frames").exists() is keep
        with RunStore.open(folder) as store:
            assert store.complete
            assert store.finished(node) is keep
            complete(store, node)
        with RunStore.open(folder) as store:
            assert not store.complete


def test_pace_is_that_of_the_last_session_with_frames(folder: Path) -> None:
    RunStore.create(folder, manifest_of()).close()
    lines = [{"kind": "session", "time": 0}]
    lines += [{"kind": "done", "node": f"{n}.0", "final": True, "time": 100 + 2 * n} for n in range(10)]
    lines += [{"kind": "session", "time": 9000}]
    lines += [{"kind": "done", "node": f"{n}.0", "final": True, "time": 9000 + 5 * n} for n in range(10, 14)]
    lines += [{"kind": "session", "time": 20000}, {"kind": "done", "node": "14.0", "final": True, "time": 20100}]
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with RunStore.open(folder) as store:
        assert store.seconds_per_frame == pytest.approx(5.0)


def test_events_are_json_lines_whatever_the_numbers(folder: Path) -> None:
    (node,) = nodes_of(1)
    with RunStore.create(folder, manifest_of()) as store:
        losses, facts = {"total": float("nan")}, {"note": "a\nb"}
        store.record_done(
            [DoneRecord(node, "style-0", attempt=2, losses=losses, evaluations=3, seconds=0.25, facts=facts)]
        )
    event = json.loads((folder / "events.jsonl").read_text().splitlines()[-1])
    assert event.pop("time") > 1.6e9
    assert event == {
        "kind": "done", "node": "0.0", "final": True, "attempt": 2, "worker": "style-0", "losses": {"total": None},
        "evaluations": 3, "seconds": 0.25, "note": "a\nb",
    }  # fmt: skip


class FullDisk:
    """Lets `os.fsync` find the disk full while it is on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = True
        self._real = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self._real(descriptor)


def test_full_disk_is_reported_and_damages_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = nodes_of(3)
    with RunStore.create(folder, manifest_of()) as store:
        complete(store, nodes[0])
        before = (folder / "events.jsonl").read_bytes()
        disk = FullDisk(monkeypatch)
        with pytest.raises(DiskFullError, match=r"no space left on the disk of .*frames"):
            store.write(frames={1: lambda path: path.write_bytes(b"png")})
        with pytest.raises(DiskFullError, match="is kept"):
            store.write(states={StateId(1): picture(1)})
        with pytest.raises(DiskFullError):
            store.record_done([DoneRecord(nodes[1], worker="w", attempt=1, losses={}, evaluations=1, seconds=1)])
        assert (folder / "events.jsonl").read_bytes() == before
        assert not list((folder / "frames").glob(".*"))
        disk.full = False
        complete(store, nodes[1])
    with RunStore.open(folder) as store:
        assert [store.finished(node) for node in nodes] == [True, True, False]


def test_unwritable_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write in"):
        RunStore.create(tmp_path / "file" / "run", manifest_of())


def test_state_of_another_dtype_is_a_value_error(folder: Path) -> None:
    with RunStore.create(folder, manifest_of()) as store, pytest.raises(ValueError, match="uint16"):
        store.write(states={StateId(0): np.zeros((4, 4, 3), np.float32)})
