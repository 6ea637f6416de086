"""A request for a render, from the user or from the record of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidnst.config import RenderConfig
from vidnst.config.authority import PERSONAL, Origin, admit, named_files
from vidnst.config.loader import build_config, with_settings
from vidnst.config.style import Style
from vidnst.errors import RunError
from vidnst.runs.layout import RunLayout, check_run, holds_run, is_named_as_run, owns_output, run_folder_of
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
    digests: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints of weights and networks that only the record of a run names, by the setting's key."""
    reads: tuple[Path, ...] = ()
    """Further files that the command reads, such as that of --config, which the output must not replace."""
    writes: tuple[Path, ...] = ()
    """Further files that it writes, which must not replace what is read."""
    continues: bool = False
    """True for the request of an earlier run, which goes on as it is."""

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.work_dir or run_folder_of(self.output)


def resume_request(folder: Path, settings: Mapping[str, Any], *, overwrite: bool = False) -> Request:
    """Load the request of an earlier run to work on it, as `load_request` does.

    Args:
        overwrite: whether the user confirms any output: the record may come from elsewhere, and so it decides by itself
            only about the output that the run folder lies next to and is named after.

    Raises:
        RunError: as `load_request`, or the output is another one and not confirmed.
    """
    request = load_request(folder, settings)
    if not overwrite and not owns_output(request.folder, request.output):
        raise RunError(
            f"the record in {request.folder} names {request.output}, which this folder does not lie next to",
            "add --overwrite if that is where the output belongs, or repeat the command that began the render",
        )
    return request


def load_request(folder: Path, settings: Mapping[str, Any]) -> Request:
    """Load the request of an earlier run from its folder.

    Args:
        folder: a run folder, or the output that it was for.
        settings: settings by dotted key that replace those of the run.

    Raises:
        RunError: there is no run, or its manifest is damaged.
        ConfigError: a setting that was given, or one in the record, is wrong, or the record may not decide it.
    """
    if not holds_run(folder) and not is_named_as_run(folder):
        folder = run_folder_of(folder)
    check_run(folder)
    manifest = Manifest.read(folder)
    values = dict(manifest.config)
    recorded_paths = {
        "model": {"weights": manifest.weights, "network": manifest.network},
        "motion": {"raft_weights": manifest.raft_weights},
    }
    for section in {*values, *recorded_paths}:
        recorded = values.get(section, {})
        if not isinstance(recorded, Mapping):
            path = RunLayout(folder).manifest
            raise RunError(f"{path} is damaged: {section} is no section", "start afresh with --restart")
        values[section] = {**recorded, **recorded_paths.get(section, {})}
    source = manifest.sources[0] if len(manifest.sources) == 1 else manifest.sources
    styles = tuple(record.style for record in manifest.look.styles)
    config = build_config(admit(values, file=RunLayout(folder).manifest, origin=Origin.RECORD, given=settings))
    if settings:
        config = with_settings(config, settings)
    look = manifest.look
    prints = {"model.weights": look.weights, "model.network": look.network, "motion.raft_weights": look.flow_weights}
    digests = {key: prints[key] for key in named_files(config, settings)}
    return Request(source, styles, Path(manifest.output), config, folder, digests, continues=True)


def read_request(folder: Path) -> Request:
    """Load the request of an earlier run to look at it: what only the person may decide is left as by default.

    Raises:
        RunError: there is no run, or its manifest is damaged.
        ConfigError: a setting in the record is wrong.
    """
    return load_request(folder, PERSONAL)
