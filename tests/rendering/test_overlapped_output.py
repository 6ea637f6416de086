"""Frames packed and measured while others are painted: the same files as afterwards, and nothing left lying about."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from support.media import write_burst, write_flash_and_beep, write_style
from support.renders import frame_files, logged_events

import vidnst
from vidnst.config import RenderConfig
from vidnst.config.loader import build_config
from vidnst.errors import CancelledError, EncoderError
from vidnst.events import Event, FrameDone, Measured, Stage, Warned
from vidnst.farm.workers import StyleWorker
from vidnst.media import ffmpeg
from vidnst.media.output import png_stream
from vidnst.media.output.encode import _Job
from vidnst.parallel import ordered_results
from vidnst.rendering.overlapped_output import AwaitedPaths, OverlappedOutput
from vidnst.report.measure.meter import Meter
from vidnst.runs.async_writer import WriteLimits
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode

FRAMES, CUT = 12, 7
LOOK: dict[str, Any] = {
    "model": {"backbone": "slim"},
    "losses": {"style_layers": {"relu1_1": 1}, "content_layers": {"relu1_1": 1}},
    "optimize": {"iterations": 2, "scales": 1},
    "schedule": {"kind": "independent"},
    "farm": {"executor": "inline", "threads": 1, "workers": 1, "gate": False},
    "output": {"keep_frames": True},
}


def look(**sections: dict[str, Any]) -> RenderConfig:
    return build_config({**LOOK, **{name: {**LOOK.get(name, {}), **values} for name, values in sections.items()}})


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    write_burst(folder / "burst", FRAMES, size=(96, 64), cells=(12, 16))
    write_style(folder / "style.png")
    write_flash_and_beep(folder / "beep.mkv", flash=4, count=FRAMES, sound=("-c:a", "aac"))
    return folder


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has ffmpeg begin with the first frame: it looks at 5 MB of what it is given, which is all of a small clip."""
    whole = _Job._picture_input
    monkeypatch.setattr(_Job, "_picture_input", lambda job: ["-probesize", "32", *whole(job)])


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list["subprocess.Popen[bytes]"]:
    """All that were started."""
    started: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr("vidnst.media.ffmpeg.subprocess.Popen", Popen)
    return started


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each output whether it was packed early."""
    told: list[bool] = []
    whole = OverlappedOutput.name_output

    def name_output(early: OverlappedOutput, *arguments: Any) -> bool:
        told.append(whole(early, *arguments))
        return told[-1]

    monkeypatch.setattr(OverlappedOutput, "name_output", name_output)
    return told


def paint(media: Path, output: Path, config: RenderConfig, source: str = "burst", **options: Any) -> list[Event]:
    told: list[Event] = []
    listen = options.pop("listen", lambda event: None)

    def on_event(event: Event) -> None:
        told.append(event)
        listen(event)

    output.parent.mkdir(exist_ok=True)
    style = media / "style.png"
    vidnst.render(media / source, style=style, output=output, config=config, on_event=on_event, **options)
    return told


def ordinary(media: Path, output: Path, config: RenderConfig, source: str = "burst") -> Path:
    """The output of a render of which nothing is packed or measured before all is painted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OverlappedOutput, "_suits", lambda early: False)
        paint(media, output, config, source)
    return output


def folder_of(output: Path) -> Path:
    (folder,) = output.parent.glob("*.vidnst")
    return folder


def parts(output: Path) -> list[Path]:
    return [path for path in output.parent.rglob("*") if ".part" in path.name]


CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "keys in two shots": ("burst", "o.mp4", {"schedule": {"kind": "keys", "spacing": 3}, "input": {"shots": [CUT]}}),
    "chains side by side": ("burst", "o.mp4", {"schedule": {"kind": "chain"}, "input": {"shots": [CUT]}}),
    "16 bits": ("burst", "o.mov", {"output": {"bits": 16}}),
    "sound": ("beep.mkv", "o.mp4", {"output": {"keep_frames": False}}),
    "two passes of the encoder": ("burst", "o.gif", {}),
    "nothing painted": ("beep.mkv", "o.mp4", {"optimize": {"iterations": 0}}),
}


