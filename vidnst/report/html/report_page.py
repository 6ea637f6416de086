"""The report of a render as one HTML file that needs nothing else."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vidnst.formatting import format_number
from vidnst.media.output.fates import FateRow
from vidnst.report.html.markup import Html, el, jpeg_url, page, read_asset
from vidnst.report.html.report_keys import KeySection, draw_keys
from vidnst.report.html.svg_chart import Series, line_chart

_MAX_NOTES = 40


@dataclass(frozen=True, slots=True)
class Pair:
    """A frame of the source and the same frame as it was rendered."""

    frame: int
    seconds: float | None
    """Its time in the source."""
    source: bytes
    """A JPEG file."""
    result: bytes
    tall: bool = False
    """True if it is higher than wide."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small image with a text."""

    text: str
    data: bytes | None
    """A JPEG file; None if the image is missing."""
    bad: bool = False
    """True if it stands out, or failed."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReportChart:
    """The contents of one chart."""

    title: str
    series: tuple[Series, ...]
    marks: tuple[int, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class NumberRow:
    """A number of the output, and the same number of the source."""

    name: str
    output: float | None
    source: float | None = None
    ratio: float | None = None


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """The contents of a report. Texts may come from elsewhere; images were encoded by this program."""

    name: str
    state: str
    summary: str
    """A line under the name."""
    tiles: tuple[tuple[str, str], ...] = ()
    """The main numbers: a name, and a value with its unit."""
    pairs: tuple[Pair, ...] = ()
    sheet: tuple[Thumbnail, ...] = ()
    styles: tuple[Thumbnail, ...] = ()
    keys: KeySection | None = None
    """Painted keys, where there are any."""
    sounds: tuple[Thumbnail, ...] = ()
    """Spectrograms of source, style and result, where the soundtrack was restyled."""
    missing: str = ""
    """The reason why some images, or all, are missing."""
    rows: tuple[NumberRow, ...] = ()
    losses: tuple[ReportChart, ...] = ()
    steadiness: tuple[ReportChart, ...] = ()
    cost: tuple[ReportChart, ...] = ()
    cuts: tuple[int, ...] = ()
    """Frames at which shots begin, without the first."""
    notes: tuple[tuple[str, bool], ...] = ()
    """Warnings, and failures (True)."""
    settings: tuple[tuple[str, str, str], ...] = ()
    """Settings that differ from the defaults: key, value, default."""
    commands: tuple[tuple[str, str], ...] = ()
    """Commands: what each does, and the command."""
    fates: tuple[FateRow, ...] = ()
    """What the output keeps, changes and drops of its source."""
    facts: tuple[tuple[str, str], ...] = ()
    """Source, output, versions, weights, and the like."""


def report_page(facts: ReportFacts) -> str:
    """Build the report as one HTML document that loads nothing."""
    head = el("header", el("h1", facts.name), el("p", _state(facts.state), " ", el("span", facts.summary, cls="soft")))
    body = el("main", _tiles(facts), *_parts(facts))
    foot = el("footer", el("small", "Made by vidnst. Everything is in this file; it loads nothing."))
    style = read_asset("theme.css") + read_asset("report.css")
    title = f"{facts.name}: report of a render"
    return page(title, head, body, foot, style=style, script=read_asset("report.js"), policy="img-src data:")


def _parts(facts: ReportFacts) -> Iterator[Html]:
    yield from _section("Before and after", _slider(facts.pairs))
    if facts.missing:
        yield el("p", facts.missing, cls="soft")
    yield from _section("Frames over time", _sheet(facts.sheet))
    yield from _section("Styles", _styles(facts.styles))
    yield from _section("Painted keys", *(draw_keys(facts.keys) if facts.keys else ()))
    yield from _section("Sound", _sounds(facts.sounds))
    yield el("h2", "Warnings and failures")
    yield _notes(facts.notes)
    yield from _section("Steadiness", _numbers(facts.rows), _charts(facts.steadiness, facts.cuts))
    yield from _section("Losses of each frame", _charts(facts.losses, facts.cuts))
    yield from _section("Work on each frame", _charts(facts.cost, facts.cuts))
    yield from _section("How to repeat it", _commands(facts.commands))
    yield el("h2", "Settings that differ from the defaults")
    yield _settings(facts.settings)
    yield from _section("What became of the source", _fates(facts.fates))
    yield from _section("What it was made of", _facts(facts.facts))


def _section(title: str, *parts: Html | None) -> list[Html]:
    shown = [part for part in parts if part]
    return [el("h2", title), *shown] if shown else []


def _state(state: str) -> Html:
    return el("span", state, cls=f"state {state if state.isalpha() else ''}")


def _tiles(facts: ReportFacts) -> Html:
    return el(
        "div", [el("div", el("b", value), el("span", name), cls="tile") for name, value in facts.tiles], cls="tiles"
    )


def _slider(pairs: Sequence[Pair]) -> Html | None:
    if not pairs:
        return None
    buttons = [el("button", f"frame {pair.frame}", type_="button", aria_pressed="false") for pair in pairs]
    choice = el("div", buttons, cls="choose", role="group", aria_label="Which frame") if len(pairs) > 1 else None
    return el("div", [_pair(pair) for pair in pairs], choice, cls="slider")


def _pair(pair: Pair) -> Html:
    at = "" if pair.seconds is None else f" at {format_number(pair.seconds)} s"
    slide = el(
        "input", type_="range", min=0, max=100, step=1, value=50, aria_label=f"Frame {pair.frame}: share of the source"
    )
    stage = el(
        "div",
        el("img", src=jpeg_url(pair.result), alt=f"Frame {pair.frame}{at} as it was rendered", cls="result"),
        el("img", src=jpeg_url(pair.source), alt=f"Frame {pair.frame}{at} of the source", cls="source"),
        el("div", cls="handle"),
        el("span", "source", cls="left", aria_hidden="true"),
        el("span", "result", cls="right", aria_hidden="true"),
        slide,
        cls="stage",
    )
    caption = f"Frame {pair.frame}{at}. Drag, or use the arrow keys: source left of the line, result right of it."
    return el("figure", stage, el("figcaption", el("small", caption)), cls="pair tall" if pair.tall else "pair")


def _sheet(sheet: Sequence[Thumbnail]) -> Html | None:
    return el("ul", [_thumbnail(tile, "Result, ") for tile in sheet], cls="sheet") if sheet else None


def _styles(styles: Sequence[Thumbnail]) -> Html | None:
    return el("ul", [_thumbnail(tile, "Style picture ") for tile in styles], cls="styles") if styles else None


def _sounds(sounds: Sequence[Thumbnail]) -> Html | None:
    if not sounds:
        return None
    figures = [
        el(
            "figure",
            el("img", src=jpeg_url(tile.data or b""), alt=f"Spectrogram of the {tile.text}", width="100%"),
            el("figcaption", el("small", tile.text)),
        )
        for tile in sounds
    ]
    note = "Spectrograms of the first minute: time to the right, pitch upward from 50 Hz, 80 dB from black to white."
    return el("div", figures, el("p", note, cls="soft"))


def _thumbnail(tile: Thumbnail, kind: str) -> Html:
    picture = el("img", src=jpeg_url(tile.data), alt=f"{kind}{tile.text}", loading="lazy") if tile.data else None
    note = f": {tile.note}" if tile.note else ""
    return el("li", picture, el("small", f"{tile.text}{note}"), cls="bad" if tile.bad else None)


def _notes(notes: Sequence[tuple[str, bool]]) -> Html:
    if not notes:
        return el("p", "None: every frame was rendered at the first attempt, and nothing stands out.", cls="fine")
    items = [el("li", text, cls="bad" if bad else None) for text, bad in notes[:_MAX_NOTES]]
    more = len(notes) - _MAX_NOTES
    return el("ul", items, el("li", f"and {more} more, in events.jsonl") if more > 0 else None, cls="notes")


def _numbers(rows: Sequence[NumberRow]) -> Html | None:
    shown = [row for row in rows if row.output is not None]
    if not shown:
        return None
    head = el("tr", el("th", ""), *(el("th", name, cls="n") for name in ("result", "source", "ratio")))
    lines = [
        el(
            "tr",
            el("th", row.name, scope="row"),
            *(el("td", format_number(v), cls="n") for v in (row.output, row.source, row.ratio)),
        )
        for row in shown
    ]
    return el("div", el("table", el("thead", head), el("tbody", lines)), cls="wide", tabindex=0)


def _charts(charts: Sequence[ReportChart], cuts: Sequence[int]) -> Html | None:
    drawn = [line_chart(c.title, c.series, cuts=cuts, marks=c.marks, note=c.note) for c in charts]
    shown = [chart for chart in drawn if chart]
    return el("div", shown, cls="charts") if shown else None


def _commands(commands: Sequence[tuple[str, str]]) -> Html | None:
    def one(text: str, command: str) -> Html:
        button = el("button", "copy", type_="button", hidden=True, aria_label=f"copy the command: {text}")
        return el("div", el("p", text), el("div", el("pre", el("code", command), tabindex=0), button, cls="command"))

    return el("div", [one(*command) for command in commands]) if commands else None


def _settings(settings: Sequence[tuple[str, str, str]]) -> Html:
    if not settings:
        return el("p", "None: all are at their defaults.", cls="soft")
    head = el("tr", *(el("th", name) for name in ("setting", "value", "default")))
    lines = [
        el("tr", el("th", el("code", key), scope="row"), el("td", value), el("td", usual, cls="soft"))
        for key, value, usual in settings
    ]
    return el("div", el("table", el("thead", head), el("tbody", lines)), cls="wide", tabindex=0)


def _fates(rows: Sequence[FateRow]) -> Html | None:
    if not rows:
        return None
    head = el("tr", *(el("th", name) for name in ("source holds", "what", "output", "how or why")))
    lines = [
        el(
            "tr",
            el("th", row.name, scope="row"),
            *(el("td", text) for text in (row.value, row.fate, row.how)),
            cls="bad" if row.is_notable else None,
        )
        for row in rows
    ]
    return el("div", el("table", el("thead", head), el("tbody", lines)), cls="wide", tabindex=0)


def _facts(facts: Sequence[tuple[str, str]]) -> Html | None:
    lines = [el("tr", el("th", name, scope="row"), el("td", value)) for name, value in facts if value]
    return el("div", el("table", el("tbody", lines)), cls="wide", tabindex=0) if lines else None
