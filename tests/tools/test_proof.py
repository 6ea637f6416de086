"""Proof sheets: cells equal renders, lie where the report says, and their losses rank as in a render."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support.media import numbered_pictures, painting, photo, positions_of, read_picture, write_picture, write_pictures
from support.renders import still_config

import vidnst
from vidnst.config.loader import load_config, parse_values, with_settings
from vidnst.errors import CancelledError, ConfigError, OutputError, RangeError, StyleError, VidnstError
from vidnst.events import Event, Stage
from vidnst.style.tensors import from_pixels
from vidnst.tools.preview.proof import Proof
from vidnst.tools.preview.single_frames import open_source

WEIGHT = "losses.style_weight"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_picture(tmp_path / "photo.png", photo())


@pytest.fixture
def styles(tmp_path: Path) -> list[Path]:
    return [write_picture(tmp_path / f"style{seed}.png", painting(seed)) for seed in range(2)]


def proof_of(source: Path, styles: list[Path], output: Path, **more: Any) -> Proof:
    config = more.pop("config", still_config())
    return vidnst.proof(source, style=styles, output=output, config=config, **more)


def levels(picture: torch.Tensor) -> np.ndarray:
    states = (picture.reshape(3, *picture.shape[-2:]).permute(1, 2, 0) * 65535).round().numpy().astype(np.uint32)
    return ((states + 128) // 257).astype(np.uint8)


def test_cell_equals_stylize_with_its_weight(source: Path, styles: list[Path], tmp_path: Path) -> None:
    torch.set_num_threads(1)
    found = proof_of(source, styles, tmp_path / "p.png", axes={WEIGHT: [1, 40]}, size=64)
    assert len(found.cells) == 4
    small = np.asarray(cv2.resize(photo(), (64, 42), interpolation=cv2.INTER_AREA), np.uint8)
    for cell in found.cells:
        config = with_settings(still_config(), {WEIGHT: cell.cell.settings[WEIGHT]})
        style = from_pixels(read_picture(cell.cell.styles[0].path))
        assert np.array_equal(
            cell.pixels, levels(vidnst.stylize(from_pixels(small), style, config=config, device="cpu"))
        )


def test_cell_equals_render_of_cold_frame(source: Path, styles: list[Path], tmp_path: Path) -> None:
    config = still_config(init="blend")
    found = proof_of(source, styles, tmp_path / "p.png", config=config, together=True, size=96)
    rendered = vidnst.render(source, style=styles, output=tmp_path / "out.png", config=config)
    (cell,) = found.cells
    assert np.array_equal(cell.pixels, read_picture(rendered.output))


def test_instant_cell_equals_instant_render(source: Path, styles: list[Path], tmp_path: Path) -> None:
    config = load_config(engine="instant", options={"farm.executor": "inline", "farm.threads": 1})
    found = proof_of(source, styles, tmp_path / "p.png", config=config, together=True, size=96)
    vidnst.render(source, style=styles, output=tmp_path / "out.png", config=config)
    (cell,) = found.cells
    assert np.array_equal(cell.pixels, read_picture(tmp_path / "out.png"))
    assert cell.evaluations == 0


def test_report_has_place_and_losses_of_every_cell(source: Path, styles: list[Path], tmp_path: Path) -> None:
    axes = {"optimize.init": ["content", "noise"], WEIGHT: [2, 20, 200]}
    found = proof_of(source, styles, tmp_path / "p.png", axes=axes, size=48)
    sheet, report = read_picture(found.output), json.loads(found.report.read_text())
    assert found.report == tmp_path / "p.json"
    assert report["axes"] == axes
    assert len(report["cells"]) == len(found.cells) == 2 * 2 * 3
    for told, cell in zip(report["cells"], found.cells, strict=True):
        x, y, width, height = told["place"]
        assert np.array_equal(sheet[y : y + height, x : x + width], cell.pixels)
        assert told["losses"] == pytest.approx(dict(cell.losses))
        assert told["settings"] == dict(cell.cell.settings)
    rows = {told["place"][1] for told in report["cells"]}
    columns = {told["place"][0]: told["settings"][WEIGHT] for told in report["cells"]}
    assert (len(rows), len(columns)) == (4, 3)
    assert [columns[x] for x in sorted(columns)] == [2, 20, 200], "the last axis goes across"
    left = min(columns)
    small = cv2.resize(photo(), (48, 32), interpolation=cv2.INTER_AREA)
    shown = positions_of(np.asarray(small, np.uint8), sheet)
    assert [y for y, x in shown if x < left] == sorted(rows)[::2], "the source is at the left, once for each style"


def test_losses_follow_style_weight(source: Path, styles: list[Path], tmp_path: Path) -> None:
    config = still_config(iterations=40)
    found = proof_of(source, styles[:1], tmp_path / "p.png", config=config, axes={WEIGHT: [1, 10, 100]}, size=96)
    style, content = ([cell.losses[term] for cell in found.cells] for term in ("style", "content"))
    assert style == sorted(style, reverse=True)
    assert content == sorted(content)


def test_losses_use_settings_without_axes(source: Path, styles: list[Path], tmp_path: Path) -> None:
    axes = {"losses.scale": ["relative", "gatys"], "losses.style_layers": [{"relu1_1": 1}, {"relu2_1": 1}]}
    found = proof_of(source, styles[:1], tmp_path / "p.png", axes=axes, size=48, config=still_config(iterations=1))
    # After one evaluation every cell still shows the source, so only the ruler could differ.
    assert len({tuple(cell.losses.values()) for cell in found.cells}) == 1


def test_sheet_bytes_do_not_depend_on_workers(source: Path, styles: list[Path], tmp_path: Path) -> None:
    axes = {WEIGHT: [1, 10, 100]}
    sheets = []
    for workers in (1, 3):
        config = with_settings(still_config(init="noise"), {"farm.workers": workers})
        proof_of(source, styles, tmp_path / f"{workers}.png", config=config, axes=axes, size=48)
        sheets.append((tmp_path / f"{workers}.png").read_bytes())
    assert sheets[0] == sheets[1]


def test_size_can_be_an_axis(source: Path, styles: list[Path], tmp_path: Path) -> None:
    found = proof_of(source, styles[:1], tmp_path / "p.png", axes={"input.size": [48, 96]})
    assert [cell.pixels.shape for cell in found.cells] == [(32, 48, 3), (64, 96, 3)]


def test_frames_are_spread_over_shots_or_named(tmp_path: Path, styles: list[Path]) -> None:
    folder = tmp_path / "frames"
    write_pictures(folder, numbered_pictures(20))
    config = with_settings(still_config(iterations=1), {"input.shots": [4, 16], "input.start": "2"})
    preview_source = open_source(folder, config)
    assert preview_source.spread_frames(1) == [11]
    assert preview_source.spread_frames(3) == [3, 10, 18]
    assert preview_source.spread_frames(5) == [3, 6, 10, 14, 18]
    assert preview_source.spread_frames(100) == list(range(2, 20))
    assert preview_source.resolve_frames(["7", "0.12s", 7]) == [3, 7]
    found = proof_of(folder, styles[:1], tmp_path / "p.png", config=config, frames=[7, 3], size=48)
    assert [cell.cell.frame for cell in found.cells] == [3, 7]
    for text in ("1", "20"):
        with pytest.raises(RangeError, match=f"frame {text} is outside"):
            preview_source.resolve_frames([text])


def test_frames_are_deflickered_as_in_a_render(tmp_path: Path, styles: list[Path]) -> None:
    folder = tmp_path / "frames"
    still = photo(3)
    write_pictures(folder, [(still * gain).astype(np.uint8) for gain in (0.6, 0.9, 0.6, 0.9, 0.6)])
    config = with_settings(still_config(iterations=1), {"input.deflicker": 5})
    preview_source = open_source(folder, config)
    plain = open_source(folder, still_config())
    evened, raw = (
        [frame.mean() for frame in one.read_frames(range(5), size=None).values()] for one in (preview_source, plain)
    )
    assert np.ptp(evened) < 0.3 * np.ptp(raw)


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"axes": {"losses.style_wieght": [1]}}, ConfigError, "did you mean style_weight"),
        ({"axes": {WEIGHT: []}}, ConfigError, "no values"),
        ({"axes": {WEIGHT: [1, -2]}}, ConfigError, WEIGHT),
        ({"axes": {WEIGHT: range(401)}}, ConfigError, "more than 400"),
        ({"axes": {"schedule.passes": [1, 2]}}, ConfigError, "does not change a single frame"),
        ({"axes": {"input.start": ["0", "1"]}}, ConfigError, "does not change a single frame"),
        ({"axes": {"losses.temporal_weight": [1, 2]}}, ConfigError, "does not change a single frame"),
        ({"axes": {WEIGHT: [1], "optimize.init": ["noise"], "optimize.seed": [1]}}, ConfigError, "two axes"),
        ({"axes": {"optimize.iterations": [0, 5]}}, ConfigError, "nothing to see"),
        ({"frames": ["4"]}, RangeError, "outside"),
        ({"frames": ["soon"]}, ConfigError, "soon"),
        ({"style": ["gone.png"]}, StyleError, "gone.png"),
        ({"style": []}, StyleError, "--style"),
        ({"output": "p.mp4"}, OutputError, "p.mp4"),
        ({"output": "none/p.png"}, OutputError, "none"),
        ({"output": "photo.png", "overwrite": True}, OutputError, "is an input"),
        ({"output": "style0.png"}, OutputError, "is an input"),
    ],
)
def test_invalid_arguments_fail_before_painting(
    source: Path, styles: list[Path], tmp_path: Path, more: dict[str, Any], error: type[VidnstError], words: str
) -> None:
    events: list[Event] = []
    given = {"style": styles, "config": still_config(), "on_event": events.append, **more}
    output = tmp_path / given.pop("output", "p.png")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=words):
        vidnst.proof(source, output=output, **given)
    assert not [event for event in events if isinstance(event, Stage) and event.stage == "cells"]
    assert sorted(tmp_path.iterdir()) == before


def test_cancelling_leaves_no_files(source: Path, styles: list[Path], tmp_path: Path) -> None:
    events: list[Event] = []
    with pytest.raises(CancelledError):
        proof_of(
            source,
            styles,
            tmp_path / "p.png",
            axes={WEIGHT: [1, 2, 3]},
            on_event=events.append,
            cancelled=lambda: Stage("cells", 2, 6) in events,
        )
    assert not list(tmp_path.glob("p.*"))


def test_overwrite_must_be_asked_for(source: Path, styles: list[Path], tmp_path: Path) -> None:
    proof_of(source, styles[:1], tmp_path / "p.png", size=32, config=still_config(iterations=1))
    with pytest.raises(OutputError, match="exists already"):
        proof_of(source, styles[:1], tmp_path / "p.png", size=32)
    proof_of(source, styles[:1], tmp_path / "p.png", size=32, config=still_config(iterations=1), overwrite=True)


def test_axis_values_are_yaml() -> None:
    assert parse_values("losses.style_weight=5, 15,45.5") == (WEIGHT, (5, 15, 45.5))
    assert parse_values("optimize.init=content,noise") == ("optimize.init", ("content", "noise"))
    assert parse_values("losses.style_layers={relu1_1: 1},{relu3_1: 1, relu4_1: 2}") == (
        "losses.style_layers",
        ({"relu1_1": 1}, {"relu3_1": 1, "relu4_1": 2}),
    )
    assert parse_values("input.shots=[1, 2],auto") == ("input.shots", ([1, 2], "auto"))
    for text, words in (
        ("losses.style_weight", "KEY=VALUE"),
        ("=5", "KEY=VALUE"),
        ("a.b=", "no value"),
        ("a.b=1,1", "twice"),
        ("a.b=1,,2", "not YAML"),
        ("a.b={", "not YAML"),
    ):
        with pytest.raises(ConfigError, match=words):
            parse_values(text)


def test_cell_equals_render_with_effects_and_region(source: Path, styles: list[Path], tmp_path: Path) -> None:
    mask = np.zeros((64, 96, 3), np.uint8)
    mask[:, :40] = 255
    write_picture(tmp_path / "mask.png", mask)
    config = with_settings(
        still_config(init="noise"),
        {
            "input.size": 96,
            "regions.masks": {"left": str(tmp_path / "mask.png")},
            "filters.before": ["superpixels:40"],
            "filters.after": ["palette:6"],
            "colour.keep": "luminance",
            "colour.transfer": "moments",
        },
    )
    texts = [f"{styles[0]}@0s", f"{styles[1]}#left"]
    vidnst.render(source, style=texts, output=tmp_path / "whole.png", config=config)
    found = vidnst.proof(source, style=texts, output=tmp_path / "p.png", config=config, together=True, size=96)
    assert np.array_equal(found.cells[0].pixels, read_picture(tmp_path / "whole.png"))
    plain = with_settings(config, {"filters.after": [], "colour.keep": "none"})
    other = vidnst.proof(source, style=texts, output=tmp_path / "q.png", config=plain, together=True, size=96)
    assert not np.array_equal(other.cells[0].pixels, found.cells[0].pixels)