@pytest.mark.parametrize("case", CASES)
def test_output_and_numbers_are_those_of_a_render_that_packs_in_the_end(
    case: str, media: Path, tmp_path: Path, named: list[bool]
) -> None:
    source, name, sections = CASES[case]
    config = look(**sections)
    told = paint(media, tmp_path / "early" / name, config, source)
    right = ordinary(media, tmp_path / "ordinary" / name, config, source)
    assert named == [True, False]
    assert (tmp_path / "early" / name).read_bytes() == right.read_bytes()
    numbers = [folder_of(path) / "measure.json" for path in (tmp_path / "early" / name, right)]
    assert numbers[0].exists() == (case != "nothing painted")
    if numbers[0].exists():
        assert numbers[0].read_bytes() == numbers[1].read_bytes()
        assert json.loads(numbers[0].read_text())["losses"].keys() == {"content", "style"}
    stages = [(event.stage, event.done) for event in told if isinstance(event, Stage)]
    assert ("encoding", 0) in stages
    assert ("encoding", FRAMES) in stages
    assert (("measuring", FRAMES) in stages) == numbers[0].exists()
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]


def test_a_frame_is_packed_and_measured_before_the_last_one_is_painted(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: list[bool]
) -> None:
    fed, measured = threading.Event(), threading.Event()
    read, keep = png_stream._png, Meter.keep

    def reading(path: Path, size: tuple[int, int]) -> bytes:
        data = read(path, size)
        fed.set()
        return data

    def keeping(meter: Meter, row: Any) -> None:
        keep(meter, row)
        measured.set()

    monkeypatch.setattr(png_stream, "_png", reading)
    monkeypatch.setattr(Meter, "keep", keeping)
    seen: list[bool] = []

    def listen(event: Event) -> None:
        if isinstance(event, FrameDone) and event.frames_done == FRAMES - 1:
            seen.extend([fed.wait(60), measured.wait(60)])

    paint(media, tmp_path / "o.mp4", look(), listen=listen)
    assert seen == [True, True]
    assert named == [True]


@pytest.fixture
def promptly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has every result written before the next one is taken, so that what is told is never far behind what is made."""
    monkeypatch.setattr("vidnst.runs.async_writer._ROOM", WriteLimits(1))


@pytest.mark.parametrize(
    "sections",
    [{"schedule": {"kind": "chain"}}, {"optimize": {"iterations": 0}, "filters": {"before": ["palette:4"]}}],
    ids=["painted in threads of this process", "filtered only"],
)
def test_opencv_has_the_threads_that_workers_give_it_when_frames_were_measured_beside_them(
    sections: dict[str, Any], media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: list[bool]
) -> None:
    threads, measured, seen = cv2.getNumThreads(), threading.Event(), set[int]()
    keep = Meter.keep

    def keeping(meter: Meter, row: Any) -> None:
        keep(meter, row)
        measured.set()

    monkeypatch.setattr(Meter, "keep", keeping)
    farm = {"executor": "inline" if "schedule" in sections else "ray", "threads": 3}

    def listen(event: Event) -> None:
        if isinstance(event, FrameDone) and event.frames_done == FRAMES - 1:
            assert measured.wait(60)
            seen.add(cv2.getNumThreads())

    try:
        paint(media, tmp_path / "o.mp4", look(**sections, farm=farm), listen=listen)
        assert named == [True]
        assert seen == {3 if "schedule" in sections else 1}
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(threads)


@pytest.mark.usefixtures("eager", "promptly")
def test_a_render_that_is_stopped_leaves_no_part_and_no_process_and_goes_on_to_the_same_bytes(
    media: Path, tmp_path: Path, processes: list["subprocess.Popen[bytes]"], named: list[bool]
) -> None:
    right = ordinary(media, tmp_path / "right" / "o.mp4", look())
    output, seen, there = tmp_path / "stopped" / "o.mp4", 0, False
    processes.clear()

    def listen(event: Event) -> None:
        nonlocal seen, there
        seen += isinstance(event, FrameDone)
        if seen == FRAMES // 2 and not there:
            there = wait_for(lambda: bool(parts(output)))

    for stopped in (True, False):
        if stopped:
            with pytest.raises(CancelledError):
                paint(media, output, look(), listen=listen, cancelled=lambda: seen >= FRAMES // 2)
            assert there
            assert not output.exists()
            assert FRAMES // 2 <= len(frame_files(folder_of(output))) < FRAMES
        else:
            paint(media, output, look())
        assert not parts(output)
        assert processes
        assert all(process.poll() is not None for process in processes)
    assert output.read_bytes() == right.read_bytes()
    assert named == [False, True]
    numbers = [(folder_of(path) / "measure.json").read_bytes() for path in (output, right)]
    assert numbers[0] == numbers[1]


KILLED = """
import os, signal, sys, time
from pathlib import Path
import vidnst.cli.progress
from vidnst.__main__ import main
from vidnst.rendering.overlapped_output import AwaitedPaths
from vidnst.media.output.encode import _Job

