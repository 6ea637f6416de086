"""Reading a configuration: built-in defaults, then a preset, a file, single keys, each over the one before."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from vidnst.config import RenderConfig
from vidnst.config.stability import stability_settings
from vidnst.errors import ConfigError

_LONGEST_SHOWN = 200
_MAX_BYTES = 1_000_000  # a configuration of more is not one, and YAML aliases could blow it up further


def preset_folder() -> Path:
    """The folder of presets: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def preset_names() -> list[str]:
    """Names of the presets that ship."""
    return sorted(path.stem for path in preset_folder().glob("*.yaml"))


def preset_summary(name: str) -> str:
    """First comment line of a preset: what it is for."""
    first = (preset_folder() / f"{name}.yaml").read_text("utf-8").partition("\n")[0]
    return first.lstrip("# ").strip()


def load_config(
    *,
    preset: str | None = None,
    file: Path | None = None,
    stability: float | None = None,
    assignments: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
) -> RenderConfig:
    """The configuration that these layers add up to, later ones winning.

    Args:
        preset: name of a preset that ships.
        file: a YAML file of the same shape.
        stability: a place on the dial from 0, boiling, to 1, locked: see `stability_settings`.
        assignments: `key.sub=value` texts, the value read as YAML.
        options: values by dotted key, `None` meaning not given.

    Raises:
        ConfigError: unknown preset, unreadable file, unknown key (with the nearest one), or a value out of limits.
    """
    values: dict[str, Any] = {}
    if preset is not None:
        _merge(values, _read_preset(preset))
    if file is not None:
        _merge(values, read_yaml(file))
    if stability is not None:
        _merge(values, stability_settings(stability))
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        if not sign or not key:
            raise ConfigError(f"--set {assignment!r} is not key.sub=value", "write for example losses.style_weight=20")
        _assign(values, key.strip(), _parse(text, f"--set {assignment!r}"))
    for key, value in (options or {}).items():
        if value is not None:
            _assign(values, key, value)
    return build_config(values)


def parse_values(text: str) -> tuple[str, tuple[Any, ...]]:
    """Key and values of a text like `losses.style_weight=5,15,45`.

    Values are read as YAML, as the inside of a list: `optimize.init=content,noise`, and
    `losses.style_layers={relu1_1: 1},{relu3_1: 1, relu4_1: 2}` are two values each.

    Raises:
        ConfigError: no key, no value, not YAML, or a value twice.
    """
    key, sign, listed = (part.strip() for part in text.partition("="))
    example = "write for example losses.style_weight=5,15,45"
    if not sign or not key:
        raise ConfigError(f"{text!r} is not KEY=VALUE,VALUE,...", example)
    values = _parse(f"[{listed}]", text)
    if not values:
        raise ConfigError(f"{text!r} names no value", example)
    for number, value in enumerate(values):
        if value in values[:number]:
            raise ConfigError(f"{text!r} has {value} twice", "give each value once")
    return key, tuple(values)


def changed(config: RenderConfig, settings: Mapping[str, Any]) -> RenderConfig:
    """A configuration with other values for some dotted keys.

    Raises:
        ConfigError: an unknown key (with the nearest one), or a value out of limits.
    """
    values = config.model_dump(mode="json")
    for key, value in settings.items():
        _assign(values, key, value)
    return build_config(values)


def build_config(values: Mapping[str, Any]) -> RenderConfig:
    """Validate nested values into a configuration, with one sentence for the first thing that is wrong."""
    try:
        return RenderConfig.model_validate(values)
    except ValidationError as error:
        raise _explain(error) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file, of bounded size and of plain data only."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{path} is larger than {_MAX_BYTES} bytes", "give a configuration file")
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", "give a YAML file") from error
    values = _parse(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not a mapping of sections", "see `vidnst presets --show default`")
    return values


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases, which turn a few bytes into gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{where} is not YAML: {message}", "mend it") from error


def _read_preset(name: str) -> dict[str, Any]:
    names = preset_names()
    if name not in names:
        raise ConfigError(f"no preset {name!r}", f"{_nearest(name, names)}take one of {', '.join(names)}")
    return read_yaml(preset_folder() / f"{name}.yaml")


def _merge(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if (
            isinstance(value, dict)
            and isinstance(values.get(key), dict)
            and not str(key).endswith(("layers", "kinds", "cells"))
        ):
            _merge(values[key], value)
        else:
            values[key] = value


def _assign(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{key}: {section} is no section", "see `vidnst presets --show default`")
    values[last] = value


def _explain(error: ValidationError) -> ConfigError:
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"] if part != "[key]"]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = [name for model in _sections_at(path[:-1]) for name in model.model_fields]
        near = _nearest(path[-1], known)
        return ConfigError(f"unknown key {_shown(key)}", f"{near}known there: {', '.join(known)}")
    message = first["msg"].removeprefix("Value error, ")
    said = _shown(f"{message[:1].lower()}{message[1:]}", 5 * _LONGEST_SHOWN)
    return ConfigError(f"{_shown(key)} = {_shown(repr(first['input']))}: {said}", "mend that value")


def _shown(text: str, longest: int = _LONGEST_SHOWN) -> str:
    """A text of bearable length."""
    return text if len(text) <= longest else f"{text[:longest]}..."


def _sections_at(path: Sequence[str]) -> list[type[BaseModel]]:
    """The sections that a place in the configuration may hold: several in a list of kinds that does not say which."""
    models: list[type[BaseModel]] = [RenderConfig]
    for part in path:
        inner = [model for outer in models if part in outer.model_fields for model in _models_in(outer, part)]
        chosen = [model for model in models if getattr(model.model_fields.get("kind"), "default", None) == part]
        models = inner or chosen or models  # a number says which of a list, a kind's name which of its sections
    return models


def _models_in(outer: type[BaseModel], field: str) -> Iterator[type[BaseModel]]:
    waiting: list[Any] = [outer.model_fields[field].annotation]
    while waiting:
        annotation = waiting.pop(0)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        else:
            waiting += get_args(annotation)


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}? " if near else ""
