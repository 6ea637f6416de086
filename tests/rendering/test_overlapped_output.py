"""Encoding and measuring while frames are rendered: the same files as afterwards, and no leftovers."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.media import write_burst, write_flash_and_beep, write_style
from support.processes import wait_until
from support.renders import (
    SLIM_BACKBONE,
    frame_files,
    logged_events,
    quick_config,
    quick_settings,
    run_folder,
    warnings_in,
    write_settings,
)
from support.stylizer_faults import Stylize, out_of_memory, with_pixels, wrap_stylizer

import vidnst
from vidnst.config import RenderConfig
from vidnst.errors import CancelledError, EncoderError
from vidnst.events import Event, FrameDone, Measured, OnEvent, Stage
from vidnst.farm.jobs import StylizeJob
from vidnst.media import ffmpeg
from vidnst.processes.parallel import ordered_results
from vidnst.rendering import overlapped_output
from vidnst.rendering.overlapped_output import AwaitedPaths, OverlappedOutput
from vidnst.report.measure.meter import Meter
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode
from vidnst.style.minimize import StylizeResult

FRAMES, CUT = 12, 7
SETTINGS = quick_settings(
    SLIM_BACKBONE,
    optimize={"iterations": 2},
    schedule={"kind": "independent"},
    farm={"workers": 1, "gate": False},
    output={"measure": True},
)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    write_burst(folder / "burst", FRAMES, size=(96, 64), cells=(12, 16))
    write_style(folder / "style.png")
    write_flash_and_beep(folder / "beep.mkv", flash=4, count=FRAMES, sound=("-c:a", "aac"))
    return folder


@pytest.fixture
def eager_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    """ffmpeg encodes from the first frame on: by default it probes 5 MB of its input, which is all of a small clip."""
    run = ffmpeg.run

    def run_eagerly(arguments: Sequence[str], **options: Any) -> None:
        at = list(arguments).index("pipe:0") - 1
        run([*arguments[:at], "-probesize", "32", *arguments[at:]], **options)

    monkeypatch.setattr(ffmpeg, "run", run_eagerly)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list["subprocess.Popen[bytes]"]:
    """The processes that ffmpeg was started in."""
    started: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr("vidnst.media.ffmpeg.subprocess.Popen", Popen)
    return started


@pytest.fixture
def overlapped(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each output whether it was encoded while frames were rendered."""
    results: list[bool] = []
    original = OverlappedOutput.name_output

    def name_output(output: OverlappedOutput, *arguments: Any) -> bool:
        results.append(original(output, *arguments))
        return results[-1]

    monkeypatch.setattr(OverlappedOutput, "name_output", name_output)
    return results


def render(media: Path, output: Path, config: RenderConfig, source: str = "burst", **options: Any) -> list[Event]:
    events: list[Event] = []
    listen = options.pop("listen", lambda event: None)

    def on_event(event: Event) -> None:
        events.append(event)
        listen(event)

    output.parent.mkdir(exist_ok=True)
    style = media / "style.png"
    vidnst.render(media / source, style=style, output=output, config=config, on_event=on_event, **options)
    return events


