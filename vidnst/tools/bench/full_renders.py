"""Times whole renders of a synthetic clip, from source to verified output, in all and by stage."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from vidnst.api import render
from vidnst.config import RenderConfig
from vidnst.config.loader import build_config, load_config, with_settings
from vidnst.errors import ConfigError
from vidnst.events import Event, FrameDone, Measured, OnEvent, RunFinished, RunStarted, Stage, ignore
from vidnst.media.images import write_png
from vidnst.runs import RunLog, RunPlan, run_folder_of
from vidnst.tools.bench.synthetic_scene import MovingScene, synthetic_style

_MOST_FRAMES = 1000


class BenchClip(NamedTuple):
    """A synthetic clip and a style picture in a temporary folder."""

    clip: Path
    style: Path
    size: tuple[int, int]
    frames: int


@contextmanager
def synthetic_clip(size: tuple[int, int], *, frames: int) -> Iterator[BenchClip]:
    """Write a clip of a camera that pans and zooms over a texture behind a moving square, and a style picture.

    Raises:
        ConfigError: too few or too many frames.
    """
    if not 2 <= frames <= _MOST_FRAMES:
        raise ConfigError(f"--frames {frames} is not within 2 and {_MOST_FRAMES}", "a few dozen will do")
    width, height = size
    scene = MovingScene(
        *(frames, width, height),
        pan_px=(width / 200, height / 300),
        zoom=1.001,
        square=(width / 4, height / 4),
        square_px=height // 3,
        square_step_px=(width / 100, height / 400),
    )
    with TemporaryDirectory(prefix="vidnst-bench-") as name:
        folder = Path(name)
        clip = BenchClip(folder / "clip.mp4", folder / "style.png", size, frames)
        frame_folder = folder / "drawn"
        frame_folder.mkdir()
        for index in range(frames):
            write_png(frame_folder / f"{index:04d}.png", scene.pixels(index))
        write_png(clip.style, synthetic_style())
        transcode = {"optimize": {"iterations": 0}, "output": {"measure": False, "report": False}}
        render(frame_folder, style=(), output=clip.clip, config=build_config(transcode))
        yield clip


def preset_config(
    preset: str, *, backbone: str, weights: str | None, settings: Sequence[str] = (), workers: int | None = None
) -> RenderConfig:
    """Load a preset with changes, and with the bench's weights if they are for the preset's backbone.

    Raises:
        ConfigError: there is no such preset or setting.
    """
    config = load_config(preset=preset, assignments=settings, options={"farm.workers": workers})
    if config.model.weights is not None or config.model.backbone == "slim":
        return config
    return with_settings(config, {"model.weights": weights if backbone == config.model.backbone else "random"})


def time_render(clip: BenchClip, name: str, config: RenderConfig, *, on_event: OnEvent = ignore) -> dict[str, Any]:
    """Render the clip once and time the stages; the row is in plain JSON values.

    `seconds` are wall time: `startup` until workers are ready (probing, shots, weights, starting Ray), `stylizing`
    until the last node, including flow, waiting and storing, then `encoding`, `measuring` and all `other`.
    `workers_busy` is the share of the stylizing workers' time in which they worked on nodes.
    """
    width, height = clip.size
    output = clip.clip.parent / f"{name}-{config.farm.workers}.mp4"
    clock = _StageClock(on_event)
    render(clip.clip, style=str(clip.style), output=output, config=config, overwrite=True, on_event=clock)
    wall = clock.wall
    stylizing = clock.seconds.get("stylizing", 0.0)
    node_seconds = RunLog.read(run_folder_of(output)).node_seconds
    busy = node_seconds / (max(1, clock.workers) * stylizing) if stylizing else None
    plan = RunPlan.read(run_folder_of(output))
    return {
        "preset": name,
        "size": f"{width}x{height}",
        "rendered_size": f"{plan.width}x{plan.height}" if plan else f"{width}x{height}",
        "frames": clip.frames,
        "workers": clock.workers,
        "executor": config.farm.executor,
        "backbone": config.model.backbone,
        "schedule": config.schedule.kind,
        "seconds_in_all": wall,
        "frames_per_second": clip.frames / wall,
        "frames_per_second_stylizing": clip.frames / stylizing if stylizing else None,
        "first_frame_seconds": clock.first_frame,
        "seconds": clock.seconds_by_part(),
        "share_not_stylizing": 1 - stylizing / wall,
        "workers_busy": busy,
    }


_PARTS = ("startup", "stylizing", "encoding", "measuring", "other")


class _StageClock:
    """Listens to a render's events and sums up the time of its stages."""

    def __init__(self, on_event: OnEvent) -> None:
        self.seconds: dict[str, float] = {}
        self.workers = 0
        self.first_frame: float | None = None
        self._on_event = on_event
        self._stage = "startup"
        self._began = self._since = time.perf_counter()

    def __call__(self, event: Event) -> None:
        match event:
            case Stage(stage="training"):  # a part of stylizing
                pass
            case Stage() if self.workers:  # all stages before the workers' start are start-up
                self._enter("measuring" if event.stage == "measuring file" else event.stage)
            case RunStarted():
                self.workers = len(event.workers)
                self._enter("stylizing")
            case FrameDone() if self.first_frame is None:
                self.first_frame = time.perf_counter() - self._began
            case Measured():
                self._enter("closing")
            case RunFinished():
                self._enter("over")
            case _:
                pass
        self._on_event(event)

    @property
    def wall(self) -> float:
        """Seconds from the beginning to the last change of stage."""
        return self._since - self._began

    def seconds_by_part(self) -> dict[str, float]:
        """Seconds of each of `_PARTS`."""
        parts = dict.fromkeys(_PARTS, 0.0)
        for stage, seconds in self.seconds.items():
            parts[stage if stage in parts else "other"] += seconds
        return parts

    def _enter(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now