whole, add, part = _Job._picture_input, AwaitedPaths.add, Path(sys.argv.pop(1))
_Job._picture_input = lambda job: ["-probesize", "32", *whole(job)]

def die(arriving, place):
    add(arriving, place)
    if arriving.missing < 4:
        while not part.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

AwaitedPaths.add = die
main()
"""


def test_a_render_that_is_killed_goes_on_to_the_same_bytes_and_leaves_nothing_of_what_was_packed(
    media: Path, tmp_path: Path
) -> None:
    output, settings = tmp_path / "killed" / "o.mp4", tmp_path / "settings.yaml"
    right = ordinary(media, tmp_path / "right" / "o.mp4", look())
    output.parent.mkdir()
    settings.write_text(json.dumps(LOOK))  # JSON is YAML
    arguments = ["render", str(media / "burst"), "--style", str(media / "style.png"), "-o", str(output)]
    part = output.parent / "o.mp4.vidnst" / ".output.part.mp4"
    command = [sys.executable, "-c", KILLED, str(part), *arguments, "--config", str(settings)]
    killed = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert part.exists()
    assert [path.name for path in output.parent.iterdir()] == [folder_of(output).name]
    assert wait_for(lambda: not ffmpeg_writes(part))
    paint(media, output, look())
    assert output.read_bytes() == right.read_bytes()
    assert not parts(output)


def wait_for(what: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether it comes to be in time."""
    over = threading.Event()
    for _ in range(int(seconds * 50)):
        if what():
            return True
        over.wait(0.02)
    return False


