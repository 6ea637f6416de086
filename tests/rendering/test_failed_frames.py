"""Frames that fail, frames that the quality gate suspects, and frames that are redone."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.renders import (
    TWO_LAYERS,
    frame_files,
    logged_events,
    quick_config,
    quick_settings,
    run_folder,
    warnings_in,
)
from support.stylizer_faults import Stylize, wrap_stylizer
from typer.testing import CliRunner

import vidnst
from vidnst.cli.app import app
from vidnst.config import RenderConfig
from vidnst.errors import (
    BadFrameError,
    ConfigError,
    DiskFullError,
    FramesFailedError,
    OutputError,
    RangeError,
    RunError,
)
from vidnst.events import Event, FrameDone, NodeGivenUp, RunStarted, Suspected, Warned
from vidnst.farm.jobs import Stylized, StylizeJob
from vidnst.farm.plan import StateId
from vidnst.farm.workers import StyleWorker
from vidnst.frames import State
from vidnst.media.input.frame_cache import FrameCache
from vidnst.motion.quality_gate import thumbnail_luma
from vidnst.rendering.pipeline import run
from vidnst.runs import RunLog
from vidnst.runs.redo import format_frame_list, parse_frame_list
from vidnst.runs.request import load_request
from vidnst.style.memory.modes import MemoryMode
from vidnst.style.minimize import StylizeResult

FRAMES = 8
SETTINGS = quick_settings(
    losses=TWO_LAYERS,
    optimize={"iterations": 10},
    schedule={"spacing": 4, "passes": 1},
    farm={"workers": 2},
    output={"measure": True},
)


def config(kind: str = "keys", *, keep_frames: bool = True, **farm: object) -> RenderConfig:
    return quick_config(SETTINGS, schedule={"kind": kind}, farm=farm, output={"keep_frames": keep_frames})


@pytest.fixture(scope="module")
def undisturbed(burst: Path, style: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, bytes]:
    """The frames of a render without failures."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    events: list[Event] = []
    vidnst.render(burst, style=style, output=output, config=config(), on_event=events.append)
    assert not [event for event in events if isinstance(event, (Suspected, Warned))]
    return frame_files(run_folder(output))


def failing_run(node: StateId) -> Callable[..., Stylized]:
    """Return a `StyleWorker.run` that fails at one node."""
    original = StyleWorker.run

    def run(self: StyleWorker, job: StylizeJob, **options: object) -> Stylized:
        if job.node == node:
            raise MemoryError("no room for it")
        return original(self, job, **options)  # type: ignore[arg-type]

    return run


