"""The package as a program uses it: what it exports, and the examples in its docstrings."""

import ast
import doctest
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.media import numbered_pictures, write_style, write_video
from support.renders import quick_config, stop_after

import vidnst
from vidnst import api
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