def ffmpeg_writes(part: Path) -> bool:
    """Whether any process was told to write there."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(part) in entry.read_bytes() and b"ffmpeg" in entry.read_bytes():
                return True
        except OSError:
            continue
    return False


def failing(monkeypatch: pytest.MonkeyPatch, *, times: int) -> threading.Event:
    """Have so many runs of ffmpeg that pack end badly, the first of them while frames are painted."""
    whole, failed, left = ffmpeg.run, threading.Event(), times

    def run(arguments: Any, **options: Any) -> None:
        nonlocal left
        if left:
            left -= 1
            next(iter(options["feed"]))
            failed.set()
            raise EncoderError("ffmpeg failed with status 187: no such luck")
        whole(arguments, **options)

    monkeypatch.setattr(ffmpeg, "run", run)
    return failed


@pytest.mark.parametrize("times", [1, 2])
def test_an_encoder_that_fails_disturbs_no_painting_and_is_told_of_when_all_is_painted(
    times: int, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: list[bool]
) -> None:
    right = ordinary(media, tmp_path / "right" / "o.mp4", look())
    failed = failing(monkeypatch, times=times)
    output, told, early = tmp_path / "failed" / "o.mp4", list[Event](), list[bool]()

    def listen(event: Event) -> None:
        told.append(event)
        if isinstance(event, FrameDone) and event.frames_done == FRAMES - 1:
            early.append(failed.wait(60))

    if times == 1:  # tried again in the end
        paint(media, output, look(), listen=listen)
        assert output.read_bytes() == right.read_bytes()
    else:
        with pytest.raises(EncoderError, match="status 187: no such luck"):
            paint(media, output, look(), listen=listen)
        assert not output.exists()
        assert len(logged_events(folder_of(output), "unwritten")) == 1
    assert early == [True]
    assert named[1:] == [False]
    assert sum(isinstance(event, FrameDone) for event in told) == FRAMES
    assert frame_files(folder_of(output)) == frame_files(folder_of(right))
    assert not parts(output)


def test_a_measurement_that_fails_early_is_made_in_the_end(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = ordinary(media, tmp_path / "right" / "o.mp4", look())

    def fail(*arguments: Any, **options: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("vidnst.rendering.measure_output.measure_coming", fail)
    told = paint(media, tmp_path / "early" / "o.mp4", look())
    assert any(isinstance(event, Measured) for event in told)
    numbers = [(folder_of(path) / "measure.json").read_bytes() for path in (right, tmp_path / "early" / "o.mp4")]
    assert numbers[0] == numbers[1]


@pytest.mark.usefixtures("without_bfloat16")
def test_what_was_done_early_is_thrown_away_where_frames_are_made_again(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: list[bool]
) -> None:
    whole = StyleWorker._paint

    def painting(worker: StyleWorker, stylizer: Any, job: Any, memory_mode: MemoryMode, **options: Any) -> Any:
        if job.node.frame == FRAMES - 2 and memory_mode == NO_SAVINGS:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        result = whole(worker, stylizer, job, memory_mode, **options)
        result.state[0, :] = 0 if memory_mode == NO_SAVINGS else 65535  # what a picture says about how it was painted
        return result

    monkeypatch.setattr(StyleWorker, "_paint", painting)
    right = ordinary(media, tmp_path / "right" / "o.mp4", look())
    told = paint(media, tmp_path / "early" / "o.mp4", look())
    assert any(isinstance(event, Warned) and "memory runs short" in event.message for event in told)
    assert sum(isinstance(event, FrameDone) for event in told) > FRAMES
    assert named == [False, False]
    assert (tmp_path / "early" / "o.mp4").read_bytes() == right.read_bytes()
    numbers = [(folder_of(path) / "measure.json").read_bytes() for path in (right, tmp_path / "early" / "o.mp4")]
    assert numbers[0] == numbers[1]
    assert not parts(tmp_path / "early" / "o.mp4")


@pytest.mark.parametrize(
    ("name", "sections"),
    [("o", {}), ("o.mp4", {"photo": {"enabled": True}})],
    ids=["a folder of frames", "frames that are worked on further"],
)
def test_nothing_is_done_early_where_it_would_not_be_final_or_not_encoded(
    name: str, sections: dict[str, Any], media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(OverlappedOutput, "_pack", fail)
    monkeypatch.setattr(OverlappedOutput, "_measure", fail)
    paint(media, tmp_path / name, look(**sections, output={"measure": False}))
    assert (tmp_path / name).exists()


@pytest.mark.parametrize("scarce", ["disk", "memory"])
def test_nothing_is_done_early_where_there_is_little_room(
    scarce: str, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: list[bool]
) -> None:
    place = {
        "disk": "vidnst.rendering.overlapped_output.free_bytes",
        "memory": "vidnst.runs.disk_space.host_bytes",
    }[scarce]
    monkeypatch.setattr(place, lambda *_: 1 << 20)
    paint(media, tmp_path / "o.mp4", look())
    assert named == [False]
    assert (tmp_path / "o.mp4").exists()


def test_files_are_given_as_they_come_and_none_is_when_one_comes_again() -> None:
    paths = [Path(str(number)) for number in range(4)]
    arriving, got = AwaitedPaths(paths), list[Path]()

    def take() -> None:
        got.extend(arriving)

    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(take)
        for place in (1, 0):
            arriving.add(place)
        assert wait_for(lambda: len(got) == 2)
        assert arriving.missing == 2
        arriving.add(1)
        with pytest.raises(CancelledError):
            taking.result(60)
    assert got == paths[:2]
    with pytest.raises(CancelledError):
        arriving[0]


def test_how_many_are_begun_may_change_under_way() -> None:
    asked, most = list[int](), [1]

    def pieces() -> Iterator[Callable[[], int]]:
        for number in range(12):
            asked.append(number)
            yield lambda number=number: number

    with ThreadPoolExecutor(1) as pool:
        for number in ordered_results(pieces(), pool, ahead=lambda: most[0]):
            assert len(asked) == min(12, number + 1 + most[0])
            most[0] = 1 if number < 5 else 3
    assert len(asked) == 12