def render_in_sequence(media: Path, output: Path, config: RenderConfig, source: str = "burst") -> Path:
    """Render first and encode and measure afterwards, for lack of space; return the output."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlapped_output, "free_bytes", lambda path: 0)
        render(media, output, config, source)
    return output


def measurement(output: Path) -> bytes:
    return (run_folder(output) / "measure.json").read_bytes()


def part_files(output: Path) -> list[Path]:
    return [path for path in output.parent.rglob("*") if ".part" in path.name]


CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "keys in two shots": ("burst", "o.mp4", {"schedule": {"kind": "keys", "spacing": 3}, "input": {"shots": [CUT]}}),
    "two chains": ("burst", "o.mp4", {"schedule": {"kind": "chain"}, "input": {"shots": [CUT]}}),
    "16 bits": ("burst", "o.mov", {"output": {"bits": 10}}),
    "sound": ("beep.mkv", "o.mp4", {"output": {"keep_frames": False}}),
    "two passes of the encoder": ("burst", "o.gif", {}),
    "no iterations": ("beep.mkv", "o.mp4", {"optimize": {"iterations": 0}}),
}


@pytest.mark.parametrize("case", CASES)
def test_overlapped_output_keeps_bytes_and_measurement(
    case: str, media: Path, tmp_path: Path, overlapped: list[bool]
) -> None:
    source, name, sections = CASES[case]
    config = quick_config(SETTINGS, sections)
    events = render(media, tmp_path / "overlapped" / name, config, source)
    expected = render_in_sequence(media, tmp_path / "sequence" / name, config, source)
    assert overlapped == [True, False]
    assert (tmp_path / "overlapped" / name).read_bytes() == expected.read_bytes()
    measured = (run_folder(expected) / "measure.json").exists()
    assert measured == (case != "no iterations")
    if measured:
        assert measurement(tmp_path / "overlapped" / name) == measurement(expected)
        assert json.loads(measurement(expected))["losses"].keys() == {"content", "style"}
    stages = [(event.stage, event.done) for event in events if isinstance(event, Stage)]
    assert ("encoding", 0) in stages
    assert ("encoding", FRAMES) in stages
    assert (("measuring", FRAMES) in stages) == measured
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]


def test_frames_are_encoded_and_measured_while_rendering(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlapped: list[bool]
) -> None:
    fed, measured = threading.Event(), threading.Event()
    run, collect = ffmpeg.run, Meter.collect

    def running(arguments: Sequence[str], *, feed: Iterable[bytes], **options: Any) -> None:
        def feeding() -> Iterator[bytes]:
            for piece in feed:
                yield piece
                fed.set()

        run(arguments, feed=feeding(), **options)

    def collecting(meter: Meter, row: Any) -> None:
        collect(meter, row)
        measured.set()

    monkeypatch.setattr(ffmpeg, "run", running)
    monkeypatch.setattr(Meter, "collect", collecting)
    seen: list[bool] = []

    def listen(event: Event) -> None:
        if isinstance(event, FrameDone) and event.frames_done == FRAMES - 1:
            seen.extend([fed.wait(60), measured.wait(60)])

    render(media, tmp_path / "o.mp4", quick_config(SETTINGS), listen=listen)
    assert seen == [True, True]
    assert overlapped == [True]


@pytest.mark.parametrize(
    "sections",
    [{"schedule": {"kind": "chain"}}, {"optimize": {"iterations": 0}, "filters": {"before": ["palette:4"]}}],
    ids=["stylized in threads", "filtered only"],
)
def test_overlapped_measurement_keeps_opencv_threads(
    sections: dict[str, Any], media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlapped: list[bool]
) -> None:
    threads, measured, seen = cv2.getNumThreads(), threading.Event(), set[int]()
    collect = Meter.collect

    def collecting(meter: Meter, row: Any) -> None:
        collect(meter, row)
        measured.set()

    monkeypatch.setattr(Meter, "collect", collecting)
    farm = {"executor": "inline" if "schedule" in sections else "ray", "threads": 3}

    def listen(event: Event) -> None:
        if isinstance(event, FrameDone) and event.frames_done == FRAMES - 1:
            assert measured.wait(60)
            seen.add(cv2.getNumThreads())

    try:
        render(media, tmp_path / "o.mp4", quick_config(SETTINGS, sections, farm=farm), listen=listen)
        assert overlapped == [True]
        assert seen == {3 if "schedule" in sections else 1}
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(threads)


@pytest.mark.usefixtures("eager_ffmpeg", "immediate_writes")
def test_stopped_render_leaves_no_part_file_and_no_process(
    media: Path, tmp_path: Path, processes: list["subprocess.Popen[bytes]"], overlapped: list[bool]
) -> None:
    expected = render_in_sequence(media, tmp_path / "sequence" / "o.mp4", quick_config(SETTINGS))
    output, seen, encoding = tmp_path / "stopped" / "o.mp4", 0, False
    processes.clear()

    def listen(event: Event) -> None:
        nonlocal seen, encoding
        seen += isinstance(event, FrameDone)
        if seen == FRAMES // 2 and not encoding:
            encoding = wait_until(lambda: bool(part_files(output)))

    for stopped in (True, False):
        if stopped:
            with pytest.raises(CancelledError):
                render(media, output, quick_config(SETTINGS), listen=listen, cancelled=lambda: seen >= FRAMES // 2)
            assert encoding
            assert not output.exists()
            assert FRAMES // 2 <= len(frame_files(run_folder(output))) < FRAMES
        else:
            render(media, output, quick_config(SETTINGS))
        assert not part_files(output)
        assert processes
        assert all(process.poll() is not None for process in processes)
    assert output.read_bytes() == expected.read_bytes()
    assert overlapped == [False, True]
    assert measurement(output) == measurement(expected)


KILLED = """
import os, signal, sys, time
from pathlib import Path
import vidnst.cli.progress
from vidnst.__main__ import main
from vidnst.rendering.overlapped_output import AwaitedPaths
from vidnst.media import ffmpeg

