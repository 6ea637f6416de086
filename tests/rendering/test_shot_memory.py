"""Where memory runs short a shot is painted more frugally: all of it alike, and no other shot."""

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
import torch
from support import limited_memory
from support.batches import job_states, write_jobs
from support.media import write_burst, write_style
from support.renders import frame_files, logged_events
from typer.testing import CliRunner

import vidnst
from vidnst.cli.app import app
from vidnst.config import RenderConfig
from vidnst.config.loader import build_config
from vidnst.errors import FramesFailedError
from vidnst.events import Event, FrameDone, Warned
from vidnst.farm.jobs import Stylized, StylizeJob
from vidnst.farm.workers import StyleWorker
from vidnst.rendering.batch.run import run_batch
from vidnst.rendering.pipeline import run
from vidnst.rendering.shot_memory import ShotMemory
from vidnst.runs import RunLog, RunStore
from vidnst.runs.request import recall_request
from vidnst.style.memory.modes import MemoryMode, fallback_modes

FRAMES, CUT = 9, 5
LOOK: dict[str, Any] = {
    "input": {"shots": [CUT]},
    "losses": {"style_layers": {"relu1_1": 1}, "content_layers": {"relu1_1": 1}},
    "optimize": {"iterations": 4, "scales": 1},
    "schedule": {"spacing": 4, "passes": 1},
    "model": {"weights": "random"},
    "farm": {"executor": "inline", "threads": 1, "workers": 1, "gate": False},
    "output": {"keep_frames": True, "measure": False, "report": False},
}
LADDER = fallback_modes(build_config(LOOK), smaller=True)
HALF, TILES, SMALL = LADDER[1], LADDER[3], LADDER[5]

pytestmark = pytest.mark.usefixtures("without_bfloat16", "one_by_one")


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """No node lies ready behind another: it would have been handed over before what that one meets with is known."""
    monkeypatch.setattr("vidnst.farm.worker_queues.LEAD_SECONDS", float("-inf"))


