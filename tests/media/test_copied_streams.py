"""Subtitles, chapters, attachments, cover art and data of a source come along, cut to the rendered range.

Outputs are read with PyAV alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import pytest
from support import media

from vidnst.config import OutputConfig
from vidnst.frames import ClipInfo
from vidnst.media.input.probe import probe
from vidnst.media.input.stream_facts import Chapter, StreamInfo, StreamKind
from vidnst.media.output.chapters import chapters_input, cut_chapters
from vidnst.media.output.fates import Fate
from vidnst.media.output.kept_streams import StreamDecision
from vidnst.media.output.output_fates import find_fates
from vidnst.media.output.resolved_output import ResolvedOutput
from vidnst.media.output.stream_copy import CopiedRange

FRAMES, RATE = 100, 25
SRT = """1
00:00:00,200 --> 00:00:01,400
<i>one</i>

2
00:00:01,500 --> 00:00:02,800
two

3
00:00:03,000 --> 00:00:04,000
three
"""
CHAPTERS = """;FFMETADATA1
title=Film
[CHAPTER]
TIMEBASE=1/1000
START=0
END=2000
title=A = B; C
[CHAPTER]
TIMEBASE=1/1000
START=2000
END=4000
title=last
"""


@dataclass(frozen=True)
class Cue:
    """A subtitle as it is shown."""

    start: float
    end: float
    text: str


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Matroska file with two subtitles, two chapters, a font and a cover."""
    folder = tmp_path_factory.mktemp("copied")
    path = media.write_video(folder / "v.mp4", media.numbered_pictures(FRAMES, (64, 48)), rate=RATE)
    (folder / "s.srt").write_text(SRT)
    (folder / "m.txt").write_text(CHAPTERS)
    (folder / "f.ttf").write_bytes(b"font" * 100)
    media.run_ffmpeg("-f", "lavfi", "-i", "color=red:size=32x32", "-frames:v", "1", folder / "c.jpg")
    out = folder / "s.mkv"
    words = ["-i", path, "-i", folder / "s.srt", "-i", folder / "m.txt", "-map", "0", "-map", "1", "-map", "1"]
    words += ["-map_metadata", "2", "-map_chapters", "2", "-c:v", "copy", "-c:s:0", "srt", "-c:s:1", "ass"]
    words += ["-metadata:s:s:0", "language=eng", "-metadata:s:s:0", "title=Full", "-metadata:s:s:1", "language=deu"]
    words += ["-disposition:s:1", "forced", "-attach", folder / "f.ttf", "-metadata:s:t:0", "mimetype=font/ttf"]
    words += ["-attach", folder / "c.jpg", "-metadata:s:t:1", "mimetype=image/jpeg"]
    media.run_ffmpeg(*words, "-metadata:s:t:1", "filename=cover.jpg", out)
    return out


@pytest.fixture(scope="session")
def clip(source: Path) -> ClipInfo:
    return probe(source)


def read_cues(path: Path, number: int = 0) -> list[Cue]:
    cues = []
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[number]
        is_mov = stream.codec_context.name == "mov_text"
        for packet in container.demux(stream):
            data = bytes(packet)
            if is_mov and len(data) > 2:
                data = data[2 : 2 + int.from_bytes(data[:2], "big")]
            elif is_mov:
                data = b""
            if data and packet.pts is not None:
                start = float(packet.pts * packet.time_base)
                text = data.decode().rpartition(",")[2].replace("<i>", "").replace("</i>", "")
                cues.append(Cue(round(start, 2), round(start + float(packet.duration * packet.time_base), 2), text))
    return cues


def read_chapters(path: Path) -> list[tuple[float, float, str]]:
    with av.open(str(path)) as container:
        return [
            (
                round(float(c["start"] * c["time_base"]), 2),
                round(float(c["end"] * c["time_base"]), 2),
                c["metadata"]["title"],
            )
            for c in container.chapters()
        ]


@pytest.mark.parametrize("name", ["o.mkv", "o.mp4", "o.m4v", "o.mov", "o.webm"])
def test_range_cuts_subtitles_and_chapters(name: str, clip: ClipInfo, transcode: Callable) -> None:
    trip = transcode(clip, name, start=25, end=60)  # 1.0 to 2.4 s
    assert read_cues(trip.output) == [Cue(0, 0.4, "one"), Cue(0.5, 1.4, "two")]
    assert [cue.text for cue in read_cues(trip.output, 1)] == ["one", "two"] or name == "o.mkv"
    assert read_chapters(trip.output) == [(0, 1, "A = B; C"), (1, 1.4, "last")]


def test_late_range_has_no_chapter_before_it(clip: ClipInfo, transcode: Callable) -> None:
    trip = transcode(clip, "o.mp4", start=55)
    assert read_chapters(trip.output) == [(0, 1.8, "last")]
    assert read_cues(trip.output) == [Cue(0, 0.6, "two"), Cue(0.8, 1.8, "three")]


def test_matroska_keeps_everything(source: Path, clip: ClipInfo, transcode: Callable) -> None:
    output = transcode(clip, "o.mkv", end=10).output
    with av.open(str(source)) as before, av.open(str(output)) as after:
        assert before.metadata["title"] == after.metadata["title"] == "Film"
        for container in (before, after):
            subtitles = container.streams.subtitles
            assert [stream.codec_context.name for stream in subtitles] == ["srt", "ssa"]
            assert [stream.metadata["language"] for stream in subtitles] == ["eng", "deu"]
            assert subtitles[0].metadata["title"] == "Full"
            assert subtitles[1].disposition & av.stream.Disposition.forced
            fonts = [stream for stream in container.streams if stream.type == "attachment"]
            assert [stream.metadata["mimetype"] for stream in fonts] == ["font/ttf"]
            covers = [s for s in container.streams.video if s.disposition & av.stream.Disposition.attached_pic]
            assert [stream.codec_context.width for stream in covers] == [32]


