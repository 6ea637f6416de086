"""Who may decide a setting: anyone whose file is read, or only the person who starts the work.

Job files, the records of runs and files of settings come from strangers, too. They may decide how a render looks and
which part of it is made. What reaches beyond that (other hosts, devices, files that they name) is for the person at the
keyboard. `AUTHORITIES` lists every setting, and `admit` is the one place that applies it.
"""

import os
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from vidnst.config.base import Section
from vidnst.config.render import RenderConfig
from vidnst.errors import ConfigError

_SHOWN_CHARACTERS = 200


class Authority(StrEnum):
    """The circle of those who may decide a setting, from the widest to the narrowest."""

    ANY_FILE = "any file"
    """Job files and records of runs, too."""
    PERSON = "the person"
    """Options, the environment, Python, and a file of settings that the person names."""
    COMMAND = "the command"
    """Options, the environment and Python alone, no file of any kind."""


class Origin(StrEnum):
    """The place that settings were read from."""

    JOBS = "a job file"
    RECORD = "the record of a run"
    SETTINGS = "a file of settings"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may decide a setting, and what everybody may say all the same."""

    authority: Authority
    harmless: tuple[object, ...] = ()
    """Values that any file may give: they ask for nothing."""
    option: str = ""
    """How the person gives the setting."""
    environment: str = ""
    """The environment variable by which they may give it, too."""
    by_digest: bool = False
    """True if the record of a run may name a .safetensors file that still has the contents it had in that run."""


_LOOK: dict[str, tuple[str, ...]] = {
    "input": (
        *("size", "start", "end", "fps", "order", "missing", "transform", "on_bad_frame", "shots", "deinterlace"),
        *("deflicker", "registration", "background", "registration_edges"),
    ),
    "regions": ("masks", "feather", "follow"),
    "keys": (
        *("pictures", "folder", "weight", "rate", "fine_flow"),
        *("pixels_weight", "features_weight", "clip_share"),
    ),
    "model": ("backbone", "pooling", "padding", "precision", "unit"),
    "styles": ("scale", "scales", "turns", "mirror"),
    "losses": (
        *("scale", "content_weight", "style_weight", "tv_weight", "temporal_weight", "edges_weight", "edges_cells"),
        *("content_layers", "style_layers", "style_kinds"),
    ),
    "optimize": (
        *("optimizer", "iterations", "learning_rate", "final_rate", "steady", "history", "tolerance", "patience"),
        *("stop_at_loss", "init", "match_init", "noise", "scales", "seed"),
    ),
    "schedule": (
        *("kind", "spacing", "passes", "loop", "key.share", "key.hold", "key.rate"),
        *("between.share", "between.hold", "between.rate", "relax.share", "relax.hold", "relax.rate"),
        *("settle.share", "settle.hold", "settle.rate", "warm.share", "warm.hold", "warm.rate"),
        *("training.start", "training.steps", "training.stage_steps", "training.pairs", "training.apart"),
        *("training.crop", "training.rate", "training.alone", "training.hold", "training.own_statistics"),
    ),
    "motion": (
        *("method", "preset", "size", "consistency", "slack_px", "follow_light", "light_share", "renew_at"),
        "static_lock",
    ),
    "colour": ("keep", "transfer"),
    "photo": ("enabled", "cells", "luma_bins", "smoothness", "steadiness"),
    "filters": ("before", "after"),
    "audio": ("style", "strength", "iterations", "filters", "fill"),
    "farm": (
        *("executor", "workers", "threads", "gpus_per_worker", "memory_gib", "may_shrink", "attempts", "gate"),
        "window",
    ),
    "output": (
        *("codec", "quality", "speed", "chroma", "bits", "hdr", "alpha", "start_number", "audio", "strict"),
        *("keep_frames", "measure", "report"),
    ),
}
"""The settings that any file may decide."""

AUTHORITIES: Mapping[str, Rule] = {
    **{f"{section}.{name}": Rule(Authority.ANY_FILE) for section, names in _LOOK.items() for name in names},
    "model.weights": Rule(
        Authority.PERSON, (None, "random", "torchvision"), "--weights", "VIDNST_WEIGHTS", by_digest=True
    ),
    "model.network": Rule(Authority.PERSON, (None,), "--network", by_digest=True),
    "motion.raft_weights": Rule(
        Authority.PERSON, (None,), "--set motion.raft_weights", "VIDNST_RAFT_WEIGHTS", by_digest=True
    ),
    "farm.device": Rule(Authority.PERSON, ("auto", "cpu"), "--set farm.device"),
    "farm.grows": Rule(Authority.PERSON, (False,), "--set farm.grows"),
    "output.hardware": Rule(Authority.PERSON, ("none",), "--set output.hardware"),
    "farm.address": Rule(Authority.COMMAND, (None, "local"), "--address", "RAY_ADDRESS"),
}
"""Every setting by its dotted key, with who may decide it."""

PERSONAL: Mapping[str, Any] = {
    key: rule.harmless[0] for key, rule in AUTHORITIES.items() if rule.authority is not Authority.ANY_FILE
}
"""The settings that not every file may decide, each with the value that asks for nothing."""


def admit(values: Mapping[str, Any], *, file: Path | str, origin: Origin, given: Container[str] = ()) -> dict[str, Any]:
    """Return the settings that were read from a file, as far as it may decide them.

    Args:
        values: sections with their settings, checked or not.
        file: the file, or the place in it, for the message.
        origin: what the file is.
        given: keys that the person has decided; what the file says about these is put aside.

    Raises:
        ConfigError: the file decides something that only the person may; names the setting and how to give it.
    """
    admitted = dict(values)
    for key, value in _personal_values(values):
        rule = AUTHORITIES[key]
        if key not in given and not _is_in_environment(rule):
            if may_decide(origin, key, value):
                continue
            shown = repr(value if isinstance(value, str) else str(value))[:_SHOWN_CHARACTERS]
            raise ConfigError(
                f"{file} sets {key} to {shown}, which {origin} may not decide",
                f"give {_ways(rule)} yourself if you want it, or take it out of the file",
            )
        section, name = key.split(".")
        admitted[section] = {other: kept for other, kept in admitted[section].items() if other != name}
    return admitted


def may_decide(origin: Origin, key: str, value: object) -> bool:
    """Return True if a file of that kind may give a setting this value."""
    rule = AUTHORITIES[key]
    if rule.authority is Authority.ANY_FILE or value in rule.harmless:
        return True
    if origin is Origin.SETTINGS:
        return rule.authority is Authority.PERSON
    if rule.environment and os.environ.get(rule.environment) == value:
        return True
    return origin is Origin.RECORD and rule.by_digest and str(value).endswith(".safetensors")


def named_files(config: RenderConfig, given: Container[str] = ()) -> tuple[str, ...]:
    """Return the keys of weights and networks that settings name by path, without those that the person has given."""
    return tuple(
        key
        for key, value in _personal_values(config.model_dump())
        if AUTHORITIES[key].by_digest and value not in AUTHORITIES[key].harmless and key not in given
    )


def settings_of(model: type[Section], prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of every setting of a section; a table or a list is one setting."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from settings_of(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def authority_table() -> list[str]:
    """Return the lines of the table of ARCHITECTURE.md."""
    lines = ["| setting | decided by | any file may say | given by |", "|---|---|---|---|"]
    for key in PERSONAL:
        rule = AUTHORITIES[key]
        words = ", ".join("null" if value is None else str(value).lower() for value in rule.harmless)
        digest = "; in a record a .safetensors file of the same contents" if rule.by_digest else ""
        lines.append(f"| `{key}` | {rule.authority} | {words}{digest} | {_ways(rule)} |")
    for section, names in _LOOK.items():
        listed = ", ".join(f"`{name}`" for name in names)
        lines.append(f"| `{section}`: {listed} | {Authority.ANY_FILE} | | |")
    return lines


def _ways(rule: Rule) -> str:
    return f"{rule.option} or {rule.environment}" if rule.environment else rule.option


def _is_in_environment(rule: Rule) -> bool:
    """Return True if the environment alone decides a setting that is for the command."""
    return rule.authority is Authority.COMMAND and bool(os.environ.get(rule.environment))


def _personal_values(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in PERSONAL:
        section, name = key.split(".")
        inner = values.get(section)
        if isinstance(inner, Mapping) and name in inner:
            yield key, inner[name]
