"""The page of `vidnst serve`: empty, with a script that asks for numbers and fills it."""

from functools import cache

from vidnst.report.html.markup import asset, el, hashed, page

_ALLOWED = "img-src 'self'; connect-src 'self'; form-action 'none'"


@cache
def dashboard_page() -> str:
    """The document, the same for all."""
    head = el("header", el("h1", "Renders"), el("p", "Looking ...", id="told", cls="soft", role="status"))
    body = el("main", el("div", id="errors"), el("div", id="batches"), el("div", id="runs"))
    foot = el("footer", el("small", "It looks again every two seconds, and disturbs no render."))
    noscript = el("noscript", el("p", "This page needs its own script; `vidnst status` says the same in a terminal."))
    style = _style()
    return page("Renders", head, noscript, body, foot, style=style, script=asset("dashboard.js"), policy=_ALLOWED)


@cache
def dashboard_policy() -> str:
    """The Content-Security-Policy to send with it."""
    own = f"style-src {hashed(_style())}; script-src {hashed(asset('dashboard.js'))}"
    return f"default-src 'none'; {own}; {_ALLOWED}; base-uri 'none'; frame-ancestors 'none'"


def _style() -> str:
    return asset("theme.css") + asset("dashboard.css")