def test_mp4_keeps_the_cover(clip: ClipInfo, transcode: Callable) -> None:
    output = transcode(clip, "o.mp4", start=5, end=10).output
    with av.open(str(output)) as container:
        video = container.streams.video
        assert [bool(stream.disposition & av.stream.Disposition.attached_pic) for stream in video] == [False, True]
        assert container.streams.subtitles[1].metadata["language"] == "deu"


def test_quicktime_gets_the_language_in_its_own_code(clip: ClipInfo, transcode: Callable) -> None:
    with av.open(str(transcode(clip, "o.mov", end=10).output)) as container:
        assert [stream.metadata["language"] for stream in container.streams.subtitles] == ["eng", "ger"]


@pytest.mark.parametrize(("name", "language"), [("o.mov", "ger"), ("o.mp4", "deu"), ("o.mkv", "deu")])
def test_sound_keeps_language_and_title(name: str, language: str, tmp_path: Path, transcode: Callable) -> None:
    flat = media.write_video(tmp_path / "v.mp4", media.numbered_pictures(4), sound=("-c:a", "aac"))
    source = tmp_path / "s.mp4"
    tags = ("-metadata:s:a:0", "language=deu", "-metadata:s:a:0", "title=Kommentar")
    media.run_ffmpeg("-i", flat, "-c", "copy", *tags, source)
    with av.open(str(transcode(source, name).output)) as container:
        found = container.streams.audio[0].metadata
        assert found["language"] == language
        assert "Kommentar" in (found.get("title"), found.get("name"))


def fates(clip: ClipInfo, name: str, **settings: object) -> dict[str, tuple[Fate, str]]:
    config = OutputConfig.model_validate(settings)
    resolved = ResolvedOutput(config, config)
    rows = find_fates(Path(name), resolved, clip, start=0, end=clip.frame_count, size=(clip.width, clip.height))
    return {row.name: (row.fate, row.how) for row in rows}


def test_what_a_container_lacks_is_named(clip: ClipInfo) -> None:
    found = fates(clip, "o.mov")
    assert found["subtitles 1"] == (Fate.CHANGED, "converted to mov_text")
    assert "styling is lost" in found["subtitles 2"][1]
    assert "the mark forced is lost" in found["subtitles 2"][1]
    assert found["attachment 1"][0] is Fate.DROPPED
    assert found["cover art 1"][0] is Fate.DROPPED
    assert found["chapters"][0] is Fate.KEPT


def test_pictures_hold_no_streams(clip: ClipInfo) -> None:
    found = fates(clip, "frames")
    names = ("subtitles 1", "subtitles 2", "attachment 1", "cover art 1", "chapters", "tags")
    assert all(found[name][0] is Fate.DROPPED for name in names)


def test_second_video_track_is_named(tmp_path: Path) -> None:
    one = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(4))
    both = tmp_path / "b.mp4"
    media.run_ffmpeg("-i", one, "-i", one, "-map", "0", "-map", "1", "-c", "copy", both)
    assert fates(probe(both), "o.mkv")["further video track 1"][0] is Fate.DROPPED


def test_refused_stream_is_dropped_and_the_rest_kept(
    tmp_path: Path, clip: ClipInfo, transcode: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidnst.media.output import kept_streams

    def copy_all(stream: StreamInfo, target: object) -> StreamDecision:
        copied = stream.kind is StreamKind.SUBTITLE
        encoder = ("copy" if stream.codec == "ass" else "mov_text") if copied else ""
        return StreamDecision(stream, Fate.KEPT if copied else Fate.DROPPED, encoder)

    monkeypatch.setattr(kept_streams, "_decide", copy_all)  # MP4 cannot hold ASS
    found = fates(clip, "o.mp4")
    assert found["subtitles 1"][0] is Fate.KEPT
    assert found["subtitles 2"][0] is Fate.DROPPED
    assert "ffmpeg cannot write it" in found["subtitles 2"][1]
    assert read_cues(transcode(clip, "o.mp4", end=40).output) == [Cue(0.2, 1.4, "one"), Cue(1.5, 1.6, "two")]


def test_titles_of_chapters_survive_special_letters(tmp_path: Path) -> None:
    title = "a=b;c#d\\e\nf"
    words = chapters_input([Chapter(Fraction(0), Fraction(1), title)], tmp_path / "c.txt")
    media.run_ffmpeg(
        "-f", "lavfi", "-i", "color=size=16x16:duration=1", *words, "-map_chapters", "1", tmp_path / "o.mkv"
    )
    assert read_chapters(tmp_path / "o.mkv") == [(0, 1, title)]


def test_chapters_outside_the_range_are_left_out() -> None:
    chapters = [Chapter(Fraction(at), Fraction(at + 1), str(at)) for at in range(4)]
    cut = cut_chapters(chapters, CopiedRange(Fraction(3, 2), Fraction(5, 2), Fraction(1, 4)))
    assert [(c.start_seconds, c.end_seconds, c.title) for c in cut] == [
        (Fraction(1, 4), Fraction(3, 4), "1"),
        (Fraction(3, 4), Fraction(5, 4), "2"),
    ]
