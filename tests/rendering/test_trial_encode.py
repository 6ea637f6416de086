"""An encoder that would fail after the last frame fails before the first one is painted."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support import media
from support.batches import job_states
from support.renders import QUICK, quick_config, run_folder

import vidnst
from vidnst.config import OutputConfig
from vidnst.errors import EncoderError, OutputError
from vidnst.media import ffmpeg
from vidnst.media.input.probe import probe
from vidnst.media.output.encode import encode
from vidnst.media.output.preflight import check_output
from vidnst.media.output.trial_encode import try_encoder


def write_thin(folder: Path, count: int = 4) -> Path:
    """Write pictures of a size that ffmpeg's FFV1 encoder refuses, since it is to write four slices."""
    media.write_pictures(folder, [np.full((1, 40, 3), 9 * number, np.uint8) for number in range(count)])
    return folder


def render(source: Any, target: Path, **sections: Any) -> None:
    vidnst.render(source, style=(), output=target, config=quick_config(optimize={"iterations": 0}, **sections))


def test_a_failing_encoder_leaves_no_run_folder(tmp_path: Path) -> None:
    source = write_thin(tmp_path / "thin")
    with pytest.raises(EncoderError, match=r"^a\.mkv cannot be written, as a trial shows: ffv1 fails on 40x1 pixels"):
        render(source, tmp_path / "a.mkv")
    assert [path.name for path in tmp_path.iterdir()] == ["thin"]


def test_a_cropped_size_is_tried_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    monkeypatch.setattr("vidnst.rendering.run_setup.try_encoder", lambda *_, size, **__: sizes.append(size))
    frames = [media.photo(1, 120, 90)[at : at + 64, at : at + 96] for at in (0, 6, 2)]
    media.write_pictures(tmp_path / "in", frames)
    render(tmp_path / "in", tmp_path / "a.mkv", input={"registration": "ecc"})
    clip = probe(tmp_path / "a.mkv")
    assert sizes == [(96, 64), (clip.width, clip.height)]
    assert sizes[0] != sizes[1]


def test_a_batch_tries_each_encoder_before_painting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidnst.rendering.batch.run.CONTROL_SECONDS", 0.0)
    write_thin(tmp_path / "thin")
    media.write_burst(tmp_path / "clip", 3)
    media.write_style(tmp_path / "style.png")
    settings = QUICK | {"optimize": {"iterations": 0, "scales": 1}}
    entry = {"sources": ["thin", "clip"], "styles": ["style.png"]}
    defaults = {"set": settings, "folder": "out", "output": "{source}.mkv"}
    path = tmp_path / "jobs.yaml"
    path.write_text(json.dumps({"defaults": defaults, "jobs": [entry]}))
    assert vidnst.batch(path).failed == 1
    assert job_states(path) == {"thin.mkv": "failed", "clip.mkv": "done"}
    assert not run_folder(tmp_path / "out" / "thin.mkv").exists()


@pytest.mark.parametrize(
    ("name", "settings"),
    [("a.mp4", {"codec": "h265", "bits": 10, "quality": 31}), ("a.gif", {}), ("a.apng", {"bits": 16})],
)
def test_the_final_command_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, settings: dict[str, Any]
) -> None:
    source = media.write_pictures(tmp_path / "in", media.numbered_pictures(3))
    clip, config = probe(tmp_path / "in"), OutputConfig(**{"bits": 8} | settings)
    commands: list[list[str]] = []
    run = ffmpeg.run

    def note(args: Any, **options: Any) -> None:
        commands.append([word for word in map(str, args) if not word.startswith("file:")])
        run(args, **options)

    monkeypatch.setattr(ffmpeg, "run", note)
    try_encoder(tmp_path / name, config, clip=clip, start=0, end=3, size=media.SIZE)
    tried, commands[:] = list(commands), []
    encode(source, tmp_path / name, clip=clip, start=0, end=3, settings=config)
    assert tried == commands
    assert tried
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "in"]


def test_transparent_frames_are_tried_with_alpha(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media.write_pictures(tmp_path / "in", media.numbered_pictures(3))
    kept: list[tuple[bytes, ...]] = []

    def note(args: Any, *, feed: Any, **_: Any) -> None:
        kept.append(tuple(feed))
        Path(str(args[-1]).removeprefix("file:")).write_bytes(b"")

    monkeypatch.setattr(ffmpeg, "run", note)
    settings = OutputConfig(bits=8, alpha="keep")
    try_encoder(tmp_path / "a.mkv", settings, clip=probe(tmp_path / "in"), start=0, end=3, size=media.SIZE)
    planes = [cv2.imdecode(np.frombuffer(data, np.uint8), -1)[..., 3] for data in kept[0]]
    assert len(planes) == 3
    assert all((plane[0, 0], plane[0, -1]) == (0, 255) for plane in planes)


def test_a_picture_that_is_too_wide_is_refused(tmp_path: Path) -> None:
    picture = tmp_path / "in.png"
    media.write_picture(picture, np.zeros((2, 17000, 3), np.uint8))
    with pytest.raises(EncoderError, match="webp fails on 17000x2 pixels"):
        render(picture, tmp_path / "a.webp")
    with pytest.raises(EncoderError, match="webp fails on 17000x2 pixels"):
        render(picture, tmp_path / "a_%04d.webp")


@pytest.mark.parametrize("name", ["a.apng", "a.webp", "a.gif"])
def test_an_animation_of_one_shown_frame_is_written(tmp_path: Path, name: str) -> None:
    media.write_pictures(tmp_path / "in", media.numbered_pictures(2))
    render(tmp_path / "in", tmp_path / name, input={"fps": "200"})
    assert probe(tmp_path / name).frame_count == 1


@pytest.mark.parametrize("size", [(34, 60), (36, 36)])
def test_small_frames_do_not_crash_x265(tmp_path: Path, size: tuple[int, int]) -> None:
    media.write_pictures(tmp_path / "in", media.numbered_pictures(40, size))
    render(tmp_path / "in", tmp_path / "a.mp4", output={"codec": "h265", "bits": 10})
    assert probe(tmp_path / "a.mp4").frame_count == 40


@pytest.mark.parametrize("codec", ["h265", "av1"])
def test_sizes_that_no_encoder_takes_are_named(tmp_path: Path, codec: Any) -> None:
    media.write_pictures(tmp_path / "in", media.numbered_pictures(2, (64, 14)))
    with pytest.raises(OutputError, match=r"cannot have 64x14 pixels: lib.* needs 16 per side"):
        check_output(tmp_path / "a.mp4", OutputConfig(codec=codec), clip=probe(tmp_path / "in"))
