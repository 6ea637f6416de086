"""What is wrong with a command line that typer refuses, as an error with one sentence."""

from typing import Any

from typer.exceptions import TyperException

from vidnst.config.explanations import reason_of
from vidnst.errors import ConfigError


def usage_error(error: TyperException) -> ConfigError:
    """Turn typer's error into one of the package."""
    context: Any = getattr(error, "ctx", None)
    remedy = f"see `{context.command_path if context else 'vidnst'} --help`"
    if (value := _wrong_value(error)) is not None:
        return ConfigError(value, remedy)
    if possible := getattr(error, "possibilities", None):
        return ConfigError(_lowered(error.message), f"did you mean {', '.join(sorted(possible))}? {remedy}")
    what, _, meant = error.format_message().rstrip(".").partition(". Did you mean ")
    return ConfigError(_lowered(what), f"did you mean {meant} {remedy}" if meant else remedy)


def _wrong_value(error: TyperException) -> str | None:
    """Say which parameter has a wrong value, and why; None if the error is of another kind."""
    parameter: Any = getattr(error, "param", None)
    found: Any = error.__cause__  # pydantic's error
    if parameter is None or not hasattr(found, "errors"):
        return None
    first = found.errors()[0]
    reason, value = reason_of(first).rstrip("."), repr(first["input"])
    names = [name for name in parameter.opts if name.startswith("--")] or [parameter.metavar or parameter.name]
    return f"{names[0]}: {reason}" if value in reason else f"{names[0]} {value}: {reason}"


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
