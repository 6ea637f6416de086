"""Loading a configuration: defaults, a preset, a file and single keys, each layer overriding the earlier ones."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml
from pydantic import ValidationError

from vidnst.config.authority import Origin, admit
from vidnst.config.explanations import explain, nearest, shortened
from vidnst.config.render import RenderConfig
from vidnst.config.stability import stability_settings
from vidnst.errors import ConfigError

_MAX_FILE_BYTES = 1_000_000  # no configuration is larger, and YAML aliases could make it larger still
_MAX_NUMBER_CHARACTERS = 80
_INTEGER = re.compile(r"[-+]?(?:0b[01_]{1,64}|0x[0-9a-fA-F_]{1,40}|0[0-7_]{0,40}|[1-9][0-9_]{0,39})\Z")
_FLOAT = re.compile(
    r"(?:[-+]?[0-9][0-9_]{0,39}\.[0-9_]{0,39}(?:[eE][-+][0-9]{1,9})?|\.[0-9][0-9_]{0,39}(?:[eE][-+][0-9]{1,9})?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
_TABLES = ("layers", "kinds", "cells", "pictures")

_logger = logging.getLogger(__name__)


Settings: TypeAlias = RenderConfig | Mapping[str, Any]
"""A complete configuration, or values by dotted key or section."""


Engine: TypeAlias = Literal["optimize", "network", "instant"]
"""What paints frames."""
_ENGINES: dict[Engine, dict[str, Any]] = {
    "optimize": {"schedule": {"kind": "keys"}},
    "network": {"schedule": {"kind": "network"}},
    "instant": {
        "schedule": {"kind": "network", "passes": 0, "training": {"start": "pretrained", "steps": 0}},
        "model": {"backbone": "slim"},  # nothing asks VGG19, which takes seconds to load
    },
}


def preset_folder() -> Path:
    """Return the folder of presets: inside an installed package, next to it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def preset_names() -> list[str]:
    """Return the names of the bundled presets."""
    return sorted(path.stem for path in preset_folder().glob("*.yaml"))


def preset_summary(name: str) -> str:
    """Return the first paragraph of a preset's comment, which says what it is for, on one line."""
    lines = (line.lstrip("#").strip() for line in (preset_folder() / f"{name}.yaml").read_text("utf-8").splitlines())
    return " ".join(takewhile(bool, lines))


def load_config(
    *,
    preset: str | None = None,
    file: Path | None = None,
    engine: Engine | None = None,
    stability: float | None = None,
    assignments: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
) -> RenderConfig:
    """Combine layers of settings into a configuration, later arguments overriding earlier ones.

    Args:
        preset: name of a bundled preset.
        file: a YAML file of the same structure.
        engine: optimize: the pixels of each frame are optimised; network: a network that is trained on the clip paints
            them; instant: the network that ships paints them, without training or passes.
        stability: position of the dial from 0, boiling, to 1, locked: see `stability_settings`.
        assignments: `key.sub=value` texts, the value read as YAML.
        options: values by dotted key; None means not given.

    Raises:
        ConfigError: unknown preset, unreadable file, unknown key (with the nearest one), or invalid value.
    """
    values: dict[str, Any] = {}
    if preset is not None:
        _merge(values, _read_preset(preset))
    if file is not None:
        _merge(values, admit(read_yaml(file), file=file, origin=Origin.SETTINGS))
    if engine is not None:
        _merge(values, _ENGINES[engine])
    if stability is not None:
        network = values.get("schedule", {}).get("kind") == "network"
        _merge(values, stability_settings(stability, network=network))
    for assignment in assignments:
        _assign(values, *parse_assignment(assignment))
    for key, value in (options or {}).items():
        if value is not None:
            _assign(values, key, value)
    _logger.debug("settings that were given: %s", dict(dotted(values)))
    return build_config(values)


