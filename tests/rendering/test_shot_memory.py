"""The out-of-memory fallback: all frames of a shot are rendered in one memory mode, and other shots are left alone."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support import limited_memory
from support.batches import job_states, write_jobs
from support.media import read_picture, write_burst
from support.renders import frame_files, logged_events, quick_config, quick_settings, warnings_in
from support.stylizer_faults import Stylize, out_of_memory, with_pixels, wrap_stylizer
from typer.testing import CliRunner

import vidnst
from vidnst.cli.app import app
from vidnst.config import RenderConfig
from vidnst.errors import FramesFailedError
from vidnst.events import Event, FrameDone
from vidnst.farm.jobs import Stylized, StylizeJob
from vidnst.farm.workers import StyleWorker
from vidnst.rendering.batch.run import run_batch
from vidnst.rendering.pipeline import run
from vidnst.rendering.shot_memory import ShotMemory
from vidnst.runs import RunLog, RunStore
from vidnst.runs.request import load_request
from vidnst.style.memory.modes import MemoryMode, fallback_modes
from vidnst.style.minimize import StylizeResult

FRAMES, CUT = 9, 5
SETTINGS = quick_settings(
    input={"shots": [CUT]}, schedule={"spacing": 4, "passes": 1}, farm={"workers": 1, "gate": False}
)
LADDER = fallback_modes(quick_config(SETTINGS), smaller=True)
HALF, TILES, SMALL = LADDER[1], LADDER[3], LADDER[5]

pytestmark = pytest.mark.usefixtures("without_bfloat16", "no_prefetch")


def config(kind: str = "independent", **farm: object) -> RenderConfig:
    return quick_config(SETTINGS, schedule={"kind": kind}, farm=farm)


class LimitedMemory:
    """Makes a stylizer run out of memory at some frames, and marks all frames with the memory mode they were made in.

    Args:
        needs: the first memory mode of `LADDER` in which a frame fits, by its number; None for no mode.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, needs: Mapping[int, MemoryMode | None]) -> None:
        self.needs = needs
        self.jobs: list[tuple[int, MemoryMode]] = []
        """Frame and first memory mode of each job."""
        self.attempts: list[tuple[int, MemoryMode]] = []
        """Frame and memory mode of each attempt."""
        run = StyleWorker.stylize

        def run_job(worker: StyleWorker, job: StylizeJob, **options: Any) -> Stylized:
            self.jobs.append((job.node.frame, job.memory_mode))
            return run(worker, job, **options)

        monkeypatch.setattr(StyleWorker, "stylize", run_job)
        wrap_stylizer(monkeypatch, self._stylize)

    def _stylize(self, job: StylizeJob, memory_mode: MemoryMode, seed: int, attempt: Stylize) -> StylizeResult:
        frame = job.node.frame
        self.attempts.append((frame, memory_mode))
        if frame in self.needs and not fits(memory_mode, self.needs[frame]):
            raise out_of_memory()
        return with_pixels(attempt(), np.s_[0, 0], 4000 * LADDER.index(memory_mode))


def fits(memory_mode: MemoryMode, needed: MemoryMode | None) -> bool:
    return needed is not None and LADDER.index(memory_mode) >= LADDER.index(needed)


def marks(folder: Path) -> list[int]:
    """Return the index in `LADDER` of the memory mode in which each frame was made."""
    pictures = [cv2.imread(str(path)) for path in sorted((folder / "frames").glob("*.png"))]
    return [round(int(picture[0, 0, 0]) * 257 / 4000) for picture in pictures if picture is not None]


@pytest.mark.parametrize("kind", ["independent", "keys"])
def test_shot_out_of_memory_is_rendered_again_in_one_mode(
    kind: str, burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, events = tmp_path / "expected.vidnst", list[Event]()
    with monkeypatch.context() as patch:  # the need for memory is known from the first frame on
        LimitedMemory(patch, dict.fromkeys(range(CUT), TILES))
        vidnst.render(burst, style=style, output=tmp_path / "expected", config=config(kind))
    limited = LimitedMemory(monkeypatch, {2: TILES})
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config(kind, workers=3), on_event=events.append)
    folder = tmp_path / "out.vidnst"
    assert marks(folder) == [3] * CUT + [0] * (FRAMES - CUT)
    assert frame_files(folder) == frame_files(expected)
    assert {memory_mode for frame, memory_mode in limited.attempts if frame >= CUT} == {MemoryMode()}
    done = [event["node"] for event in logged_events(folder, "done")]
    assert len([node for node in done if int(node.partition(".")[0]) >= CUT]) == len(
        {node for node in done if int(node.partition(".")[0]) >= CUT}
    )
    (warning,) = warnings_in(events)
    assert "memory runs short in shot 1 (CUDA out of memory. Tried to allocate 1048576 bytes)" in warning
    assert "all of it is painted with bfloat16 maps, recomputed maps, tiles of 1024 pixels" in warning
    assert [event.frames_done for event in events if isinstance(event, FrameDone)][-1] == FRAMES
    assert (tmp_path / "out").is_dir()


