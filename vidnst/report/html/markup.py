"""HTML that is built out of parts, where every text is escaped unless it was built here."""

import base64
import hashlib
import html
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import TypeAlias

_VOID = frozenset({"img", "input", "meta"})
"""Elements without an end; those of SVG have one, else they would lie in each other."""


class Html(str):
    """Text that is HTML already; only this module and what it escaped should make it."""

    __slots__ = ()


Part: TypeAlias = "str | int | float | Iterable[Part] | None"
"""What stands in an element: HTML, text (which is escaped), numbers, nothing, or several of these."""


def clean(text: str) -> str:
    """A text without control and direction characters, which a file name may have in it to look like another."""
    if text.isprintable():  # long ones are pictures in base64
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


def safe(part: Part) -> Html:
    """A part as HTML."""
    if isinstance(part, Html):
        return part
    if part is None:
        return Html("")
    if isinstance(part, str):
        return Html(html.escape(clean(part), quote=True))
    if isinstance(part, int | float):
        return Html(part)
    return Html("".join(map(safe, part)))


def el(tag: str, *parts: Part, **attributes: "str | int | float | bool | None") -> Html:
    """An element. `cls` stands for `class`, a trailing underscore is dropped, other underscores become hyphens; True
    gives an attribute without a value, False and None give none.
    """
    words = [tag]
    for key, value in attributes.items():
        name = "class" if key == "cls" else key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(name)
        elif value is not None and value is not False:
            words.append(f'{name}="{html.escape(clean(str(value)), quote=True)}"')
    start = f"<{' '.join(words)}>"
    return Html(start if tag in _VOID and not parts else f"{start}{safe(parts)}</{tag}>")


@cache
def asset(name: str) -> str:
    """A style sheet or a script that comes along."""
    return files("vidnst.report.html").joinpath(name).read_text("utf-8")


def hashed(text: str) -> str:
    """The source expression with which a Content-Security-Policy allows just this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page(title: str, *body: Part, style: str, script: str, policy: str = "") -> str:
    """A whole document.

    Args:
        style, script: inline; nothing else may be loaded or run.
        policy: what its Content-Security-Policy allows besides the two.
    """
    allowed = f"default-src 'none'; style-src {hashed(style)}; script-src {hashed(script)}; base-uri 'none'; {policy}"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=allowed),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        Html(f"<style>{style}</style>"),
    )
    inline = Html(f"<script>{script}</script>")
    return f"<!doctype html>\n{el('html', head, el('body', *body, inline), lang='en')}\n"


def jpeg(data: bytes) -> str:
    """A JPEG file as an address that has it in itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def number(value: float | None) -> str:
    """Three significant figures, without an exponent where a person would write none; a dash for nothing."""
    if value is None:
        return "-"
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}"
    text = f"{value:.{max(0, 3 - len(str(int(abs(value)))))}f}" if abs(value) >= 1 else f"{value:.3g}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds: float | None) -> str:
    """Like 2 h 05 min, 3 min 20 s or 4.2 s; a dash for nothing."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