run, add, folder = ffmpeg.run, AwaitedPaths.add, Path(sys.argv.pop(1))

def run_eagerly(arguments, **options):
    at = arguments.index("pipe:0") - 1
    run([*arguments[:at], "-probesize", "32", *arguments[at:]], **options)

def die(arriving, place):
    add(arriving, place)
    if arriving.missing < 4:
        while not any(part.stat().st_size for part in folder.glob(".*.part.mp4")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

AwaitedPaths.add = die
ffmpeg.run = run_eagerly
main()
"""


def test_killed_render_resumes_to_same_bytes_without_part_file(media: Path, tmp_path: Path) -> None:
    output, settings = tmp_path / "killed" / "o.mp4", write_settings(tmp_path / "settings.yaml", SETTINGS)
    expected = render_in_sequence(media, tmp_path / "sequence" / "o.mp4", quick_config(SETTINGS))
    output.parent.mkdir()
    arguments = ["render", str(media / "burst"), "--style", str(media / "style.png"), "-o", str(output)]
    command = [sys.executable, "-c", KILLED, str(run_folder(output)), *arguments, "--config", str(settings)]
    killed = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    (part,) = [path for path in part_files(output) if path.suffix == ".mp4"]  # a frame may have been half written, too
    assert part.parent == run_folder(output)
    assert [path.name for path in output.parent.iterdir()] == [run_folder(output).name]
    assert wait_until(lambda: not ffmpeg_writes(part))
    render(media, output, quick_config(SETTINGS))
    assert output.read_bytes() == expected.read_bytes()
    assert not part_files(output)


def ffmpeg_writes(part: Path) -> bool:
    """Tell whether an ffmpeg process has a part file on its command line."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(part) in entry.read_bytes() and b"ffmpeg" in entry.read_bytes():
                return True
        except OSError:
            continue
    return False


def fail_ffmpeg(monkeypatch: pytest.MonkeyPatch, *, times: int) -> threading.Event:
    """Have some runs of ffmpeg fail after their first frame; return an event that is set at the first failure."""
    original, failed, left = ffmpeg.run, threading.Event(), times

    def run(arguments: Any, **options: Any) -> None:
        nonlocal left
        if left:
            left -= 1
            next(iter(options["feed"]))
            failed.set()
            raise EncoderError("ffmpeg failed with status 187: no such luck")
        original(arguments, **options)

    monkeypatch.setattr(ffmpeg, "run", run)
    monkeypatch.setattr("vidnst.rendering.run_setup.try_encoder", lambda *_, **__: None)
    return failed


@pytest.mark.parametrize("times", [1, 2])
def test_encoder_failure_is_raised_after_all_frames(
    times: int, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlapped: list[bool]
) -> None:
    expected = render_in_sequence(media, tmp_path / "sequence" / "o.mp4", quick_config(SETTINGS))
    failed = fail_ffmpeg(monkeypatch, times=times)
    output, events, failed_early = tmp_path / "failed" / "o.mp4", list[Event](), list[bool]()

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, FrameDone) and event.frames_done == FRAMES - 1:
            failed_early.append(failed.wait(60))

    if times == 1:  # encoding is tried again after the last frame
        render(media, output, quick_config(SETTINGS), listen=listen)
        assert output.read_bytes() == expected.read_bytes()
    else:
        with pytest.raises(EncoderError, match="status 187: no such luck"):
            render(media, output, quick_config(SETTINGS), listen=listen)
        assert not output.exists()
        assert len(logged_events(run_folder(output), "unwritten")) == 1
    assert failed_early == [True]
    assert overlapped[1:] == [False]
    assert sum(isinstance(event, FrameDone) for event in events) == FRAMES
    assert frame_files(run_folder(output)) == frame_files(run_folder(expected))
    assert not part_files(output)


