"""What a file holds, as data: streams of every kind, tags, chapters, colours; and files that are broken."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from support import media

from vidnst.errors import SourceError
from vidnst.media.input import container
from vidnst.media.input.container import read_container
from vidnst.media.input.stream_facts import AttachmentStream, StreamKind

SUBTITLES = "1\n00:00:00,000 --> 00:00:00,500\nHello\n"
CHAPTERS = (
    ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=First\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1000\ntitle=Second\n"
)


def write_everything(folder: Path) -> Path:
    """Write a Matroska file with a stream of every kind that it can hold."""
    (folder / "s.srt").write_text(SUBTITLES)
    (folder / "c.txt").write_text(CHAPTERS)
    (folder / "font.ttf").write_bytes(b"not a font" * 10)
    video = media.write_video(folder / "v.mkv", media.numbered_pictures(25), sound=("-c:a", "aac"))
    path = folder / "all.mkv"
    media.run_ffmpeg(
        "-i", video, "-i", folder / "s.srt", "-f", "ffmetadata", "-i", folder / "c.txt", "-map", "0", "-map", "1",
        "-map_chapters", "2", "-c", "copy", "-attach", folder / "font.ttf", "-metadata:s:t", "mimetype=font/ttf",
        "-metadata:s:a", "language=deu", "-metadata:s:a", "title=Ton", "-disposition:s:0", "forced",
        "-metadata", "artist=Somebody", "-metadata", "timecode=01:02:03:04", path,
    )  # fmt: skip
    return path


def test_all_kinds_of_streams_are_read(tmp_path: Path) -> None:
    info = read_container(write_everything(tmp_path))
    kinds = [stream.kind for stream in info.streams]
    assert kinds == [StreamKind.VIDEO, StreamKind.AUDIO, StreamKind.SUBTITLE, StreamKind.ATTACHMENT]
    sound, subtitle, font = info.streams[1:]
    assert (sound.language, sound.title, info.audio) == ("deu", "Ton", (sound,))
    assert (subtitle.codec, "forced" in subtitle.dispositions) == ("subrip", True)
    assert isinstance(font, AttachmentStream)
    assert (font.file_name, font.mime_type, font.size_bytes) == ("font.ttf", "font/ttf", 100)
    assert [(part.start_seconds, part.end_seconds, part.title) for part in info.chapters] == [
        (0, Fraction(1, 2), "First"),
        (Fraction(1, 2), 1, "Second"),
    ]
    assert info.metadata["ARTIST"] == "Somebody"
    assert info.timecode == "01:02:03:04"


def test_colours_and_depth_are_read(tmp_path: Path) -> None:
    params = "setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=tv"
    tags = ["-vf", params]
    deep = ("-c:v", "libx265", "-x265-params", "log-level=error", "-pix_fmt", "yuv420p10le", *tags)
    path = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(2), codec=deep)
    video = read_container(path).video
    assert (video.colour_matrix, video.colour_primaries, video.colour_transfer) == ("bt2020nc", "bt2020", "smpte2084")
    assert (video.bit_depth, video.has_alpha, video.is_interlaced, video.colour_range) == (10, False, False, "tv")


def test_light_levels_of_hdr_are_read(tmp_path: Path) -> None:
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    params = f"log-level=error:hdr10=1:master-display={display}:max-cll=1000,400"
    path = media.write_video(
        tmp_path / "a.mp4", media.numbered_pictures(2),
        codec=("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", params),
    )  # fmt: skip
    video = read_container(path).video
    assert video.content_light is not None
    assert (video.content_light.max_content, video.content_light.max_frame_average) == (1000, 400)
    assert video.mastering_display is not None
    assert video.mastering_display.max_luminance == 1000
    assert video.mastering_display.primaries is not None
    assert video.mastering_display.primaries[:2] == (Fraction(34, 50), Fraction(32, 100))


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.webm", ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p")), ("a.mov", ("-c:v", "qtrle", "-pix_fmt", "argb"))],
)
def test_alpha_is_seen(name: str, codec: tuple[str, ...], tmp_path: Path) -> None:
    path = media.write_video(tmp_path / name, media.numbered_pictures(2), codec=codec)
    assert read_container(path).video.has_alpha


def test_interlaced_frames_are_seen(tmp_path: Path) -> None:
    codec = ("-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-vf", "setfield=tff", "-q:v", "3")
    path = media.write_video(tmp_path / "a.mkv", media.numbered_pictures(4), codec=codec)
    video = read_container(path).video
    assert (video.is_interlaced, video.field_order in ("tt", "tb")) == (True, True)


@pytest.mark.parametrize("cut", ["no_index", "cut_index"])
def test_interrupted_recording_is_called_incomplete(cut: str, tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(5))
    data = path.read_bytes()
    index = data.index(b"moov") - 4
    path.write_bytes(data[:index] if cut == "no_index" else data[: index + 100])
    with pytest.raises(SourceError, match="is incomplete: its index is missing"):
        read_container(path)


def test_text_is_not_called_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("no video at all" * 50)
    with pytest.raises(SourceError, match="is not a video"):
        read_container(path)


@pytest.mark.parametrize("body", ["import os; os.abort()", "print('no json')", "import sys; sys.exit(3)"])
def test_reader_that_crashes_is_one_error(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = tmp_path / "reader.py"
    reader.write_text(body)
    monkeypatch.setattr(container, "_READER", reader)
    path = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(2))
    with pytest.raises(SourceError, match="cannot be read"):
        read_container(path)


def test_reader_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = tmp_path / "reader.py"
    reader.write_text("import time; time.sleep(600)")
    monkeypatch.setattr(container, "_READER", reader)
    monkeypatch.setattr(container, "_HEADER_SECONDS", 0.5)
    path = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(2))
    with pytest.raises(SourceError, match="cannot be read"):
        read_container(path)


def test_facts_that_make_no_sense_are_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = tmp_path / "reader.py"
    facts = {"main_video": 0, "first_frame": None, "streams": [{"index": "x"}]}
    reader.write_text(f"print({json.dumps(json.dumps(facts))})")
    monkeypatch.setattr(container, "_READER", reader)
    path = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(2))
    with pytest.raises(SourceError, match="makes no sense"):
        read_container(path)


def test_parent_does_not_load_pyav(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(2))
    script = (
        "import sys, pathlib\n"
        "from vidnst.media.input.container import read_container\n"
        f"read_container(pathlib.Path({str(path)!r}))\n"
        "assert 'av' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_tags_are_bounded(tmp_path: Path) -> None:
    video = media.write_video(tmp_path / "v.mkv", media.numbered_pictures(2))
    path = tmp_path / "a.mkv"
    media.run_ffmpeg("-i", video, "-c", "copy", "-metadata", "comment=" + "x" * 100_000, path)
    assert len(read_container(path).metadata["COMMENT"]) == 4000


def test_file_names_are_no_options_or_urls(tmp_path: Path) -> None:
    for name in ("-i.mp4", "a:b.mp4", "über %d.mp4"):
        path = media.write_video(tmp_path / "v.mp4", media.numbered_pictures(2)).rename(tmp_path / name)
        assert read_container(path).width == media.SIZE[0]


def test_pyav_is_new_enough() -> None:
    assert int(av.__version__.split(".")[0]) >= 18