def resolve_config(config: Settings | None = None, *, preset: str | None = None) -> RenderConfig:
    """Return the configuration that a program asks for.

    Args:
        config: a complete configuration, or values by dotted key or section that override the preset; None for none.
        preset: name of a preset that ships; None takes the defaults.

    Raises:
        ConfigError: a wrong key or value, or a preset next to a complete configuration.
    """
    if isinstance(config, RenderConfig):
        if preset is not None:
            raise ConfigError(
                f"preset {preset!r} was given with a complete configuration",
                "give the changes to the preset as a mapping, for example {'losses.style_weight': 20}",
            )
        return config
    if config is not None and not isinstance(config, Mapping):
        raise ConfigError(
            f"config = {shortened(repr(config))} is neither settings by key nor a RenderConfig",
            "give for example config={'losses.style_weight': 20}; names of presets go to preset",
        )
    values = {} if preset is None else _read_preset(preset)
    for key, value in (config or {}).items():
        if not isinstance(key, str):
            raise ConfigError(f"the key {shortened(repr(key))} is no text", "write for example 'losses.style_weight'")
        if "." not in key and isinstance(value, Mapping):
            _merge(values, {key: value})
        else:
            _assign(values, key, value)
    return build_config(values)


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split a text such as `losses.style_weight=20` into key and value, which is read as YAML.

    Raises:
        ConfigError: no key, no value, or invalid YAML.
    """
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise ConfigError(f"--set {text!r} is not key.sub=value", "write for example losses.style_weight=20")
    return _as_written_here(key.strip()), _parse(value, f"--set {text!r}")


def _as_written_here(key: str) -> str:
    """Return the key of a setting whose section may be spelled as in the USA."""
    return re.sub(r"^color(?=\.|$)", "colour", key)


def parse_values(text: str) -> tuple[str, tuple[Any, ...]]:
    """Split a text such as `losses.style_weight=5,15,45` into key and values.

    Values are read as the inside of a YAML list: `optimize.init=content,noise`, and
    `losses.style_layers={relu1_1: 1},{relu3_1: 1, relu4_1: 2}` have two values each.

    Raises:
        ConfigError: no key, no value, invalid YAML, or a repeated value.
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


def with_settings(config: RenderConfig, settings: Mapping[str, Any]) -> RenderConfig:
    """Return a copy of a configuration with other values for some dotted keys.

    Raises:
        ConfigError: unknown key (with the nearest one), or invalid value.
    """
    values = config.model_dump(mode="json")
    for key, value in settings.items():
        _assign(values, key, value)
    return build_config(values)


def build_config(values: Mapping[str, Any]) -> RenderConfig:
    """Validate nested values as a configuration.

    Raises:
        ConfigError: the first unknown key (with the nearest one) or invalid value.
    """
    try:
        return RenderConfig.model_validate(values)
    except ValidationError as error:
        raise explain(error) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping of plain data from a file of limited size.

    Raises:
        ConfigError: the file is missing, too large, not YAML, or not a mapping.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ConfigError(f"{path} is larger than {_MAX_FILE_BYTES} bytes", "give a configuration file")
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"there is no file {path}", "check the name of the YAML file") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"{path} cannot be read: {reason}", "give a YAML file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a text in UTF-8", "give a YAML file") from error
    values = _parse(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not a mapping of sections", "see `vidnst presets --show default`")
    return values


def dotted(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings by their dotted keys; a table such as `losses.style_layers` is one value."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value and not _is_table(key):
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _is_table(key: str) -> bool:
    """Return True for keys whose value is a table, which later layers replace as a whole."""
    return str(key).endswith(_TABLES)


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases, which turn a few bytes into gigabytes, and without numbers to the base 60.

    YAML 1.1 reads `1:30` as 90; here it is the text that a user means. Numbers of more than 40 digits are texts, too.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)


def _plain_number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    """Read a number that is tagged as one explicitly, too."""
    text = str(loader.construct_scalar(node))
    if ":" in text or len(text) > _MAX_NUMBER_CHARACTERS:
        raise yaml.YAMLError(f"{text[:40]!r} is no plain number")
    is_integer = node.tag.endswith(":int")
    return loader.construct_yaml_int(node) if is_integer else loader.construct_yaml_float(node)


def _resolve_plain_numbers() -> None:
    """Replace what the loader takes for a number without a tag."""
    numbers = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
    _PlainLoader.yaml_implicit_resolvers = {
        first: [(tag, fits) for tag, fits in resolvers if tag not in numbers]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for tag, fits in zip(numbers, (_INTEGER, _FLOAT), strict=True):
        _PlainLoader.add_implicit_resolver(tag, fits, list("-+0123456789."))
        _PlainLoader.add_constructor(tag, _plain_number)


_resolve_plain_numbers()


def _parse(text: str, origin: str) -> Any:
    try:
        return yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{origin} is not YAML: {message}", "correct it") from error


def _read_preset(name: str) -> dict[str, Any]:
    names = preset_names()
    if name not in names:
        raise ConfigError(f"unknown preset {name!r}", f"{nearest(str(name), names)}choose one of {', '.join(names)}")
    return read_yaml(preset_folder() / f"{name}.yaml")


def _merge(values: dict[str, Any], layer: Mapping[str, Any]) -> None:
    """Put a layer over the values, as copies: what is changed later must not reach the layer."""
    for key, value in layer.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict) and not _is_table(key):
            _merge(values[key], value)
        else:
            values[key] = deepcopy(value)


def _assign(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{key}: {section} is not a section", "see `vidnst presets --show default`")
    values[last] = value
