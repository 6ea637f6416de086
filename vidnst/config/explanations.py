"""What is wrong with settings, in sentences for users."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from vidnst.errors import ConfigError

_MAX_SHOWN_CHARACTERS = 200
_WHOLE, _NUMBER, _TEXT = "it should be a whole number", "it should be a number", "it should be a text"
_REASONS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), _WHOLE),
    **dict.fromkeys(("float_type", "float_parsing"), _NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), "it should be true or false"),
    **dict.fromkeys(("string_type", "string_sub_type", "string_unicode"), _TEXT),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "iterable_type"), "it should be a list"),
    **dict.fromkeys(("dict_type", "mapping_type"), "it should be a table of keys and values"),
    **dict.fromkeys(("model_type", "model_attributes_type", "dataclass_type"), "it should be a section with keys"),
    "finite_number": "it should be finite",
    "none_required": "it should be null",
    "greater_than": "it should be greater than {gt}",
    "greater_than_equal": "it should be at least {ge}",
    "less_than": "it should be less than {lt}",
    "less_than_equal": "it should be at most {le}",
    "multiple_of": "it should be a multiple of {multiple_of}",
    "literal_error": "it should be {expected}",
    "enum": "it should be {expected}",
    "too_short": "it should have {min_length} parts or more, and has {actual_length}",
    "too_long": "it should have {max_length} parts or fewer, and has {actual_length}",
    "string_too_short": "it should have {min_length} letters or more",
    "string_too_long": "it should have {max_length} letters or fewer",
    "string_pattern_mismatch": "it should look like {pattern}",
}
"""Reasons by the type of an error of pydantic; all other errors have texts of vidnst's own validators."""


def explain(error: ValidationError, root: type[BaseModel] | None = None) -> ConfigError:
    """Turn the first of pydantic's errors into one sentence.

    Args:
        error: what pydantic found.
        root: what was validated; None for a whole configuration.
    """
    if root is None:
        from vidnst.config.render import RenderConfig

        root = RenderConfig
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"] if part != "[key]"]
    key = shortened(".".join(path))
    if first["type"] == "extra_forbidden":
        known = [name for model in _sections_at(path[:-1], root) for name in model.model_fields]
        return ConfigError(f"unknown key {key}", f"{nearest(path[-1], known)}known keys: {', '.join(known)}")
    if first["type"] == "missing":
        return ConfigError(f"{key} is missing", "give it")
    return ConfigError(f"{key} = {shortened(repr(first['input']))}: {reason_of(first)}", "correct that value")


def reason_of(error: Mapping[str, Any]) -> str:
    """Say what is wrong with a value, for one of pydantic's errors."""
    form = _REASONS.get(error["type"])
    if form is not None:
        facts = {name: f"{fact:g}" if isinstance(fact, float) else fact for name, fact in error.get("ctx", {}).items()}
        return shortened(form.format(**facts), 5 * _MAX_SHOWN_CHARACTERS)
    message = error["msg"].removeprefix("Value error, ")
    return shortened(f"{message[:1].lower()}{message[1:]}", 5 * _MAX_SHOWN_CHARACTERS)


def shortened(text: str, limit: int = _MAX_SHOWN_CHARACTERS) -> str:
    """Cut a text that may be very long."""
    return text if len(text) <= limit else f"{text[:limit]}..."


def _sections_at(path: Sequence[str], root: type[BaseModel]) -> list[type[BaseModel]]:
    """Return the sections that a path may lead to; several in a list whose items do not name their kind."""
    models: list[type[BaseModel]] = [root]
    for part in path:
        inner = [model for outer in models if part in outer.model_fields for model in _models_in(outer, part)]
        chosen = [model for model in models if getattr(model.model_fields.get("kind"), "default", None) == part]
        models = inner or chosen or models  # a number is an index into a list, the name of a kind selects its section
    return models


def _models_in(outer: type[BaseModel], field: str) -> Iterator[type[BaseModel]]:
    pending: list[Any] = [outer.model_fields[field].annotation]
    while pending:
        annotation = pending.pop(0)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        else:
            pending += get_args(annotation)


def nearest(word: str, known: Iterable[str]) -> str:
    """Ask whether the nearest of some words was meant; empty if none is near."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {matches[0]}? " if matches else ""