def test_failed_frames_are_reported_and_retried_to_same_bytes(
    burst: Path, style: Path, undisturbed: dict[int, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, events = tmp_path / "out.vidnst", list[Event]()
    with monkeypatch.context() as patch:
        patch.setattr(StyleWorker, "run", failing_run(StateId(5, 0)))
        with pytest.raises(FramesFailedError) as caught:
            vidnst.render(burst, style=style, output=tmp_path / "out", config=config(), on_event=events.append)
    assert caught.value.exit_code == 9
    assert caught.value.frames == (4, 5, 6)
    text = str(caught.value)
    assert "3 of 8 frames failed (4-6) because frame 5 did: MemoryError: no room for it" in text
    assert f"vidnst retry {folder}" in text
    assert not (tmp_path / "out").exists()
    assert frame_files(folder) == {number: data for number, data in undisturbed.items() if number not in (4, 5, 6)}
    assert {(one["node"], one["because"]) for one in logged_events(folder, "given_up")} == {
        ("5.0", None),
        *((f"{frame}.1", "5.0") for frame in (4, 5, 6)),
    }
    assert len([event for event in events if isinstance(event, NodeGivenUp)]) == 4
    log = RunLog.read(folder)
    assert (list(log.failed_frames), log.complete) == ([4, 5, 6], False)

    before = len(logged_events(folder, "done"))
    retried = CliRunner().invoke(app, ["retry", str(folder)])
    assert retried.exit_code == 0, retried.output
    assert "retrying frames 4-6" in retried.stderr
    assert frame_files(folder) == undisturbed
    assert len(logged_events(folder, "done")) == before + 4
    again = CliRunner().invoke(app, ["retry", str(folder)])
    assert again.exit_code == 0
    assert "nothing failed" in again.stderr
    assert len(logged_events(folder, "session")) == 2


def test_unreadable_source_frame_fails_with_its_own_error(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = FrameCache.get

    def get(self: FrameCache, shot: int, index: int) -> object:
        if index == 6:
            raise BadFrameError("frame 6 does not decode", "repeat it")
        return original(self, shot, index)

    monkeypatch.setattr(FrameCache, "get", get)
    with pytest.raises(BadFrameError, match="frame 6 does not decode"):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config("independent"))
    assert logged_events(tmp_path / "out.vidnst", "given_up")


@pytest.mark.parametrize(("kind", "again"), [("independent", {5}), ("chain", {5, 6, 7}), ("keys", {4, 5, 6})])
def test_redo_renders_frames_and_their_dependents_only(
    kind: str, again: set[int], burst: Path, style: Path, tmp_path: Path
) -> None:
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config(kind))
    folder = tmp_path / "out.vidnst"
    right, stamps = frame_files(folder), {path: path.stat().st_mtime_ns for path in (folder / "frames").iterdir()}
    damaged = folder / "frames" / "00000005.png"
    damaged.write_bytes(right[0])
    with pytest.raises(OutputError, match="exists already"):
        run(load_request(folder, {}), redo=(5,))
    events: list[Event] = []
    run(load_request(folder, {}), redo=(5,), overwrite=True, on_event=events.append)
    assert frame_files(folder) == right
    assert {event.frame for event in events if isinstance(event, FrameDone)} == again
    assert {int(path.stem) for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp} == again
    dependents = {1: "frame 5, on which no others depend", 3: "frame 5, and 2 more frames that depend on it"}
    assert any(f"again: {dependents[len(again)]}: about 1 s" in warning for warning in warnings_in(events))
    said = [type(event) for event in events if isinstance(event, Warned | RunStarted)]
    assert said.index(Warned) < said.index(RunStarted)


def test_impossible_redo_is_refused(burst: Path, style: Path, tmp_path: Path) -> None:
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config("independent", keep_frames=False))
    request = load_request(tmp_path / "out.vidnst", {})
    with pytest.raises(RunError, match=r"has kept no frames.*--restart.*--keep-frames"):
        run(request, redo=(3,), overwrite=True)
    with pytest.raises(RunError, match="no frames to redo"):
        run(replace(request, work_dir=tmp_path / "other"), redo=(3,), overwrite=True)
    vidnst.render(burst, style=style, output=tmp_path / "kept", config=config("independent"))
    with pytest.raises(RangeError, match="frame 8 cannot be redone: the run has frames 0 to 7"):
        run(load_request(tmp_path / "kept.vidnst", {}), redo=(3, 8), overwrite=True)


@pytest.mark.parametrize("kind", ["chain", "keys"])
def test_redo_only_leaves_dependents_as_they_are(kind: str, burst: Path, style: Path, tmp_path: Path) -> None:
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config(kind))
    folder = tmp_path / "out.vidnst"
    right, states = frame_files(folder), {path: path.stat().st_mtime_ns for path in (folder / "state").iterdir()}
    (folder / "frames" / "00000005.png").write_bytes(right[0])
    events: list[Event] = []
    run(load_request(folder, {}), redo=(5,), redo_only=True, overwrite=True, on_event=events.append)
    assert frame_files(folder) == right
    assert {event.frame for event in events if isinstance(event, FrameDone)} == {5}
    written = {path.name for path, stamp in states.items() if path.stat().st_mtime_ns != stamp}
    assert {name.partition(".")[0] for name in written} == {"5"}
    assert any("again: frame 5, and nothing that depends on it" in warning for warning in warnings_in(events))


def test_redo_only_is_refused_without_states(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise DiskFullError("no space left", "make room")

    monkeypatch.setattr("vidnst.rendering.pipeline.encode", fail)
    with pytest.raises(DiskFullError):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config("chain", keep_frames=False))
    done = RunLog.read(tmp_path / "out.vidnst").done_nodes
    with pytest.raises(RunError, match="3 more frames that these start from would be painted again"):
        run(load_request(tmp_path / "out.vidnst", {}), redo=(3,), redo_only=True)
    assert RunLog.read(tmp_path / "out.vidnst").done_nodes == done


