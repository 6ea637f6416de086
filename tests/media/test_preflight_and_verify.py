"""Everything that is wrong with an output is said before rendering, and with a remedy."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import media

from vidnst.config import OutputConfig
from vidnst.errors import ConfigError, EncoderError, OutputError
from vidnst.frames import ClipInfo
from vidnst.media import ffmpeg
from vidnst.media.input.probe import probe
from vidnst.media.output.formats import OutputKind, choose_format
from vidnst.media.output.preflight import check_output
from vidnst.media.output.verify import verify_output


@pytest.fixture
def clip(tmp_path: Path) -> ClipInfo:
    media.write_pictures(tmp_path / "source", media.numbered_pictures(3))
    return probe(tmp_path / "source")


@pytest.mark.parametrize(
    ("name", "codec", "kind"),
    [
        ("a.mp4", "h264", OutputKind.VIDEO),
        ("a.M4V", "h264", OutputKind.VIDEO),
        ("a.webm", "vp9", OutputKind.VIDEO),
        ("a.mov", "prores", OutputKind.VIDEO),
        ("a.mkv", "ffv1", OutputKind.VIDEO),
        ("a.gif", "gif", OutputKind.ANIMATION),
        ("a.webp", "webp", OutputKind.ANIMATION),
        ("a.apng", "apng", OutputKind.ANIMATION),
        ("frames", "png", OutputKind.FOLDER),
    ],
)
def test_the_suffix_chooses_the_format(name: str, codec: str, kind: OutputKind) -> None:
    target = choose_format(Path(name), OutputConfig(), frames=2, width=96, height=64)
    assert (target.codec, target.kind) == (codec, kind)


@pytest.mark.parametrize(
    ("name", "settings", "error", "words"),
    [
        ("a.avi", {}, OutputError, "does not determine a format"),
        ("a.png", {}, OutputError, "is one image, but there are several"),
        ("a.webm", {"codec": "h264"}, OutputError, "cannot hold h264"),
        ("a.mp4", {"codec": "ffv1"}, OutputError, r"end it with \.mkv"),
        ("a.mp4", {"codec": "png"}, OutputError, "need a folder"),
        ("a.mp4", {"quality": 60}, ConfigError, "above h264's maximum of 51"),
        ("a.mkv", {"quality": 20}, ConfigError, "no rate factor"),
        ("a.mp4", {"speed": "warp"}, ConfigError, "no preset 'warp'"),
        ("a.mp4", {"codec": "av1", "speed": "fast"}, ConfigError, "give a number"),
        ("a.gif", {"speed": "fast"}, ConfigError, "no presets"),
        ("a.mov", {"chroma": "420"}, ConfigError, "it has 422, 444"),
        ("a.gif", {"chroma": "420"}, ConfigError, "leave it out"),
        ("a.mkv", {"hardware": "nvenc"}, ConfigError, "nvenc has no encoder for ffv1"),
    ],
)
def test_incompatible_settings_are_refused(
    name: str, settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        choose_format(Path(name), OutputConfig(**settings), frames=2, width=96, height=64)


def test_odd_sides_need_full_chroma() -> None:
    assert choose_format(Path("a.mp4"), OutputConfig(), frames=2, width=95, height=64).pixel_format == "yuv444p"
    with pytest.raises(ConfigError, match="even sides"):
        choose_format(Path("a.mp4"), OutputConfig(chroma="420"), frames=2, width=95, height=64)


def test_an_existing_output_needs_overwrite(tmp_path: Path, clip: ClipInfo) -> None:
    output = tmp_path / "o.mp4"
    output.write_bytes(b"")
    with pytest.raises(OutputError, match="--overwrite"):
        check_output(output, OutputConfig(), clip=clip)
    check_output(output, OutputConfig(), clip=clip, overwrite=True)


def test_the_source_is_never_overwritten(tmp_path: Path) -> None:
    source = media.write_video(tmp_path / "s.mp4", media.numbered_pictures(2))
    (tmp_path / "link.mp4").symlink_to(source)
    for name in ("s.mp4", "link.mp4"):
        with pytest.raises(OutputError, match="is an input"):
            check_output(tmp_path / name, OutputConfig(), clip=probe(source), overwrite=True)


def test_existing_folder_is_refused(tmp_path: Path, clip: ClipInfo) -> None:
    (tmp_path / "o.mp4").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        check_output(tmp_path / "o.mp4", OutputConfig(), clip=clip, overwrite=True)
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "notes.txt").touch()
    with pytest.raises(OutputError, match="contains other files than frames"):
        check_output(tmp_path / "frames", OutputConfig(codec="png"), clip=clip, overwrite=True)
    with pytest.raises(OutputError, match=r"holds .*, which is an input"):
        check_output(tmp_path, OutputConfig(codec="png"), clip=clip, overwrite=True)


def test_a_missing_or_locked_folder_is_refused(tmp_path: Path, clip: ClipInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        check_output(tmp_path / "no" / "o.mp4", OutputConfig(), clip=clip)

    def locked(**_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    # Permissions do not stop the superuser, as whom tests often run.
    monkeypatch.setattr("vidnst.media.output.preflight.tempfile.TemporaryFile", locked)
    with pytest.raises(OutputError, match="Permission denied"):
        check_output(tmp_path / "o.mp4", OutputConfig(), clip=clip)


def test_checking_leaves_nothing_behind(tmp_path: Path, clip: ClipInfo) -> None:
    before = sorted(tmp_path.iterdir())
    check_output(tmp_path / "o.mp4", OutputConfig(), clip=clip)
    assert sorted(tmp_path.iterdir()) == before


def test_missing_encoder_is_named_with_alternatives(
    tmp_path: Path, clip: ClipInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg, "encoders", lambda: frozenset({"libx264", "aac"}))
    with pytest.raises(EncoderError, match=r"no encoder libx265; choose another codec; available are libx264\."):
        check_output(tmp_path / "o.mp4", OutputConfig(codec="h265"), clip=clip)


def test_a_missing_audio_encoder_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = media.write_video(tmp_path / "s.mov", media.numbered_pictures(2), sound=("-c:a", "pcm_s16le"))
    monkeypatch.setattr(ffmpeg, "encoders", lambda: frozenset({"libx264"}))
    with pytest.raises(EncoderError, match="no encoder aac"):
        check_output(tmp_path / "o.mp4", OutputConfig(), clip=probe(source))
    check_output(tmp_path / "o.mp4", OutputConfig(audio="none"), clip=probe(source))


def test_missing_hardware_is_detected_before_rendering(tmp_path: Path, clip: ClipInfo) -> None:
    settings = OutputConfig(hardware="amf")
    if "h264_amf" not in ffmpeg.encoders():
        pytest.skip("this ffmpeg is built without AMF")
    with pytest.raises(EncoderError, match="h264_amf does not work on this machine"):
        check_output(tmp_path / "o.mp4", settings, clip=clip)


def test_verification_detects_deviations(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "v.mp4", media.numbered_pictures(10), sound=("-c:a", "aac"))
    pts = tuple(Fraction(n, 25) for n in range(10))
    plan: dict[str, Any] = {
        "pts_seconds": pts,
        "last_duration_seconds": Fraction(1, 25),
        "size": (96, 64),
        "audio_streams": 1,
    }
    verify_output(path, **plan)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"pts_seconds": pts[:-1]}, "10 frames instead of 9"),
        ({"pts_seconds": (*pts[:5], pts[5] + Fraction(1, 100), *pts[6:])}, "frame 5 .* from its time"),
        ({"last_duration_seconds": Fraction(1, 100)}, "longer than planned"),
        ({"size": (96, 66)}, "96x64 pixels instead of 96x66"),
        ({"audio_streams": 2}, "1 audio streams instead of 2"),
    ]
    for change, words in wrong:
        with pytest.raises(OutputError, match=words):
            verify_output(path, **{**plan, **change})


def test_verification_refuses_undecodable_output(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "v.mp4", media.numbered_pictures(10), options=("-g", "1"))
    pts = tuple(Fraction(n, 25) for n in range(10))
    bad = media.damage_packets(path, tmp_path / "d.mp4", [4])
    with pytest.raises(OutputError, match=r"frame 4 .* does not decode"):
        verify_output(bad, pts_seconds=pts, last_duration_seconds=Fraction(1, 25), size=(96, 64))
    (tmp_path / "e.mp4").write_bytes(b"")
    with pytest.raises(OutputError, match="does not decode"):
        verify_output(tmp_path / "e.mp4", pts_seconds=pts, last_duration_seconds=Fraction(1, 25), size=(96, 64))


def test_size_above_encoder_limit_is_refused(tmp_path: Path) -> None:
    clip = probe(media.write_pictures(tmp_path / "wide", [np.zeros((2, 16_400, 3), np.uint8)] * 2))
    with pytest.raises(OutputError, match=r"16384 per side.*--size 16384"):
        check_output(tmp_path / "out.mp4", OutputConfig(), clip=clip)
    check_output(tmp_path / "out.mp4", OutputConfig(), clip=clip, size=(16_384, 2))
