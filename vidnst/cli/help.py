"""Help texts of commands: what people use first, with defaults, in lines that fit; the rest on request."""

import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperOption

FIRST_OPTIONS = (
    "style",
    "output",
    "preset",
    "size",
    "start",
    "end",
    "stability",
    "keep_colours",
    "overwrite",
    "dry_run",
)
"""What people use first of the many options of a render, by the names of their parameters."""
HELP_ALL = "--help-all"
_MOST_OPTIONS = 20
"""A command with more options shows the first ones alone."""
_FLAG_COLUMNS = 30
_LEAST_TEXT_COLUMNS = 30
_OWN_PANEL = "Options"
_PLACEHOLDERS = {"int": "N", "float": "X", "path": "PATH", "list[path]": "PATH", "list[Path]": "PATH"}


class HelpCommand(TyperCommand):
    """A command whose help fits into the terminal, and which understands `--help-all`."""

    first: Sequence[str] = FIRST_OPTIONS
    """Names of the parameters that a short help shows."""
    required: Mapping[str, str] = MappingProxyType({})
    """Says of parameters that the command asks for, although they have a default, that they are required, and when."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Show all options if that is asked for; otherwise parse the arguments."""
        words = args[: args.index("--")] if "--" in args else args
        if HELP_ALL in words:
            ctx.meta[HELP_ALL] = True
            args = ["--help"]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help text: usage, what the command does, arguments, options."""
        formatter.write(f"Usage: {ctx.command_path} {' '.join(self.collect_usage_pieces(ctx))}\n")
        for paragraph in inspect.cleandoc(self.help or "").split("\n\n"):
            formatter.write(f"\n{textwrap.fill(' '.join(paragraph.split()), formatter.width)}\n")
        visible = [param for param in self.get_params(ctx) if not getattr(param, "hidden", False)]
        arguments = [param for param in visible if isinstance(param, TyperArgument)]
        options = [param for param in visible if isinstance(param, TyperOption)]
        is_short = len(options) > _MOST_OPTIONS and not ctx.meta.get(HELP_ALL)
        shown = [option for option in options if option.name in self.first] if is_short else options
        self._write_panel(formatter, "Arguments", arguments)
        for panel in [""] if is_short else _panels(shown):
            chosen = shown if is_short else [option for option in shown if _panel(option) == panel]
            self._write_panel(formatter, "Options" if is_short else panel, chosen)
        if is_short:
            counts = (f"{panel.lower()} {sum(_panel(one) == panel for one in options)}" for panel in _panels(options))
            more = f"{ctx.command_path} {HELP_ALL} shows all {len(options)} options: {', '.join(counts)}."
            formatter.write(f"\n{textwrap.fill(more, formatter.width)}\n")

    def _write_panel(self, formatter: Any, title: str, params: Iterable[Any]) -> None:
        lines = [line for param in params for line in self._lines(param, formatter.width)]
        if lines:
            formatter.write("\n".join([f"\n{title}:", *lines, ""]))

    def _lines(self, param: Any, width: int) -> Iterator[str]:
        flags = f"  {_flags(param)}"
        required = "required" if param.required else self.required.get(param.name, "")
        facts = [required] if required else []
        if (default := _default(param)) is not None:
            facts.append(f"default: {default}")
        text = f"{param.help or ''} [{', '.join(facts)}]" if facts else param.help or ""
        wrapped = textwrap.wrap(text, max(_LEAST_TEXT_COLUMNS, width - _FLAG_COLUMNS)) or [""]
        if len(flags) + 2 > _FLAG_COLUMNS:
            yield flags
            flags = ""
        for line in wrapped:
            yield f"{flags:<{_FLAG_COLUMNS}}{line}".rstrip()
            flags = ""


def help_command(
    *, first: Sequence[str] = FIRST_OPTIONS, required: Mapping[str, str] = MappingProxyType({})
) -> type[HelpCommand]:
    """Return the class of a command, with the parameters that its short help shows, and when it requires others."""
    return type("Command", (HelpCommand,), {"first": first, "required": required})


def full_help(context: Any) -> str:
    """Return the help of an application and of all its commands, with all their options."""
    parts = [context.get_help()]
    for name, command in context.command.commands.items():
        inner = type(context)(command, info_name=name, parent=context)
        inner.meta[HELP_ALL] = True
        parts.append(command.get_help(inner))
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _panel(option: TyperOption) -> str:
    return getattr(option, "rich_help_panel", None) or _OWN_PANEL


def _panels(options: Iterable[TyperOption]) -> list[str]:
    return list(dict.fromkeys(map(_panel, options)))


def _flags(param: Any) -> str:
    """Return an option's shortest and first name with a placeholder, or an argument's name."""
    if isinstance(param, TyperArgument):
        return f"{param.metavar or param.name or ''}{'...' if param.nargs != 1 else ''}"
    short = [name for name in param.opts if not name.startswith("--")]
    long = [name for name in param.opts if name.startswith("--")][:1]
    opposite = param.secondary_opts[:1] if param.default else []
    names = "/".join([", ".join([*short, *long]), *opposite])
    return names if param.is_flag or param.count else f"{names} {_placeholder(param)}"


def _placeholder(param: Any) -> str:
    if param.metavar:
        return str(param.metavar)
    kind = str(param.display_type_rich(None) or "").strip("<>")
    return kind if "|" in kind else _PLACEHOLDERS.get(kind.removesuffix(" range"), "TEXT")


def _default(param: Any) -> str | None:
    """Return the default of a parameter as a text: the command's, else that of the setting it stands for."""
    if isinstance(param, TyperArgument) or param.is_flag:
        return None
    if param.default is not None and not callable(param.default):
        return str(param.default)
    return _default_setting(param.name)


def _default_setting(option: str) -> str | None:
    """Return the default of the setting that an option stands for; None if it has none."""
    from vidnst.cli.commands.render_options import SETTING_KEYS

    if option not in SETTING_KEYS:
        return None
    from vidnst.config import RenderConfig

    value: Any = RenderConfig()
    for name in SETTING_KEYS[option].split("."):
        value = getattr(value, name)
    return None if value is None or value == () or isinstance(value, bool) else str(value)