def test_redo_renders_missing_states_first(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise DiskFullError("no space left", "make room")

    with monkeypatch.context() as patch:
        patch.setattr("vidnst.rendering.pipeline.encode", fail)
        with pytest.raises(DiskFullError):
            vidnst.render(burst, style=style, output=tmp_path / "out", config=config("chain", keep_frames=False))
        folder, events = tmp_path / "out.vidnst", list[Event]()
        right = frame_files(folder)
        with pytest.raises(DiskFullError):
            run(load_request(folder, {}), redo=(3,), on_event=events.append)
    (warning,) = warnings_in(events)
    assert "again: frame 3, and 4 more frames that depend on it, and 3 more frames whose states were deleted" in warning
    assert len([event for event in events if isinstance(event, FrameDone)]) == FRAMES
    assert frame_files(folder) == right


def test_frame_lists_are_parsed_and_formatted() -> None:
    assert parse_frame_list("7, 30-32,31") == (7, 30, 31, 32)
    assert format_frame_list((32, 7, 30, 31, 9)) == "7, 9, 30-32"
    for wrong in ("", "a", "5-3", "1,,2", "-4", "1-", "0-999999999"):
        with pytest.raises(ConfigError, match="no list of frames"):
            parse_frame_list(wrong)


def spoil(kind: str, result: StylizeResult) -> StylizeResult:
    """Return a picture with a defect as hardware makes it."""
    image = {
        "black": torch.zeros_like(result.image),
        "flat": torch.full_like(result.image, 0.45),
        "noise": torch.rand(result.image.shape, generator=torch.Generator().manual_seed(3)),
        "bright": (result.image + 20 / 255).clamp(0, 1),
    }[kind]
    return replace(result, image=image)


@pytest.mark.parametrize(
    ("kind", "lasting"), [("black", False), ("flat", False), ("noise", False), ("bright", False), ("noise", True)]
)
def test_suspect_frame_is_retried_for_any_worker_count(
    kind: str,
    lasting: bool,
    burst: Path,
    style: Path,
    undisturbed: dict[int, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds: list[int] = []

    def spoilt(job: StylizeJob, memory_mode: MemoryMode, seed: int, attempt: Stylize) -> StylizeResult:
        result = attempt()
        if job.node != StateId(6, 1):
            return result
        seeds.append(seed)
        return spoil(kind, result) if lasting or len(seeds) % 2 else result

    wrap_stylizer(monkeypatch, spoilt)
    events: list[Event] = []
    made = []
    for workers in (1, 2):
        output = tmp_path / f"out{workers}"
        vidnst.render(burst, style=style, output=output, config=config(workers=workers), on_event=events.append)
        made.append(frame_files(run_folder(output)))
    assert made[0] == made[1]
    assert (made[0] == undisturbed) is not lasting  # nothing random here: any seed gives the same frame
    assert len(seeds) == 4
    assert len(set(seeds)) == 2
    suspects = [event for event in events if isinstance(event, Suspected)]
    assert [(event.node, event.repaired) for event in suspects] == [("6.1", not lasting)] * 2
    measured = json.loads((tmp_path / "out1.vidnst" / "measure.json").read_text())
    assert list(measured["suspects"]) == (["6"] if lasting else [])
    assert len([warning for warning in warnings_in(events) if "looks wrong" in warning]) == 2 * lasting


def test_without_quality_gate_no_frame_is_suspected(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrap_stylizer(monkeypatch, lambda job, memory_mode, seed, attempt: spoil("black", attempt()))
    events: list[Event] = []
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config(gate=False), on_event=events.append)
    assert not [event for event in events if isinstance(event, Suspected)]


def test_quality_gate_checks_each_state_once(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[bytes] = []

    def checking(picture: State) -> NDArray[np.float32]:
        if picture.dtype == np.uint16:
            checked.append(picture.tobytes())
        return thumbnail_luma(picture)

    monkeypatch.setattr("vidnst.farm.workers.thumbnail_luma", checking)
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config())
    assert len(checked) == len(set(checked)) == 2 * FRAMES  # the first pass and one more
    before = frame_files(tmp_path / "out.vidnst")
    run(load_request(tmp_path / "out.vidnst", {}), redo=(5,), overwrite=True)
    assert len(checked) > 2 * FRAMES
    assert frame_files(tmp_path / "out.vidnst") == before


def test_command_line_checks_frames_to_redo(burst: Path, style: Path, tmp_path: Path) -> None:
    arguments = ["render", str(burst), "-s", str(style), "-o", str(tmp_path / "out")]
    assert isinstance(CliRunner().invoke(app, [*arguments, "--redo", "3-1"]).exception, ConfigError)
    both = CliRunner().invoke(app, [*arguments, "--redo", "3", "--restart"]).exception
    assert "--redo and --restart exclude each other" in str(both)
    both = CliRunner().invoke(app, [*arguments, "--redo", "3", "--redo-only", "4"]).exception
    assert "--redo and --redo-only exclude each other" in str(both)
    assert isinstance(CliRunner().invoke(app, [*arguments, "--backbone", "slim", "--redo", "3"]).exception, RunError)
    assert not list(tmp_path.iterdir())
