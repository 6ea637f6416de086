"""The settings of a run that differ from the defaults, and the command that renders the same again."""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from vidnst.config import RenderConfig
from vidnst.config.authority import Origin, may_decide
from vidnst.config.base import Section
from vidnst.runs import Manifest
from vidnst.runs.layout import owns_output


def changed_settings(config: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Settings that differ from the defaults: key, value, default. Unknown keys are left out."""
    return list(_changed(RenderConfig(), config, ""))


def _changed(defaults: Section, values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any, Any]]:
    plain = defaults.model_dump(mode="json")
    for key, default in plain.items():
        if key not in values:
            continue
        inner = getattr(defaults, key)
        if isinstance(inner, Section) and isinstance(values[key], Mapping):
            yield from _changed(inner, values[key], f"{prefix}{key}.")
        elif values[key] != default:
            yield f"{prefix}{key}", values[key], default


def to_yaml(value: object) -> str:
    """Write the value of a setting as YAML in one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if isinstance(value, str) and _needs_no_quotes(text) else json.dumps(value, ensure_ascii=False)


def _needs_no_quotes(text: str) -> bool:
    """True if YAML reads a text as itself without quotes."""
    try:
        return bool(yaml.safe_load(text) == text) and text.isprintable()
    except yaml.YAMLError:
        return False


def render_command(manifest: Manifest, folder: Path) -> tuple[str, tuple[str, ...]]:
    """The command that renders the same again, from any folder, and the settings that it leaves to the reader.

    A record may come from elsewhere, so the command asks for nothing that only the person who starts it may decide. It
    replaces the output only where the run folder lies next to it.
    """
    words = ["vidnst", "render", *manifest.sources]
    for record in manifest.look.styles:
        words += ["-s", str(record.style)]
    words += ["-o", manifest.output]
    config = dict(manifest.config)
    config["model"] = {**config.get("model", {}), "weights": manifest.weights}
    config["motion"] = {**config.get("motion", {}), "raft_weights": manifest.raft_weights}
    config["model"]["network"] = manifest.network
    left_out = []
    if owns_output(folder, Path(manifest.output)):
        words.append("--overwrite")
    else:
        left_out.append(f"--overwrite, if {manifest.output} may be replaced")
    for key, value, _ in changed_settings(config):
        if may_decide(Origin.RECORD, key, value):
            words += ["--set", f"{key}={to_yaml(value)}"]
        else:
            left_out.append(f"{key} {to_yaml(value)}")
    return shlex.join(words), tuple(left_out)
