"""The report of a render: true, whole in one file, and harmless whatever its names say."""

import html
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.browser import page_after_scripts
from support.media import numbered_pictures, read_index, write_pictures, write_video

import vidnst
from vidnst.config import LossConfig, RenderConfig
from vidnst.config.loader import build_config, load_config
from vidnst.errors import EncoderError, RunError
from vidnst.events import RunFinished, Warned
from vidnst.media.draw.thumbnails import encode_thumbnail
from vidnst.media.images import read_image
from vidnst.report.html.markup import el, escape
from vidnst.report.html.report_charts import loss_charts, outliers
from vidnst.report.html.report_contents import gather_report
from vidnst.report.html.report_page import ReportFacts, report_page
from vidnst.report.html.report_settings import changed_settings, render_command
from vidnst.report.html.svg_chart import Series, line_chart, ticks
from vidnst.report.write_report import write_report
from vidnst.runs import Manifest, RunLog
from vidnst.runs.record import find_record
from vidnst.runs.status import RunMonitor

EVIL = "<script>document.title='owned'</script>\"'><img src=x onerror=\"document.title='owned'\">\u202e.mp4"


class Page(HTMLParser):
    """What a document is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data

    def values(self, name: str) -> list[str]:
        return [value for _, key, value in self.attributes if key == name]


def settings(**sections: object) -> RenderConfig:
    values: dict[str, object] = {
        "model": {"backbone": "slim"},
        "optimize": {"iterations": 2},
        "schedule": {"kind": "independent"},
        "farm": {"executor": "inline", "threads": 1, "workers": 1},
    }
    return build_config(values | sections)


def rendered(folder: Path, *, name: str = "out.mkv", config: RenderConfig | None = None, frames: int = 3) -> Path:
    source = write_video(folder / "in.mp4", numbered_pictures(frames, (96, 64)))
    write_pictures(folder / "style", numbered_pictures(1, (96, 64), first=700))
    events: list[object] = []
    style = folder / "style" / "0000.png"
    chosen = config or settings()
    vidnst.render(source, style=style, output=folder / name, config=chosen, on_event=events.append)
    assert isinstance(events[-1], RunFinished)
    assert not [event for event in events if isinstance(event, Warned)]
    return folder / f"{name}.vidnst"


def test_a_render_leaves_a_report_that_needs_nothing_but_itself(tmp_path: Path) -> None:
    folder = rendered(tmp_path)
    text = (folder / "report.html").read_text("utf-8")
    page = Page(text)
    assert "3 of 3 frames" in page.words
    assert "finished" in page.words
    assert "What became of the source" in page.words
    assert page.tags.count("input") == 3
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.values("src"))
    assert not page.values("href")
    assert re.search(r"https?://(?!www\.w3\.org/2000/svg)", text) is None
    pictured = [dict(keys) for keys in _elements(text, "img")]
    assert pictured
    assert all(keys.get("alt") for keys in pictured)
    assert all(keys.get("aria-label") for keys in map(dict, _elements(text, "svg")))
    for words in ("style loss", "warping error, neighbours", "seconds of computing", "evaluations of the loss"):
        assert words in page.words
    assert len(text) < 5_000_000
    again = write_report(tmp_path / "out.mkv", tmp_path / "again.html")
    assert again == tmp_path / "again.html"


def _elements(text: str, tag: str) -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []

    class Find(HTMLParser):
        def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
            if name == tag:
                found.append([(key, value or "") for key, value in attrs])

    Find().feed(text)
    return found


def test_without_its_frames_a_report_shows_those_of_the_output(tmp_path: Path) -> None:
    config = settings(optimize={"iterations": 0}, input={"start": "2"})
    folder = rendered(tmp_path, config=config, frames=6)
    assert not (folder / "frames").exists()
    record = find_record(folder)
    assert record is not None
    facts = gather_report(record)
    assert facts.missing == ""
    for pair in facts.pairs:
        for data in (pair.source, pair.result):
            pixels = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), 1), cv2.COLOR_BGR2RGB)
            assert read_index(pixels) == pair.frame
    assert [pair.frame for pair in facts.pairs] == [2, 3, 4, 5]
    (tmp_path / "out.mkv").unlink()
    (tmp_path / "in.mp4").unlink()
    assert "cannot be shown" in gather_report(record).missing


def test_nothing_is_written_where_no_report_is_wanted(tmp_path: Path) -> None:
    folder = rendered(tmp_path, config=settings(output={"report": False, "measure": False}))
    assert not (folder / "report.html").exists()
    with pytest.raises(RunError, match="no run at"):
        write_report(tmp_path / "nowhere.mp4")


def test_failed_render_writes_its_report_with_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise EncoderError("ffmpeg <failed>", "install another")

    monkeypatch.setattr("vidnst.rendering.pipeline.encode_output", fail)
    with pytest.raises(EncoderError):
        rendered(tmp_path)
    folder = tmp_path / "out.mkv.vidnst"
    assert (RunMonitor().status(folder).state, RunMonitor().status(folder).message) == (
        "failed",
        "ffmpeg <failed>; install another.",
    )
    page = Page((folder / "report.html").read_text("utf-8"))
    assert "ffmpeg <failed>; install another." in page.words
    assert f"vidnst resume {folder}" in page.words
    assert page.tags.count("input") == 3
    monkeypatch.undo()
    rendered(tmp_path)
    assert "ffmpeg <failed>" not in (folder / "report.html").read_text("utf-8")


def test_a_report_is_written_through_no_link(tmp_path: Path) -> None:
    folder = rendered(tmp_path)
    mine = tmp_path / "mine"
    mine.write_text("keep")
    for name in ("report.html", ".report.part.html"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(mine)
    assert write_report(folder).read_text("utf-8").startswith("<!doctype html>")
    assert mine.read_text() == "keep"


def test_the_command_says_where_the_report_is(tmp_path: Path) -> None:
    folder = rendered(tmp_path, config=settings(output={"report": False, "measure": False}))
    command = [sys.executable, "-m", "vidnst", "report", str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == f"{folder / 'report.html'}\n"
    assert "3 of 3 frames" in (folder / "report.html").read_text("utf-8")


def test_repeat_command_gives_same_settings_and_styles(tmp_path: Path) -> None:
    config = settings(losses={"style_layers": {"relu1_1": 1, "relu2_1": 2.5}, "style_weight": 7}, input={"end": "2"})
    folder = rendered(tmp_path, config=config)
    manifest = Manifest.read(folder)
    words = shlex.split(render_command(manifest, folder)[0])
    assert words[:3] == ["vidnst", "render", str(tmp_path / "in.mp4")]
    assert words[words.index("-o") + 1] == str(tmp_path / "out.mkv")
    assignments = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    resolved = config.output.model_copy(update={"bits": 8, "alpha": "drop"})  # what auto means for this source
    assert load_config(assignments=assignments) == config.model_copy(update={"output": resolved})
    assert {key for key, _, _ in changed_settings(manifest.config)} >= {"losses.style_layers", "input.end"}
    assert changed_settings(RenderConfig().model_dump(mode="json")) == []


def test_repeat_command_runs_as_copied(tmp_path: Path) -> None:
    folder = rendered(tmp_path)
    (command,) = re.findall(r"<code>(vidnst render .*?)</code>", (folder / "report.html").read_text("utf-8"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    before = (tmp_path / "out.mkv").stat().st_mtime_ns
    words = [sys.executable, "-m", *shlex.split(html.unescape(command))]
    subprocess.run(words, check=True, cwd=elsewhere, capture_output=True)
    assert (tmp_path / "out.mkv").stat().st_mtime_ns > before


def test_repeat_command_replaces_no_output_elsewhere(tmp_path: Path) -> None:
    manifest = Manifest.read(rendered(tmp_path))
    command, left_out = render_command(manifest, tmp_path / "sent" / "out.mkv.vidnst")
    assert "--overwrite" not in command
    assert any("--overwrite" in note for note in left_out)


def evil_run(folder: Path) -> Path:
    """A run whose every text wants to be markup."""
    run = rendered(folder)
    manifest = json.loads((run / "run.json").read_text())
    manifest["output"] = f"/x/{EVIL}"
    manifest["sources"] = [f"/y/{EVIL}"]
    manifest["weights"] = manifest["versions"]["torch"] = EVIL
    manifest["look"]["styles"][0]["path"] = f"/z/{EVIL}"
    (run / "run.json").write_text(json.dumps(manifest))
    events = [{"kind": kind, "node": f"1.0{EVIL}", "worker": EVIL, "error": EVIL} for kind in ("failed", "given_up")]
    events += [{"kind": "done", "node": "1.0", "worker": EVIL, "losses": {EVIL: 1.0}, "final": True, "seconds": 1}]
    events += [{"kind": "warned", "message": EVIL}, {"kind": "ended", "how": "failed", "message": EVIL}]
    with (run / "events.jsonl").open("a") as log:
        log.writelines(json.dumps({"time": 2e9, **event}) + "\n" for event in events)
    (run / "measure.json").write_text(
        '{"errors": 3, "rows": [{"frame": "x"}, {"frame": 1, "pairs": [7]}], "drift": []}'
    )
    return run.rename(folder / f"{EVIL.replace('/', '|')}.vidnst")


def test_names_of_strangers_stay_text(tmp_path: Path) -> None:
    page = Page(write_report(evil_run(tmp_path)).read_text("utf-8"))
    assert page.tags.count("script") == 1
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "document.title='owned'" in page.words
    assert "\u202e" not in page.words


@pytest.mark.slow
def test_a_browser_shows_it_draws_it_and_runs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    evil = page_after_scripts(
        write_report(evil_run(tmp_path / "evil"), tmp_path / "evil.html").as_uri(), tmp_path / "profile"
    )
    assert "<title>owned" not in evil
    (tmp_path / "good").mkdir()
    good = page_after_scripts((rendered(tmp_path / "good") / "report.html").as_uri(), tmp_path / "profile")
    assert 'aria-valuetext="50 % source"' in good  # its own script may run
    assert good.count('class="pair" hidden') == 2
    for drawing in re.findall(r"<svg.*?</svg>", good, re.S):
        assert "<line" in drawing
        assert not re.search(r"<line[^>]*><line", drawing)
        assert "<polyline" in drawing


def test_markup_is_escaped_unless_it_was_built() -> None:
    assert el("p", "<b>", el("i", '"&'), title='"><') == '<p title="&quot;&gt;&lt;">&lt;b&gt;<i>&quot;&amp;</i></p>'
    assert escape(["a\x00\x1b", None, 3]) == "a\ufffd\ufffd3"
    assert report_page(ReportFacts(EVIL, 'finished" onclick=', EVIL)).count("<script>") == 1


def test_a_chart_puts_its_values_where_they_belong() -> None:
    chart = line_chart("loss", [Series("a", [(0, 0.0), (10, 5.0), (20, 10.0)])], cuts=[10], marks=[20])
    assert chart is not None
    points = re.search(r'points="([^"]+)"', chart)
    assert points
    places = [tuple(map(float, point.split(","))) for point in points[1].split()]
    (x0, y0), (x1, y1), (x2, y2) = places
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.1)
    assert y1 == pytest.approx((y0 + y2) / 2, abs=0.1)
    assert y0 > y2
    assert f'cx="{x2}" cy="{y2}"' in chart
    assert 'class="cut"' in chart
    assert "highest 10 at frame 20" in chart


@pytest.mark.parametrize(
    "values", [[(3, 0.0)], [(0, 2.0), (1, 2.0)], [(0, -1e-9), (1, -1e9)], [(i, i % 7 / 3) for i in range(50_000)], []]
)
def test_a_chart_stays_small_and_inside_whatever_it_is_given(values: Sequence[tuple[int, float]]) -> None:
    chart = line_chart("x", [Series("a", values), Series("none", [])], cuts=range(100_000))
    if not values:
        assert chart is None
        return
    assert chart is not None
    assert len(chart) < 60_000
    assert "nan" not in chart
    heights = [float(pair.split(",")[1]) for run in re.findall(r'points="([^"]+)"', chart) for pair in run.split()]
    assert all(0 <= height <= 170 for height in heights)


def test_ticks_are_round_and_within() -> None:
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    for low, high in ((0, 3e-5), (17, 18), (-4, 1e6)):
        assert 3 <= len(ticks(low, high)) <= 8


def test_frames_that_stand_out_are_found_and_even_ones_are_not() -> None:
    calm = [(index, 1 + 0.01 * (index % 5)) for index in range(40)]
    assert outliers(calm) == []
    assert outliers([*calm[:20], (20, 3.0), *calm[21:]]) == [20]
    assert outliers([(0, 1.0), (1, 99.0)]) == []
    still = [(index, 0.0) for index in range(40)]
    assert outliers([*still[:20], (20, 1e-4), *still[21:]]) == []


def test_terms_without_a_weight_are_not_charted() -> None:
    log = RunLog()
    for frame in range(2):
        losses = {"total": 2.0, "content": 1.0, "tv": 0.5}
        log.add({"kind": "done", "node": f"{frame}.0", "final": True, "losses": losses, "evaluations": 1, "seconds": 1})
    titles = [[chart.title for chart in loss_charts(log, LossConfig(tv_weight=weight))] for weight in (6.0, 0.0)]
    assert titles == [
        ["content loss", "total variation loss", "weighted total loss"],
        ["content loss", "weighted total loss"],
    ]


def test_a_thumbnail_keeps_to_its_bytes_and_its_proportions(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 600, 3), dtype=np.uint8)
    (tmp_path / "n.jpg").write_bytes(encode_thumbnail(noise, longest_side=400, max_bytes=9000))
    assert (tmp_path / "n.jpg").stat().st_size <= 9000
    height, width = read_image(tmp_path / "n.jpg").shape[:2]
    assert width <= 400
    assert width / height == pytest.approx(2, rel=0.03)
