"""The package as a program uses it: what it exports, and the examples in its docstrings."""

import ast
import doctest
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.media import numbered_pictures, write_style, write_video
from support.renders import quick_config, stop_after

import vidnst
from vidnst import api
from vidnst.cli import progress
from vidnst.errors import CancelledError, ConfigError


def test_every_exported_name_exists() -> None:
    for name in vidnst.__all__:
        assert hasattr(vidnst, name)
    assert set(vidnst.__all__) <= set(dir(vidnst))


def test_exports_are_typed() -> None:
    """Type checkers read other lines than the program; both name the same things from the same modules."""
    tree = ast.parse(Path(vidnst.__file__).read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.asname: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert typed == {**vidnst._HOMES, **dict.fromkeys(vidnst._MODULES, "vidnst")}


def test_import_changes_nothing_in_the_process() -> None:
    script = (
        "import logging, os, threading\n"
        "before = dict(os.environ), logging.getLogger().handlers[:], threading.active_count()\n"
        "import vidnst\n"
        "assert (dict(os.environ), logging.getLogger().handlers, threading.active_count()) == before\n"
        "assert not logging.getLogger('vidnst').handlers\n"
        "assert logging.getLogger('vidnst').level == logging.NOTSET\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the docstrings' examples name; the current one."""
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clip.mp4", numbered_pictures(3, (64, 48)))
    write_style(tmp_path / "style.png")
    settings = {"optimize.iterations": 2, "farm.executor": "inline", "model.backbone": "slim"}
    jobs = {"defaults": {"set": settings}, "jobs": [{"sources": ["clip.mp4"], "styles": ["style.png"]}]}
    Path("jobs.yaml").write_text(json.dumps(jobs))
    with pytest.raises(CancelledError):
        vidnst.render("clip.mp4", style="style.png", output="stopped.mp4", config=settings, **stop_after(1))
    return tmp_path


def test_examples_in_docstrings_run(project: Path) -> None:
    globs = {"__name__": "example"}
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    for name in ("render", "resume", "batch", "measure", "plan", "probe"):  # `measure` reads what `render` wrote
        (example,) = finder.find(getattr(api, name), name, globs=dict(globs))
        assert example.examples, name
        assert runner.run(example).failed == 0, name


def test_render_returns_what_a_program_needs(project: Path) -> None:
    style = vidnst.Style("style.png", weight=2.0)
    config = quick_config(output={"measure": True, "report": False})
    result = vidnst.render(project / "clip.mp4", style=[style, Path("style.png")], output="new.mp4", config=config)
    assert result.output == Path("new.mp4")
    assert result.run_folder.is_dir()
    assert result.frames == 3
    assert result.measurement is not None
    assert result.measurement.frames == 3
    assert result.seconds > 0
    assert result.suspects == {}


def test_styles_are_the_same_as_texts_and_as_types(project: Path) -> None:
    frames = []
    for number, style in enumerate(("style.png:45", vidnst.Style("style.png", 45.0))):
        vidnst.render("clip.mp4", style=style, output=f"out{number}", config=quick_config())
        frames.append([path.read_bytes() for path in sorted(Path(f"out{number}").glob("*.png"))])
    assert frames[0] == frames[1]


def test_preset_and_mapping_make_a_configuration() -> None:
    config = api.resolve_config({"losses": {"style_weight": 3}, "optimize.iterations": 7}, preset="timelapse")
    assert (config.losses.style_weight, config.optimize.iterations) == (3, 7)
    assert config.losses.temporal_weight == vidnst.load_config(preset="timelapse").losses.temporal_weight
    with pytest.raises(ConfigError, match="complete configuration"):
        api.resolve_config(vidnst.RenderConfig(), preset="draft")
    with pytest.raises(ConfigError, match="style_weigth"):
        api.resolve_config({"losses.style_weigth": 3})


def test_stylize_leaves_its_input_alone() -> None:
    config = quick_config(optimize={"iterations": 12, "scales": 1})
    content = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(1))
    style = torch.zeros(3, 40, 40)
    style[0, ::4] = 1
    before = content.clone()
    picture = vidnst.stylize(content, style, config=config)
    assert picture.shape == (3, 48, 64)
    assert 0 <= picture.min() <= picture.max() <= 1
    assert torch.equal(content, before)
    assert not torch.allclose(picture, content, atol=0.02)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.full((3, 40, 40), 255.0), "content holds numbers from 255.0 to 255.0, outside [0, 1]; divide"),
        (torch.full((1, 3, 40, 40), -0.01), "content holds numbers from -0.01 to -0.01, outside [0, 1]"),
        (torch.full((3, 40, 40), torch.nan), "content holds numbers that are not finite"),
        (torch.full((3, 40, 40), torch.inf), "content holds numbers that are not finite"),
        (torch.zeros(40, 40, 3), "content has the shape (40, 40, 3), not (3, H, W) or (1, 3, H, W)"),
        (torch.zeros(2, 3, 40, 40), "content has the shape (2, 3, 40, 40), not (3, H, W)"),
        (torch.zeros(40, 40), "content has the shape (40, 40), not"),
        (torch.zeros(3, 0, 40), "content has the shape (3, 0, 40), not"),
        (torch.zeros(3, 40, 40, dtype=torch.uint8), "content is of torch.uint8, not a tensor of float32"),
        (np.zeros((3, 40, 40), np.float32), "content is of ndarray, not a tensor of float32"),
    ],
)
def test_stylize_refuses_what_is_no_picture(content: torch.Tensor, words: str) -> None:
    picture = torch.zeros(3, 40, 40)
    with pytest.raises(ConfigError) as refused:
        vidnst.stylize(content, picture, config={"model.weights": "random"})
    assert str(refused.value).startswith(words)
    with pytest.raises(ConfigError) as refused:
        vidnst.stylize(picture, [(picture, 1.0), (content, 2.0)], config={"model.weights": "random"})
    assert str(refused.value).startswith(words.replace("content", "style 1"))