def test_mode_of_equal_pixels_keeps_finished_frames(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recomputed = LADDER[2]
    assert recomputed.pixel_relevant == HALF.pixel_relevant
    limited = LimitedMemory(monkeypatch, {**dict.fromkeys(range(CUT), HALF), 3: recomputed})
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config())
    assert marks(tmp_path / "out.vidnst") == [1, 1, 1, 2, 2] + [0] * (FRAMES - CUT)
    assert [frame for frame, _ in limited.jobs] == list(range(FRAMES))


def test_frames_to_be_rendered_again_are_not_started(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = LimitedMemory(monkeypatch, {1: HALF})
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config("chain"))
    assert [frame for frame, _ in limited.jobs if frame < CUT] == [0, 1, *range(CUT)]


def killed_at(moment: str, patch: pytest.MonkeyPatch) -> None:
    """Stand for a kill: when a need for memory is `known`, all is `rendered`, or the other frames are `forgotten`."""
    even_out, note_result = ShotMemory.even_out, ShotMemory.note_result

    def ending(shot_memory: ShotMemory, *arguments: Any, **options: Any) -> Any:
        if moment == "rendered" and any(map(shot_memory.is_uneven, range(2))):
            raise SystemExit("killed")
        if even_out(shot_memory, *arguments, **options) and moment == "forgotten":
            raise SystemExit("killed")
        return set()

    def noting(shot_memory: ShotMemory, *arguments: Any) -> Any:
        facts = note_result(shot_memory, *arguments)
        if facts and moment == "known":  # before the node that has made it known is in the log
            raise SystemExit("killed")
        return facts

    patch.setattr(ShotMemory, "even_out", ending)
    patch.setattr(ShotMemory, "note_result", noting)


