"""Painted keys that replace those of a finished run: only what depends on them is rendered again."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from vidnst.errors import ConfigError, RunError
from vidnst.media.input.key_files import named_keys
from vidnst.runs import Manifest, holds_run
from vidnst.runs.request import Request


def with_new_keys(request: Request, keys: Mapping[int, Path]) -> Request:
    """Return the request of a run with other pictures for some of its keys.

    Without styles it takes those of the run: where its keys are the style, they stay the style, or all would change.

    Raises:
        RunError: there is no run.
        ConfigError: a frame has no key in the run.
    """
    if not holds_run(request.folder):
        raise RunError(
            f"{request.folder} is no run folder, so there are no keys to replace", "render with --key, not --redo-key"
        )
    look = Manifest.read(request.folder).look
    if new := sorted(frame for frame in keys if str(frame) not in look.keys):
        has = f"its keys are of frame{'s' * (len(look.keys) > 1)} {', '.join(look.keys)}; " if look.keys else ""
        raise ConfigError(
            f"frame {new[0]} has no key in the run of {request.folder}, so none can be replaced",
            f"{has}add one with --key, in a render of its own",
        )
    if request.config.schedule.kind == "network":
        raise ConfigError(
            "the network has learned all keys, so another picture of one changes every frame",
            "render with --key and --overwrite, not --redo-key",
        )
    pictures = {frame: str(path) for frame, path in (*named_keys(request.config), *keys.items())}
    chosen = request.config.keys.model_copy(update={"pictures": pictures, "folder": None})
    styles = request.styles or tuple(record.style for record in look.styles)
    return replace(request, config=request.config.model_copy(update={"keys": chosen}), styles=styles)


def with_recorded_keys(manifest: Manifest, recorded: Manifest, frames: Collection[int]) -> Manifest:
    """Return a manifest with the keys that a run has recorded for some frames."""
    old = {str(frame): recorded.look.keys[str(frame)] for frame in frames if str(frame) in recorded.look.keys}
    look = manifest.look.model_copy(update={"keys": manifest.look.keys | old})
    config = manifest.config | {"keys": recorded.config.get("keys", {})}
    return manifest.model_copy(update={"look": look, "config": config})
