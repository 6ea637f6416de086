"""Short clips as folders of frames, and renders of them whose bytes and times are read back."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from subprocess import DEVNULL, PIPE, Popen
from tempfile import TemporaryDirectory
from typing import Any

from bench.gpu_check.check import Check, Size
from bench.gpu_check.material import backbone, frame, style_picture

import vidnst
from vidnst.config import RenderConfig
from vidnst.config.loader import Engine, load_config
from vidnst.events import Event, FrameDone, RunStarted
from vidnst.media.images import write_png


@dataclass(frozen=True, slots=True)
class FrameClip:
    """A folder of frames, and a style picture."""

    frames: Path
    style: Path
    folder: Path
    """For outputs."""
    count: int


@contextmanager
def frame_clip(size: Size, count: int) -> Iterator[FrameClip]:
    """Write a clip into a temporary folder."""
    with TemporaryDirectory(prefix="gpu-check-clip-") as name:
        folder = Path(name)
        (folder / "frames").mkdir()
        for number in range(count):
            write_png(folder / "frames" / f"{number:04d}.png", frame(size, number))
        write_png(folder / "style.png", style_picture())
        yield FrameClip(folder / "frames", folder / "style.png", folder, count)


def render_config(
    check: Check,
    settings: Mapping[str, Any] | None = None,
    *,
    preset: str | None = None,
    engine: Engine | None = None,
) -> RenderConfig:
    """Settings of a render, by dotted key. In a dry run it is tiny."""
    options: dict[str, Any] = {"farm.executor": "inline", "farm.device": check.device.type}
    options |= {"output.report": False, "output.measure": False}
    if engine != "instant":
        options |= {"model.backbone": backbone(check), "model.weights": check.options.weights}
    if check.dry:
        options |= {"optimize.iterations": 6, "schedule.passes": 1, "farm.threads": 1, "farm.workers": 1}
    if check.dry and engine == "network":
        options |= {"schedule.training.steps": 2, "schedule.training.stage_steps": 2}
    return load_config(preset=preset, engine=engine, options={**options, **(settings or {})})


@dataclass(slots=True)
class TimedRender:
    """What a render did, and when."""

    seconds: float = 0.0
    """Of all of it."""
    painting_seconds: float = 0.0
    """From when workers were ready until the last frame."""
    frames_per_second: float = 0.0
    evaluations: int = 0
    digest: dict[str, bytes] = field(default_factory=dict)
    """The bytes of each frame."""
    gpu: dict[str, float] = field(default_factory=dict)
    """Means while it painted: utilisation in percent, and the most memory of the card in GiB."""


def timed_render(clip: FrameClip, name: str, config: RenderConfig) -> TimedRender:
    """Render a clip into a folder of frames."""
    found, moments = TimedRender(), {"ready": 0.0, "last": 0.0}

    def hear(event: Event) -> None:
        if isinstance(event, RunStarted):
            moments["ready"] = time.time()
        elif isinstance(event, FrameDone):
            moments["last"] = time.time()

    began, output = time.time(), clip.folder / name
    with GpuWatch() as watch:
        vidnst.render(clip.frames, style=str(clip.style), output=output, config=config, on_event=hear)
    found.seconds = time.time() - began
    found.painting_seconds = max(1e-9, moments["last"] - moments["ready"])
    found.frames_per_second = clip.count / found.painting_seconds
    found.evaluations = _evaluations(output)
    found.gpu = watch.between(moments["ready"], moments["last"])
    found.digest = {path.name: path.read_bytes() for path in sorted(output.glob("*.png"))}
    return found


def _evaluations(output: Path) -> int:
    from vidnst.runs import RunLog, run_folder_of

    return sum(RunLog.read(run_folder_of(output)).done_nodes.values())


class GpuWatch:
    """What nvidia-smi says five times a second while the block runs; nothing where it is not there."""

    _FIELDS = "utilization.gpu,memory.used,power.draw"

    def __init__(self) -> None:
        self._rows: list[tuple[float, ...]] = []
        self._process: Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> "GpuWatch":
        command = ["nvidia-smi", f"--query-gpu={self._FIELDS}", "--format=csv,noheader,nounits", "-lms", "200"]
        try:
            self._process = Popen(command, stdout=PIPE, stderr=DEVNULL, text=True)
        except OSError:
            return self
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None or self._reader is None:
            return
        self._process.terminate()
        self._process.wait()
        self._reader.join(timeout=5)

    def between(self, begin: float, end: float) -> dict[str, float]:
        """Mean utilisation and power, and the most memory, between two moments; empty if nothing was seen."""
        rows = [row for row in self._rows if begin <= row[0] <= end]
        if not rows:
            return {}
        return {
            "utilisation": fmean(row[1] for row in rows),
            "memory_gib": max(row[2] for row in rows) / 1024,
            "watts": fmean(row[3] for row in rows),
        }

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                self._rows.append((time.time(), *(float(part) for part in line.split(","))))
            except ValueError:
                continue


def differing(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> list[str]:
    """Names of frames that are not the same in two renders."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