@pytest.mark.parametrize(
    ("moment", "left"), [("known", range(FRAMES)), ("rendered", range(CUT - 1)), ("forgotten", range(CUT - 1))]
)
def test_killed_run_resumes_in_same_memory_mode(
    moment: str, left: range, burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, last = tmp_path / "out.vidnst", CUT - 1
    with monkeypatch.context() as patch:
        LimitedMemory(patch, {last: TILES})
        killed_at(moment, patch)
        with pytest.raises(SystemExit):
            vidnst.render(burst, style=style, output=tmp_path / "out", config=config())
    assert len(logged_events(folder, "memory_mode")) == 1
    limited = LimitedMemory(monkeypatch, {last: TILES})
    run(load_request(folder, {}))
    assert marks(folder) == [3] * CUT + [0] * (FRAMES - CUT)
    assert {memory_mode for frame, memory_mode in limited.jobs if frame < CUT} == {TILES}
    assert sorted(frame for frame, _ in limited.attempts) == list(left)


def test_run_killed_while_forgetting_forgets_rest_on_resume(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget, calls = RunStore.forget, list[object]()

    def once(store: RunStore, nodes: object, **options: object) -> None:
        calls.append(nodes)
        if len(calls) == 2:
            raise SystemExit("killed")
        forget(store, nodes, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        LimitedMemory(patch, dict.fromkeys(range(CUT), TILES))
        vidnst.render(burst, style=style, output=tmp_path / "expected", config=config("chain"))
    LimitedMemory(monkeypatch, {2: TILES})
    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "forget", once)
        with pytest.raises(SystemExit):
            vidnst.render(burst, style=style, output=tmp_path / "out", config=config("chain"))
    assert [len(nodes) for nodes in calls] == [1, 2]  # type: ignore[arg-type]
    run(load_request(tmp_path / "out.vidnst", {}))
    assert frame_files(tmp_path / "out.vidnst") == frame_files(tmp_path / "expected.vidnst")


def test_redone_frames_use_memory_mode_of_their_shot(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        LimitedMemory(patch, {2: TILES})
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config())
    before = frame_files(tmp_path / "out.vidnst")
    limited = LimitedMemory(monkeypatch, {})
    run(load_request(tmp_path / "out.vidnst", {}), redo=(1, 7), overwrite=True)
    assert limited.attempts == [(1, TILES), (7, MemoryMode())]
    assert frame_files(tmp_path / "out.vidnst") == before


def test_frame_out_of_memory_in_all_modes_fails_its_shot(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out.vidnst"
    with monkeypatch.context() as patch:
        limited = LimitedMemory(patch, {2: None})
        with pytest.raises(FramesFailedError) as caught:
            vidnst.render(burst, style=style, output=tmp_path / "out", config=config())
    text = str(caught.value)
    assert "frame 2 did: a frame of 96x64 does not fit into memory" in text
    assert "not with bfloat16 maps, recomputed maps, tiles of 512 pixels either" in text
    assert "--size 64" in text
    assert "farm.may_shrink=true" in text
    modes = fallback_modes(config())
    assert [memory_mode for frame, memory_mode in limited.attempts if frame == 2] == [modes[0], *modes]
    assert set(range(CUT, FRAMES)) <= frame_files(folder).keys()
    assert list(RunLog.read(folder).failed_frames) == [2, 3, 4]
    retried = CliRunner().invoke(app, ["retry", str(folder)])
    assert retried.exit_code == 0, retried.output
    assert len(frame_files(folder)) == FRAMES


def test_smaller_size_needs_permission(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LimitedMemory(monkeypatch, {7: SMALL})
    with pytest.raises(FramesFailedError, match="does not fit into memory"):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config())
    events: list[Event] = []
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config(may_shrink=True), on_event=events.append)
    assert marks(tmp_path / "out.vidnst") == [0] * CUT + [5] * (FRAMES - CUT)
    assert "50% of the size" in warnings_in(events)[-1]
    assert cv2.imread(str(tmp_path / "out.vidnst" / "frames" / "00000007.png")).shape == (64, 96, 3)  # type: ignore[union-attr]


def test_invalid_memory_modes_in_log_are_ignored(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("vidnst.rendering.pipeline.finish", lambda *_: (_ for _ in ()).throw(SystemExit()))
        LimitedMemory(patch, {})
        with pytest.raises(SystemExit):
            vidnst.render(burst, style=style, output=tmp_path / "out", config=config())
    log = tmp_path / "out.vidnst" / "events.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if line.get("node") in ("1.0", "6.0"):
            line["memory_mode"] = {"half": "yes"} if line["node"] == "1.0" else ["no such thing"]
    invalid = [
        {"kind": "memory_mode", "shot": shot, "memory_mode": {"half": True}} for shot in (-1, "0", True, 1 << 30, None)
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in [*lines, *invalid]))
    limited = LimitedMemory(monkeypatch, {})
    run(load_request(tmp_path / "out.vidnst", {}))
    assert sorted(frame for frame, _ in limited.attempts) == [1, 6]


def test_suspect_frame_is_retried_in_its_memory_mode(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = LimitedMemory(monkeypatch, {6: HALF})
    monkeypatch.setattr(
        "vidnst.farm.workers.quality_problem_of", lambda job, state: "black" if job.node.frame == 6 else ""
    )
    events: list[Event] = []
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config(gate=True), on_event=events.append)
    assert [memory_mode for frame, memory_mode in limited.attempts if frame == 6][:4] == [
        MemoryMode(),
        MemoryMode(),
        HALF,
        HALF,
    ]
    assert marks(tmp_path / "out.vidnst") == [0] * CUT + [1] * (FRAMES - CUT)
    assert "memory runs short in shot 2" in warnings_in(events)[0]


def test_proof_warns_of_cell_out_of_memory(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LimitedMemory(monkeypatch, {0: HALF})
    events: list[Event] = []
    proof = tmp_path / "proof.png"
    vidnst.proof(burst / "000.png", style=style, output=proof, config=config(), on_event=events.append)
    (warning,) = warnings_in(events)
    assert "memory runs short at frame 0 (CUDA out of memory" in warning
    assert "painted with bfloat16 maps, as a render would paint all of its shot" in warning


@pytest.mark.parametrize(
    ("kind", "kill"),
    [("keys", ""), ("independent", "known"), ("independent", "rendered"), ("independent", "forgotten")],
)
def test_batch_clip_out_of_memory_is_rendered_in_one_mode(
    kind: str, kill: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jobs(tmp_path, clips=2, styles=1, set={"schedule": {"kind": kind, "passes": 1}})
    folders = [tmp_path / "out" / f"clip{number}-style0.vidnst" for number in range(2)]
    events: list[Event] = []
    last = read_picture(tmp_path / "clips" / "clip0" / "004.png")
    limited = LimitedMemory(monkeypatch, {})

    def limit_first_clip(job: StylizeJob, memory_mode: MemoryMode, seed: int, attempt: Stylize) -> StylizeResult:
        limited.needs = {4: TILES} if np.array_equal(job.content, last) else {}
        return attempt()

    wrap_stylizer(monkeypatch, limit_first_clip)
    if kill:
        with monkeypatch.context() as patch:
            killed_at(kill, patch)
            with pytest.raises(SystemExit):
                run_batch(path, on_event=events.append)
    summary = run_batch(path, on_event=events.append)
    assert summary.done == 2
    assert set(job_states(path).values()) == {"done"}
    assert (set(marks(folders[0])), set(marks(folders[1]))) == ({3}, {0})
    assert [len(marks(folder)) for folder in folders] == [5, 5]
    assert not logged_events(folders[1], "redo")
    (warning,) = (text for text in warnings_in(events) if "memory" in text)
    assert warning.startswith("clip0-style0: memory runs short in shot 1")
    assert len(list((tmp_path / "out" / "clip0-style0").glob("*.png"))) == 5


def test_batch_clip_out_of_memory_in_all_modes_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jobs(tmp_path, clips=2, styles=1)
    (tmp_path / "clips" / "clip1" / "004.png").unlink()
    LimitedMemory(monkeypatch, {4: None})
    summary = run_batch(path)
    assert (summary.done, summary.failed) == (1, 1)
    assert job_states(path) == {"clip0-style0": "failed", "clip1-style0": "done"}


@pytest.fixture
def render_in_limited_memory(style: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Renders in another process, which gets some MiB for each picture."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("the address space of a process is read from /proc")
    write_burst(tmp_path / "large", 3, size=(256, 192))

    def render(limit_mib: int) -> subprocess.CompletedProcess[str]:
        settings = {
            "model.weights": "null",
            "losses.style_layers": "{relu1_1: 1}",
            "losses.content_layers": "{relu1_1: 1}",
            "optimize": "{optimizer: lbfgs, history: 100, iterations: 60, scales: 1, tolerance: 0}",
            "farm": "{threads: 1, workers: 1, gate: false}",
            "output.measure": "false",
            "output.report": "false",
        }
        sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        command = [sys.executable, limited_memory.__file__, str(limit_mib), "render"]
        command += [str(tmp_path / "large"), "--style", str(style), "-o", str(tmp_path / "out"), "--keep-frames"]
        command += ["--backbone", "slim", "--executor", "inline", "--schedule", "independent", *sets]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return render


@pytest.mark.slow
def test_real_allocator_limit_saves_memory(
    render_in_limited_memory: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = render_in_limited_memory(60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("memory runs short") == 1
    folder = tmp_path / "out.vidnst"
    (fallback,) = logged_events(folder, "memory_mode")
    assert "DefaultCPUAllocator: can't allocate memory" in fallback["why"]
    modes = [event.get("memory_mode") for event in logged_events(folder, "done")]
    assert modes == [fallback["memory_mode"]] * 3
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


def test_real_allocator_limit_below_all_modes_is_reported(
    render_in_limited_memory: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = render_in_limited_memory(1)
    assert done.returncode == 9, done.stderr
    assert "a frame of 256x192 does not fit into memory" in done.stderr
    assert "--size 176" in done.stderr


def test_memory_mode_survives_event_log() -> None:
    from vidnst.rendering.shot_memory import _to_json

    rungs = fallback_modes(quick_config(SETTINGS, optimize={"optimizer": "lbfgs"}), smaller=True)
    assert len(rungs) == len({json.dumps(_to_json(rung)) for rung in rungs})
    assert _to_json(rungs[0]) == {}
    assert replace(MemoryMode(), **json.loads(json.dumps(_to_json(rungs[-1])))) == rungs[-1]