@pytest.fixture(scope="module")
def burst(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_burst(tmp_path_factory.mktemp("burst"), FRAMES)


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_style(tmp_path_factory.mktemp("style") / "style.png")


def config(kind: str = "independent", **farm: object) -> RenderConfig:
    return build_config({**LOOK, "schedule": {**LOOK["schedule"], "kind": kind}, "farm": {**LOOK["farm"], **farm}})


class Cramped:
    """A stylizer for which some frames are too large, as long as too little memory is saved.

    Args:
        needs: what must at least be done for a frame, by its number.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, needs: Mapping[int, MemoryMode | None]) -> None:
        self.needs = needs
        self.asked: list[tuple[int, MemoryMode]] = []
        """What jobs began with."""
        self.tried: list[tuple[int, MemoryMode]] = []
        stylize, paint = StyleWorker._stylize, StyleWorker._paint

        def asking(worker: StyleWorker, stylizer: Any, job: StylizeJob, **options: Any) -> Stylized:
            self.asked.append((job.node.frame, job.memory_mode))
            return stylize(worker, stylizer, job, **options)

        def painting(
            worker: StyleWorker, stylizer: Any, job: StylizeJob, memory_mode: MemoryMode, **options: Any
        ) -> Stylized:
            frame = job.node.frame
            self.tried.append((frame, memory_mode))
            if frame in self.needs and not enough(memory_mode, self.needs[frame]):
                held = torch.zeros(1 << 18)
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {held.nbytes} bytes.")
            result = paint(worker, stylizer, job, memory_mode, **options)
            result.state[0, 0] = 4000 * LADDER.index(memory_mode)  # what a picture says about how it was painted
            return result

        monkeypatch.setattr(StyleWorker, "_stylize", asking)
        monkeypatch.setattr(StyleWorker, "_paint", painting)


def enough(memory_mode: MemoryMode, needed: MemoryMode | None) -> bool:
    return needed is not None and LADDER.index(memory_mode) >= LADDER.index(needed)


def marks(folder: Path) -> list[int]:
    """The rung with which each frame was painted."""
    pictures = [cv2.imread(str(path)) for path in sorted((folder / "frames").glob("*.png"))]
    return [round(int(picture[0, 0, 0]) * 257 / 4000) for picture in pictures if picture is not None]


def told(events: list[Event]) -> list[str]:
    return [str(event) for event in events if isinstance(event, Warned)]


@pytest.mark.parametrize("kind", ["independent", "keys"])
def test_a_shot_in_which_memory_runs_short_is_painted_anew_all_alike_and_the_others_are_left_alone(
    kind: str, burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, events = tmp_path / "whole.vidnst", list[Event]()
    with monkeypatch.context() as patch:  # what comes out if it has been known from the first frame on
        Cramped(patch, dict.fromkeys(range(CUT), TILES))
        vidnst.render(burst, style=style, output=tmp_path / "whole", config=config(kind))
    farm, look = Cramped(monkeypatch, {2: TILES}), config(kind, workers=3)
    vidnst.render(burst, style=style, output=tmp_path / "out", config=look, on_event=events.append)
    folder = tmp_path / "out.vidnst"
    assert marks(folder) == [3] * CUT + [0] * (FRAMES - CUT)
    assert frame_files(folder) == frame_files(whole)
    assert {memory_mode for frame, memory_mode in farm.tried if frame >= CUT} == {MemoryMode()}
    done = [event["node"] for event in logged_events(folder, "done")]
    assert len([node for node in done if int(node.partition(".")[0]) >= CUT]) == len(
        {node for node in done if int(node.partition(".")[0]) >= CUT}
    )
    (warning,) = told(events)
    assert "memory runs short in shot 1 (CUDA out of memory. Tried to allocate 1048576 bytes)" in warning
    assert "all of it is painted with bfloat16 maps, recomputed maps, tiles of 1024 pixels" in warning
    assert [event.frames_done for event in events if isinstance(event, FrameDone)][-1] == FRAMES
    assert (tmp_path / "out").is_dir()


def test_recomputed_maps_change_no_pixel_so_what_is_painted_without_them_stays(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recomputed = LADDER[2]
    assert recomputed.pixel_relevant == HALF.pixel_relevant
    farm = Cramped(monkeypatch, {**dict.fromkeys(range(CUT), HALF), 3: recomputed})
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config())
    assert marks(tmp_path / "out.vidnst") == [1, 1, 1, 2, 2] + [0] * (FRAMES - CUT)
    assert [frame for frame, _ in farm.asked] == list(range(FRAMES))


def test_what_would_be_painted_again_is_not_painted_first(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm = Cramped(monkeypatch, {1: HALF})
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config("chain"))
    asked = [frame for frame, _ in farm.asked if frame < CUT]
    assert asked == [0, 1, *range(CUT)]


def killed_at(moment: str, patch: pytest.MonkeyPatch) -> None:
    """End the process, as it were: when a need for memory is `known`, all is `painted`, or the rest is `forgotten`."""
    even_out, take = ShotMemory.even_out, ShotMemory.take

    def ending(shot_memory: ShotMemory, *arguments: Any, **options: Any) -> Any:
        if moment == "painted" and shot_memory._spoilt:
            raise SystemExit("killed")
        if even_out(shot_memory, *arguments, **options) and moment == "forgotten":
            raise SystemExit("killed")
        return set()

    def taking(shot_memory: ShotMemory, *arguments: Any) -> Any:
        found = take(shot_memory, *arguments)
        if found and moment == "known":  # the node that has made it known is not in the log yet
            raise SystemExit("killed")
        return found

    patch.setattr(ShotMemory, "even_out", ending)
    patch.setattr(ShotMemory, "take", taking)


@pytest.mark.parametrize(
    ("moment", "left"), [("known", range(FRAMES)), ("painted", range(CUT - 1)), ("forgotten", range(CUT - 1))]
)
def test_a_run_that_is_killed_goes_on_as_frugally_and_makes_the_rest_of_the_shot_alike(
    moment: str, left: range, burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, last = tmp_path / "out.vidnst", CUT - 1
    with monkeypatch.context() as patch:
        Cramped(patch, {last: TILES})
        killed_at(moment, patch)
        with pytest.raises(SystemExit):
            vidnst.render(burst, style=style, output=tmp_path / "out", config=config())
    assert len(logged_events(folder, "memory_mode")) == 1
    farm = Cramped(monkeypatch, {last: TILES})
    run(recall_request(folder, {}))
    assert marks(folder) == [3] * CUT + [0] * (FRAMES - CUT)
    assert {memory_mode for frame, memory_mode in farm.asked if frame < CUT} == {TILES}
    assert sorted(frame for frame, _ in farm.tried) == list(left)


def test_a_run_that_is_killed_while_it_forgets_forgets_the_rest_later(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget, calls = RunStore.forget, list[object]()

    def once(store: RunStore, nodes: object, **options: object) -> None:
        calls.append(nodes)
        if len(calls) == 2:
            raise SystemExit("killed")
        forget(store, nodes, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        Cramped(patch, dict.fromkeys(range(CUT), TILES))
        vidnst.render(burst, style=style, output=tmp_path / "whole", config=config("chain"))
    Cramped(monkeypatch, {2: TILES})
    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "forget", once)
        with pytest.raises(SystemExit):
            vidnst.render(burst, style=style, output=tmp_path / "out", config=config("chain"))
    assert [len(nodes) for nodes in calls] == [1, 2]  # type: ignore[arg-type]
    run(recall_request(tmp_path / "out.vidnst", {}))
    assert frame_files(tmp_path / "out.vidnst") == frame_files(tmp_path / "whole.vidnst")


def test_frames_made_again_later_are_as_frugal_as_their_shot(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Cramped(patch, {2: TILES})
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config())
    before = frame_files(tmp_path / "out.vidnst")
    farm = Cramped(monkeypatch, {})
    run(recall_request(tmp_path / "out.vidnst", {}), redo=(1, 7), overwrite=True)
    assert farm.tried == [(1, TILES), (7, MemoryMode())]
    assert frame_files(tmp_path / "out.vidnst") == before


def test_a_frame_that_fits_in_no_way_fails_its_shot_and_says_what_would_fit(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out.vidnst"
    with monkeypatch.context() as patch:
        farm = Cramped(patch, {2: None})
        with pytest.raises(FramesFailedError) as caught:
            vidnst.render(burst, style=style, output=tmp_path / "out", config=config())
    text = str(caught.value)
    assert "frame 2 did: a frame of 48x32 does not fit into memory" in text
    assert "not with bfloat16 maps, recomputed maps, tiles of 512 pixels either" in text
    assert "--size 32" in text
    assert "farm.may_shrink=true" in text
    rungs = fallback_modes(config())
    assert [memory_mode for frame, memory_mode in farm.tried if frame == 2] == [rungs[0], *rungs]
    assert set(range(CUT, FRAMES)) <= frame_files(folder).keys()
    assert list(RunLog.read(folder).failed_frames) == [2, 3, 4]
    retried = CliRunner().invoke(app, ["retry", str(folder)])
    assert retried.exit_code == 0, retried.output
    assert len(frame_files(folder)) == FRAMES


def test_a_smaller_size_is_taken_only_where_that_is_allowed(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cramped(monkeypatch, {7: SMALL})
    with pytest.raises(FramesFailedError, match="does not fit into memory"):
        vidnst.render(burst, style=style, output=tmp_path / "out", config=config())
    events: list[Event] = []
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config(may_shrink=True), on_event=events.append)
    assert marks(tmp_path / "out.vidnst") == [0] * CUT + [5] * (FRAMES - CUT)
    assert "50% of the size" in told(events)[-1]
    assert cv2.imread(str(tmp_path / "out.vidnst" / "frames" / "00000007.png")).shape == (32, 48, 3)  # type: ignore[union-attr]


def test_how_a_frame_was_painted_is_checked_when_it_is_read(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = config()
    with monkeypatch.context() as patch:
        patch.setattr("vidnst.rendering.pipeline.finish", lambda *_: (_ for _ in ()).throw(SystemExit()))
        Cramped(patch, {})
        with pytest.raises(SystemExit):
            vidnst.render(burst, style=style, output=tmp_path / "out", config=look)
    log = tmp_path / "out.vidnst" / "events.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if line.get("node") in ("1.0", "6.0"):
            line["memory_mode"] = {"half": "yes"} if line["node"] == "1.0" else ["no such thing"]
    strange = [
        {"kind": "memory_mode", "shot": shot, "memory_mode": {"half": True}} for shot in (-1, "0", True, 1 << 30, None)
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in [*lines, *strange]))
    farm = Cramped(monkeypatch, {})
    run(recall_request(tmp_path / "out.vidnst", {}))
    assert sorted(frame for frame, _ in farm.tried) == [1, 6]


def test_a_frame_that_looks_wrong_is_painted_again_with_what_is_saved_already(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm = Cramped(monkeypatch, {6: HALF})
    monkeypatch.setattr(
        "vidnst.farm.workers.quality_problem_of", lambda job, state: "black" if job.node.frame == 6 else ""
    )
    events: list[Event] = []
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config(gate=True), on_event=events.append)
    assert [memory_mode for frame, memory_mode in farm.tried if frame == 6][:4] == [
        MemoryMode(),
        MemoryMode(),
        HALF,
        HALF,
    ]
    assert marks(tmp_path / "out.vidnst") == [0] * CUT + [1] * (FRAMES - CUT)
    assert "memory runs short in shot 2" in told(events)[0]


def test_a_proof_tells_of_a_cell_for_which_memory_runs_short(
    burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cramped(monkeypatch, {0: HALF})
    events: list[Event] = []
    proof = tmp_path / "proof.png"
    vidnst.proof(burst / "000.png", style=style, output=proof, config=config(), on_event=events.append)
    (warning,) = told(events)
    assert "memory runs short at frame 0 (CUDA out of memory" in warning
    assert "painted with bfloat16 maps, as a render would paint all of its shot" in warning


@pytest.mark.parametrize(
    ("kind", "kill"), [("keys", ""), ("independent", "known"), ("independent", "painted"), ("independent", "forgotten")]
)
def test_a_clip_of_a_batch_is_made_alike_too_and_the_others_are_left_alone(
    kind: str, kill: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jobs(tmp_path, clips=2, styles=1, set={"schedule": {"kind": kind, "passes": 1}})
    folders = [tmp_path / "out" / f"clip{number}-style0.vidnst" for number in range(2)]
    events: list[Event] = []
    cold = cv2.cvtColor(cv2.imread(str(tmp_path / "clips" / "clip0" / "004.png")), cv2.COLOR_BGR2RGB)  # type: ignore[arg-type]
    farm = Cramped(monkeypatch, {})
    paint = StyleWorker._paint

    def one_of_two(
        worker: StyleWorker, stylizer: Any, job: StylizeJob, memory_mode: MemoryMode, **options: Any
    ) -> Stylized:
        farm.needs = {4: TILES} if np.array_equal(job.content, cold) else {}
        return paint(worker, stylizer, job, memory_mode, **options)

    monkeypatch.setattr(StyleWorker, "_paint", one_of_two)
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
    (warning,) = (text for text in told(events) if "memory" in text)
    assert warning.startswith("clip0-style0: memory runs short in shot 1")
    assert len(list((tmp_path / "out" / "clip0-style0").glob("*.png"))) == 5


def test_a_clip_of_a_batch_that_fits_in_no_way_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jobs(tmp_path, clips=2, styles=1)
    (tmp_path / "clips" / "clip1" / "004.png").unlink()
    Cramped(monkeypatch, {4: None})
    summary = run_batch(path)
    assert (summary.done, summary.failed) == (1, 1)
    assert job_states(path) == {"clip0-style0": "failed", "clip1-style0": "done"}


@pytest.fixture
def cramped_process(burst: Path, style: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Renders in another process, which gets so many MiB for painting."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("the address space of a process is known by /proc")
    for number in range(3):
        picture = cv2.imread(str(burst / f"{number:03}.png"))
        assert picture is not None
        cv2.imwrite(str(tmp_path / f"{number}.png"), cv2.resize(picture, (256, 192), interpolation=cv2.INTER_CUBIC))

    def render(room: int) -> subprocess.CompletedProcess[str]:
        look = {
            "model.weights": "null",
            "losses.style_layers": "{relu1_1: 1}",
            "losses.content_layers": "{relu1_1: 1}",
            "optimize": "{optimizer: lbfgs, history: 100, iterations: 60, scales: 1, tolerance: 0}",
            "farm": "{threads: 1, workers: 1, gate: false}",
            "output.measure": "false",
            "output.report": "false",
        }
        sets = [part for key, value in look.items() for part in ("--set", f"{key}={value}")]
        command = [sys.executable, limited_memory.__file__, str(room), "render"]
        command += [str(tmp_path / "%d.png"), "--style", str(style), "-o", str(tmp_path / "out"), "--keep-frames"]
        command += ["--backbone", "slim", "--executor", "inline", "--schedule", "independent", *sets]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return render


@pytest.mark.slow
def test_an_allocator_that_gives_no_more_makes_a_shot_frugal(
    cramped_process: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = cramped_process(40)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("memory runs short") == 1
    folder = tmp_path / "out.vidnst"
    (climbed,) = logged_events(folder, "memory_mode")
    assert "DefaultCPUAllocator: can't allocate memory" in climbed["why"]
    painted = [event.get("memory_mode") for event in logged_events(folder, "done")]
    assert painted == [climbed["memory_mode"]] * 3
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


@pytest.mark.slow
def test_an_allocator_that_gives_nothing_at_all_is_told_with_what_to_do(
    cramped_process: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = cramped_process(1)
    assert done.returncode == 9, done.stderr
    assert "a frame of 256x192 does not fit into memory" in done.stderr
    assert "--size 176" in done.stderr


def test_all_that_a_thrift_can_say_stands_in_the_log_and_comes_back() -> None:
    from vidnst.rendering.shot_memory import _plain

    look = build_config({**LOOK, "optimize": {"optimizer": "lbfgs"}})
    rungs = fallback_modes(look, smaller=True)
    assert len(rungs) == len({json.dumps(_plain(rung)) for rung in rungs})
    assert _plain(rungs[0]) == {}
    assert replace(MemoryMode(), **json.loads(json.dumps(_plain(rungs[-1])))) == rungs[-1]
