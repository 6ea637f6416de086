"""A request for a render, from the user or from the record of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidnst.config import RenderConfig
from vidnst.config.loader import build_config
from vidnst.config.style import Style
from vidnst.errors import RunError
from vidnst.runs.layout import RunLayout, check_run, holds_run, owns_output, run_folder_of
from vidnst.runs.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Request:
    """A source, styles, an output and settings that make a render."""

    source: str | Path | Sequence[str | Path]
    styles: tuple[str | Style, ...]
    """Style images and clips; a text is a path, optionally followed by `:weight`, `@moment` and `#region`."""
    output: Path
    config: RenderConfig
    work_dir: Path | None = None
    """Run folder; None puts it next to the output."""

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.work_dir or run_folder_of(self.output)


def resume_request(
    folder: Path, farm: Mapping[str, Any], *, on_bad_frame: str | None = None, overwrite: bool = False
) -> Request:
    """Load the request of an earlier run to work on it, as `load_request` does.

    Args:
        overwrite: whether the user confirms any output: the record may come from elsewhere, and so it decides by itself
            only about the output that the run folder lies next to and is named after.

    Raises:
        RunError: as `load_request`, or the output is another one and not confirmed.
    """
    request = load_request(folder, farm, on_bad_frame=on_bad_frame)
    if not overwrite and not owns_output(request.folder, request.output):
        raise RunError(
            f"the record in {request.folder} names {request.output}, which this folder does not lie next to",
            "add --overwrite if that is where the output belongs, or repeat the command that began the render",
        )
    return request


def load_request(folder: Path, farm: Mapping[str, Any], *, on_bad_frame: str | None = None) -> Request:
    """Load the request of an earlier run from its folder.

    Args:
        folder: a run folder, or the output that it was for.
        farm: settings of the `farm` section that replace those of the run.
        on_bad_frame: another `input.on_bad_frame`; None keeps the run's.

    Raises:
        RunError: there is no run, or its manifest is damaged.
        ConfigError: a setting in `farm`, or in the record, is wrong.
    """
    if not holds_run(folder):
        folder = run_folder_of(folder)
    check_run(folder)
    manifest = Manifest.read(folder)
    values = dict(manifest.config)
    replaced = {
        "farm": farm,
        "input": {} if on_bad_frame is None else {"on_bad_frame": on_bad_frame},
        "model": {"weights": manifest.weights, "network": manifest.network},
        "motion": {"raft_weights": manifest.raft_weights},
    }
    for section, settings in replaced.items():
        recorded = values.get(section, {})
        if not isinstance(recorded, Mapping):
            path = RunLayout(folder).manifest
            raise RunError(f"{path} is damaged: {section} is no section", "start afresh with --restart")
        values[section] = {**recorded, **settings}
    source = manifest.sources[0] if len(manifest.sources) == 1 else manifest.sources
    styles = tuple(record.style for record in manifest.look.styles)
    return Request(source, styles, Path(manifest.output), build_config(values), folder)
