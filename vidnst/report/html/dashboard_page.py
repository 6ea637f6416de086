"""The page of `vidnst serve`: an empty document with a script that fetches the status and shows it."""

from functools import cache

from vidnst.report.html.markup import csp_hash, el, page, read_asset

_POLICY = "img-src 'self'; media-src 'self'; connect-src 'self'; form-action 'none'"


@cache
def dashboard_page() -> str:
    """The document, which is the same for all folders."""
    head = el("header", el("h1", "Renders"), el("p", "Looking ...", id="told", cls="soft", role="status"))
    named = el("input", id="named", type="search", placeholder="filter by name", aria_label="filter by name")
    filters = el("div", named, el("span", id="states"), id="filters")
    body = el("main", el("div", id="errors"), filters, el("div", id="runs"))
    foot = el("footer", el("small", "It looks again every two seconds, and disturbs no render."))
    noscript = el("noscript", el("p", "This page needs its own script; `vidnst status` says the same in a terminal."))
    style = _style()
    return page("Renders", head, noscript, body, foot, style=style, script=read_asset("dashboard.js"), policy=_POLICY)


@cache
def dashboard_policy() -> str:
    """The Content-Security-Policy to send with it."""
    own = f"style-src {csp_hash(_style())}; script-src {csp_hash(read_asset('dashboard.js'))}"
    return f"default-src 'none'; {own}; {_POLICY}; base-uri 'none'; frame-ancestors 'none'"


def _style() -> str:
    return read_asset("theme.css") + read_asset("dashboard.css")
