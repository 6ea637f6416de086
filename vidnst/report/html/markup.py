"""Builds HTML out of parts: every text is escaped unless it was built here."""

import base64
import hashlib
import html
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import TypeAlias

_VOID = frozenset({"img", "input", "meta"})
"""Elements without an end tag; those of SVG have one, else they would be nested."""


class Html(str):
    """Text that is HTML already; only this module may create it, from what it has escaped."""

    __slots__ = ()


Part: TypeAlias = "str | int | float | Iterable[Part] | None"
"""The content of an element: HTML, text (which is escaped), numbers, nothing, or several of these."""


def replace_unprintable(text: str) -> str:
    """Replace control and direction characters, with which a file name may look like another."""
    if text.isprintable():  # long ones are pictures in base64
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


def escape(part: Part) -> Html:
    """Turn a part into HTML, with every text in it escaped."""
    if isinstance(part, Html):
        return part
    if part is None:
        return Html("")
    if isinstance(part, str):
        return Html(html.escape(replace_unprintable(part), quote=True))
    if isinstance(part, int | float):
        return Html(part)
    return Html("".join(map(escape, part)))


def el(tag: str, *parts: Part, **attributes: "str | int | float | bool | None") -> Html:
    """Build an element.

    In names of attributes, `cls` stands for `class`, a trailing underscore is dropped, and other underscores become
    hyphens. True gives an attribute without a value, False and None give none.
    """
    words = [tag]
    for key, value in attributes.items():
        name = "class" if key == "cls" else key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(name)
        elif value is not None and value is not False:
            words.append(f'{name}="{html.escape(replace_unprintable(str(value)), quote=True)}"')
    start = f"<{' '.join(words)}>"
    return Html(start if tag in _VOID and not parts else f"{start}{escape(parts)}</{tag}>")


@cache
def read_asset(name: str) -> str:
    """Read a style sheet or a script of this package."""
    return files("vidnst.report.html").joinpath(name).read_text("utf-8")


def csp_hash(text: str) -> str:
    """The source expression with which a Content-Security-Policy allows just this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page(title: str, *body: Part, style: str, script: str, policy: str = "") -> str:
    """Build a whole document.

    Args:
        title: its title.
        body: the contents of the body.
        style, script: the inline style sheet and script; nothing else may be loaded or run.
        policy: what the Content-Security-Policy allows besides these two.
    """
    allowed = (
        f"default-src 'none'; style-src {csp_hash(style)}; script-src {csp_hash(script)}; base-uri 'none'; {policy}"
    )
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


def jpeg_url(data: bytes) -> str:
    """A JPEG file as a data URL."""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
