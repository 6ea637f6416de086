"""What a user asks for: a source, styles, an output and settings; and the same as a run folder remembers it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidnst.config import RenderConfig
from vidnst.config.loader import build_config
from vidnst.config.style import Style
from vidnst.errors import RunError
from vidnst.runs.layout import RunLayout, holds_run, run_folder_of
from vidnst.runs.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for."""

    source: str | Path | Sequence[str | Path]
    styles: tuple[str | Style, ...]
    """Style pictures and clips; a text is a path, optionally followed by `:weight`, `@moment` and `#region`."""
    output: Path
    config: RenderConfig
    work_dir: Path | None = None
    """Run folder; None puts it beside the output."""

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.work_dir or run_folder_of(self.output)


def load_request(folder: Path, farm: Mapping[str, Any]) -> Request:
    """The request that a run folder (or the output beside it) remembers.

    Args:
        folder: a run folder, or the output that it was for.
        farm: settings of the `farm` section that are to be different from now on.

    Raises:
        RunError: there is no run, or its record is damaged.
        ConfigError: a setting in `farm`, or in the record, is wrong.
    """
    if not holds_run(folder):
        folder = run_folder_of(folder)
    if not holds_run(folder):
        raise RunError(f"{folder} is no run folder: it has no run.json", "give the folder that ends in .vidnst")
    manifest = Manifest.read(folder)
    values = dict(manifest.config)
    more = {"farm": farm, "model": {"weights": manifest.weights}, "motion": {"raft_weights": manifest.raft_weights}}
    for section, settings in more.items():
        kept = values.get(section, {})
        if not isinstance(kept, Mapping):
            path = RunLayout(folder).manifest
            raise RunError(f"{path} is damaged: {section} is no section", "start afresh with --restart")
        values[section] = {**kept, **settings}
    source = manifest.sources[0] if len(manifest.sources) == 1 else manifest.sources
    styles = tuple(mark.style for mark in manifest.look.styles)
    return Request(source, styles, Path(manifest.output), build_config(values), folder)