SMALL = {"optimize.iterations": 1, "farm.executor": "inline", "model.backbone": "slim", "output.measure": False}


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "options", "is_shown"),
    [
        (_Screen, {}, True),
        (_Screen, {"progress": False}, False),
        (_Screen, {"on_event": print}, False),
        (io.StringIO, {}, False),
        (io.StringIO, {"progress": True}, True),
    ],
    ids=["terminal", "unwanted", "heard by a program", "log", "wanted in a log"],
)
def test_progress_is_shown_to_persons(
    stream: type[io.StringIO],
    options: dict[str, Any],
    is_shown: bool,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stderr", screen := stream())
    vidnst.render("clip.mp4", style="style.png", output="shown.mp4", config=SMALL, **options)
    assert ("frames" in screen.getvalue()) == is_shown
    assert ("RunStarted" in capsys.readouterr().out) == ("on_event" in options)


def test_notebooks_count_as_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not progress.is_watched()
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert progress.is_watched()


def test_docstring_names_all_presets() -> None:
    described = str(vidnst.render.__doc__)
    assert {preset for preset in vidnst.preset_names() if f"`{preset}`" not in described} == set()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"config": {"losses.style_wieght": 2}}, "unknown key losses.style_wieght; did you mean style_weight?"),
        ({"config": {"losses": {"style_weight": "much"}}}, "losses.style_weight = 'much': it should be a number;"),
        ({"config": "draft"}, "config = 'draft' is neither settings by key nor a RenderConfig"),
        ({"config": {3: 4}}, "the key 3 is no text"),
        ({"preset": "drafts"}, "unknown preset 'drafts'; did you mean draft?"),
        ({"preset": Path("draft.yaml")}, "did you mean draft?"),
        ({"style": 3}, "style 3 is no style"),
        ({"style": ["style.png", None]}, "style None is no style"),
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(options: dict[str, Any], words: str, project: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        vidnst.render("clip.mp4", output="out.mp4", **({"style": "style.png"} | options))
    assert words in str(refused.value)
    assert "pydantic" not in str(refused.value)


def test_wrong_farm_settings_name_the_key(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown key farm\.worker; did you mean workers\?"):
        vidnst.batch("jobs.yaml", farm={"worker": 3})
    with pytest.raises(ConfigError, match=r"unknown key farm\.worker; did you mean workers\?"):
        vidnst.resume("stopped.mp4", farm={"worker": 3})
