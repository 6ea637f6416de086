"""Small renders: one quick configuration, what a run folder says afterwards, and a way to stop a render."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from vidnst.config import RenderConfig
from vidnst.config.loader import build_config
from vidnst.events import Event, FrameDone, Stage, Warned

Settings = dict[str, dict[str, Any]]
"""Sections of a configuration with the keys that are not as by default."""

ONE_LAYER: dict[str, Any] = {"style_layers": {"relu1_1": 1}, "content_layers": {"relu1_1": 1}}
TWO_LAYERS: dict[str, Any] = {"style_layers": {"relu1_1": 1, "relu2_1": 1}, "content_layers": {"relu2_1": 1}}
"""Losses that need the first convolutions of a network only."""

QUICK: Settings = {
    "model": {"weights": "random"},
    "losses": ONE_LAYER,
    "optimize": {"iterations": 4, "scales": 1},
    "schedule": {"passes": 2},
    "farm": {"executor": "inline", "threads": 1},
    "output": {"keep_frames": True, "measure": False, "report": False},
}
"""Renders a small clip in a second, to the same bytes on every machine: random filters, one thread for each worker."""

SLIM_BACKBONE: Settings = {"model": {"backbone": "slim", "weights": None}}
"""The slim network, whose weights ship with the package: the quickest."""


def quick_settings(*changes: Mapping[str, Mapping[str, Any]], **sections: Mapping[str, Any]) -> Settings:
    """Return `QUICK` with sections changed key by key; later changes win over earlier ones."""
    settings = {name: dict(section) for name, section in QUICK.items()}
    for change in (*changes, sections):
        for name, section in change.items():
            settings.setdefault(name, {}).update(section)
    return settings


def quick_config(*changes: Mapping[str, Mapping[str, Any]], **sections: Mapping[str, Any]) -> RenderConfig:
    """Return the configuration of `quick_settings`."""
    return build_config(quick_settings(*changes, **sections))


def still_config(**optimize: Any) -> RenderConfig:
    """Return a quick configuration for single pictures: two layers, two scales, 12 iterations."""
    return quick_config(losses=TWO_LAYERS, optimize={"iterations": 12, "scales": 2, **optimize}, farm={"workers": 1})


def write_settings(path: Path, settings: Mapping[str, Any]) -> Path:
    """Write settings for the command line's `--config`: JSON is YAML."""
    path.write_text(json.dumps(settings))
    return path


def run_folder(output: Path) -> Path:
    """Return the run folder that belongs to an output."""
    return output.with_name(f"{output.name}.vidnst")


def frame_files(run: Path) -> dict[int, bytes]:
    """Return the bytes of the frames that a run folder has, by their numbers."""
    return {int(path.stem): path.read_bytes() for path in sorted((run / "frames").glob("*.png"))}


def png_files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of the PNG files in a folder, by their names."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def logged_events(run: Path, kind: str) -> list[dict[str, Any]]:
    """Return the complete lines of one kind in a run's event log."""
    lines = (run / "events.jsonl").read_text().splitlines(keepends=True)
    events = [json.loads(line) for line in lines if line.endswith("\n")]
    return [event for event in events if event["kind"] == kind]


def done_nodes(run: Path) -> list[str]:
    """Return the nodes that were finished, in the order of the run's event log."""
    return [event["node"] for event in logged_events(run, "done")]


def warnings_in(events: Iterable[Event]) -> list[str]:
    """Return the messages of all warnings among some events."""
    return [str(event) for event in events if isinstance(event, Warned)]


def stop_after(count: int, *, stage: str | None = None) -> dict[str, Callable[..., Any]]:
    """Return `on_event` and `cancelled` for a render that stops after `count` finished frames.

    Args:
        stage: count the frames that this stage reports as done, instead of rendered frames; 0 waits for its start.
    """
    done: list[int] = []

    def listen(event: Event) -> None:
        if stage is None and isinstance(event, FrameDone):
            done.append(len(done) + 1)
        elif isinstance(event, Stage) and event.stage == stage:
            done.append(event.done)

    return {"on_event": listen, "cancelled": lambda: bool(done) and max(done) >= count}