def test_failed_overlapped_measurement_is_repeated(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = render_in_sequence(media, tmp_path / "sequence" / "o.mp4", quick_config(SETTINGS))

    def fail(*arguments: Any, **options: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("vidnst.rendering.overlapped_output.measure_coming", fail)
    events = render(media, tmp_path / "overlapped" / "o.mp4", quick_config(SETTINGS))
    assert any(isinstance(event, Measured) for event in events)
    assert measurement(tmp_path / "overlapped" / "o.mp4") == measurement(expected)


@pytest.mark.usefixtures("without_bfloat16")
def test_overlapped_output_is_dropped_if_frames_are_redone(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlapped: list[bool]
) -> None:
    def stylize(job: StylizeJob, memory_mode: MemoryMode, seed: int, attempt: Stylize) -> StylizeResult:
        if job.node.frame == FRAMES - 2 and memory_mode == NO_SAVINGS:
            raise out_of_memory()
        return with_pixels(attempt(), np.s_[0, :], 0 if memory_mode == NO_SAVINGS else 65535)  # shows the memory mode

    wrap_stylizer(monkeypatch, stylize)
    expected = render_in_sequence(media, tmp_path / "sequence" / "o.mp4", quick_config(SETTINGS))
    events = render(media, tmp_path / "overlapped" / "o.mp4", quick_config(SETTINGS))
    assert any("memory runs short" in warning for warning in warnings_in(events))
    assert sum(isinstance(event, FrameDone) for event in events) > FRAMES
    assert overlapped == [False, False]
    assert (tmp_path / "overlapped" / "o.mp4").read_bytes() == expected.read_bytes()
    assert measurement(tmp_path / "overlapped" / "o.mp4") == measurement(expected)
    assert not part_files(tmp_path / "overlapped" / "o.mp4")


@pytest.mark.parametrize(
    ("name", "sections"),
    [("o", {}), ("o.mp4", {"photo": {"enabled": True}})],
    ids=["a folder of frames", "frames with effects"],
)
def test_output_does_not_overlap_if_frames_are_not_final(
    name: str, sections: dict[str, Any], media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow, listeners = OverlappedOutput.follow, list[tuple[object, object]]()

    def following(output: OverlappedOutput, frames: Collection[int], on_event: OnEvent) -> OnEvent:
        listeners.append((on_event, follow(output, frames, on_event)))
        return listeners[-1][1]

    monkeypatch.setattr(OverlappedOutput, "follow", following)
    render(media, tmp_path / name, quick_config(SETTINGS, sections, output={"measure": False}))
    assert all(original is listener for original, listener in listeners), "frames are followed to encode them"
    assert (tmp_path / name).exists()


@pytest.mark.parametrize("scarce", ["disk", "memory"])
def test_output_does_not_overlap_if_space_is_scarce(
    scarce: str, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlapped: list[bool]
) -> None:
    function = {
        "disk": "vidnst.rendering.overlapped_output.free_bytes",
        "memory": "vidnst.rendering.overlapped_output.host_bytes",
    }[scarce]
    monkeypatch.setattr(function, lambda *_: 1 << 20)
    render(media, tmp_path / "o.mp4", quick_config(SETTINGS))
    assert overlapped == [False]
    assert (tmp_path / "o.mp4").exists()


def test_awaited_paths_arrive_in_order_and_cancel_on_repeat() -> None:
    paths = [Path(str(number)) for number in range(4)]
    arriving, got = AwaitedPaths(paths), list[Path]()

    def take() -> None:
        got.extend(arriving)

    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(take)
        for place in (1, 0):
            arriving.add(place)
        assert wait_until(lambda: len(got) == 2)
        assert arriving.missing == 2
        arriving.add(1)
        with pytest.raises(CancelledError):
            taking.result(60)
    assert got == paths[:2]
    with pytest.raises(CancelledError):
        arriving[0]


def test_ordered_results_follow_changing_look_ahead() -> None:
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
