"""The table names every difference between a source and its output, as independent readers find it."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from support import kept_media, media

from vidnst.frames import to_bits
from vidnst.media.images import write_image
from vidnst.media.output.fates import Fate, FateRow

SIZE = (64, 48)


def convert(source: Path, output: Path, **settings: Any) -> dict[str, FateRow]:
    frames = output.with_name(f"{output.name} finished")
    frames.mkdir()
    _, rows = kept_media.convert(source, output, frames, **settings)
    return {row.name: row for row in rows}


def labelled(folder: Path) -> Path:
    """A film whose tracks have languages, titles and marks."""
    sound = ("-c:a", "aac", "-b:a", "64k")
    flat = media.write_video(folder / "flat.mp4", media.numbered_pictures(3, SIZE), sound=sound)
    words = ["-i", flat, "-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy"]
    words += ["-metadata:s:v:0", "language=deu", "-metadata:s:v:0", "title=Main view", "-disposition:a:0", "comment"]
    words += ["-metadata:s:a:0", "language=eng", "-metadata:s:a:0", "title=Director", "-metadata:s:a:1", "language=fra"]
    media.run_ffmpeg(*words, "-disposition:a:1", "default+hearing_impaired", folder / "s.mkv")
    return folder / "s.mkv"


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("o.mp4", "", ""),
        ("o.mkv", "", ""),
        ("o.mov", "the mark comment is lost", "the mark hearing impaired is lost"),
        ("o.webm", "; the mark comment is lost", "; the mark hearing impaired is lost"),
    ],
)
def test_marks_of_sound_are_kept_or_named(name: str, first: str, second: str, tmp_path: Path) -> None:
    table = convert(labelled(tmp_path), tmp_path / name)
    with av.open(tmp_path / name) as container:
        found = container.streams.audio
        marks = [{flag.name for flag in type(part.disposition) if flag in part.disposition} for part in found]
    for number, (words, mark) in enumerate([(first, "comment"), (second, "hearing_impaired")]):
        row = table[f"audio track {number + 1}"]
        assert words in row.how
        assert (mark in marks[number]) == (not words)
        assert row.fate is (Fate.CHANGED if words or name == "o.webm" else Fate.KEPT)
    assert (table["video track"].value, table["video track"].fate) == ('deu, "Main view"', Fate.KEPT)


@pytest.mark.parametrize(("name", "kept"), [("o.mkv", True), ("o.webm", True), ("o.mp4", False), ("o.mov", False)])
def test_tags_of_tracks_are_kept_or_named(name: str, kept: bool, tmp_path: Path) -> None:
    words = ("-metadata:s:v:0", "director=Ann", "-metadata:s:a:0", "comment=room", "-metadata:s:a:0", "artist=Bo")
    media.run_ffmpeg("-i", labelled(tmp_path), "-map", "0", "-c", "copy", *words, tmp_path / "t.mkv")
    table = convert(tmp_path / "t.mkv", tmp_path / name)
    with av.open(tmp_path / name) as container:
        tracks = (container.streams.video[0], container.streams.audio[0])
        written = [{key.lower(): value for key, value in track.metadata.items()} for track in tracks]
    assert (written[0].get("director") == "Ann") == kept
    assert (written[1].get("comment") == "room" and written[1].get("artist") == "Bo") == kept
    assert ("the tag director is lost" in table["video track"].how) == (not kept)
    assert "director" in table["video track"].value
    assert ("the tag comment and the tag artist are lost" in table["audio track 1"].how) == (not kept)


@pytest.mark.parametrize("name", ["o.mov", "o.mp4", "o.mkv", "o.gif"])
def test_name_of_the_reel_is_kept_or_named(name: str, tmp_path: Path) -> None:
    options = ("-timecode", "01:00:00:00", "-metadata:s:v", "reel_name=A001")
    source = media.write_video(tmp_path / "s.mov", media.numbered_pictures(3, SIZE), options=options)
    row = convert(source, tmp_path / name)["reel"]
    with av.open(tmp_path / name) as container:
        found = [value for part in container.streams for key, value in part.metadata.items() if "reel" in key.lower()]
    assert (row.value, row.fate is Fate.KEPT) == ("A001", found == ["A001"])
    assert (row.fate is Fate.KEPT) == (name in ("o.mov", "o.mkv"))


def test_language_of_the_video_is_written_as_quicktime_has_it(tmp_path: Path) -> None:
    convert(labelled(tmp_path), tmp_path / "o.mov")
    with av.open(tmp_path / "o.mov") as container:
        assert container.streams.video[0].metadata["language"] == "ger"


def test_labels_of_an_animation_are_dropped(tmp_path: Path) -> None:
    table = convert(labelled(tmp_path), tmp_path / "o.gif")
    assert table["video track"].fate is Fate.DROPPED


def test_channels_and_rates_of_encoded_sound_are_named(tmp_path: Path) -> None:
    sound = "aevalsrc=0.1*sin(2*PI*300*t)|0|0:s=44100:d=0.3:c=3.0"
    flat = media.write_video(tmp_path / "f.mkv", media.numbered_pictures(6, SIZE), codec=media.FFV1)
    media.run_ffmpeg(
        "-i",
        flat,
        "-f",
        "lavfi",
        "-i",
        sound,
        "-map",
        "0",
        "-map",
        "1",
        "-c:v",
        "copy",
        "-c:a",
        "pcm_s16le",
        tmp_path / "s.mkv",
    )
    row = convert(tmp_path / "s.mkv", tmp_path / "o.webm")["audio track 1"]
    with av.open(tmp_path / "o.webm") as container:
        part = container.streams.audio[0]
        assert (part.codec_context.sample_rate, part.codec_context.channels) != (44100, 3)
        assert f"to {part.codec_context.channels} channels" in row.how
    assert "from 44100 to 48000 Hz" in row.how


@pytest.mark.parametrize(("name", "fate"), [("o.mp4", Fate.CHANGED), ("o.mkv", Fate.KEPT)])
def test_full_range_is_kept_or_named(name: str, fate: Fate, tmp_path: Path) -> None:
    source = media.write_video(tmp_path / "s.mp4", media.numbered_pictures(2, SIZE), matrix="bt709", full_range=True)
    row = convert(source, tmp_path / name)["colour range"]
    assert (row.value, row.fate) == ("full", fate)
    with av.open(tmp_path / name) as container:
        frame = next(container.decode(video=0))
    assert (int(frame.color_range) == 1) == (fate is Fate.CHANGED)  # 1 is limited
    limited = media.write_video(tmp_path / "t.mp4", media.numbered_pictures(2, SIZE))
    assert "colour range" not in convert(limited, tmp_path / f"limited{name}")


def test_palette_of_a_gif_is_named(tmp_path: Path) -> None:
    source = media.write_video(tmp_path / "s.mp4", media.numbered_pictures(2, SIZE))
    assert convert(source, tmp_path / "o.gif")["colours in a frame"].fate is Fate.CHANGED
    assert "colours in a frame" not in convert(source, tmp_path / "o.apng")


def write_animation(path: Path, loop: int | None) -> Path:
    frames = [Image.fromarray(picture) for picture in media.numbered_pictures(3, SIZE)]
    more = {} if loop is None else {"loop": loop}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, **more)
    return path


@pytest.mark.parametrize("suffix", ["gif", "webp", "apng"])
@pytest.mark.parametrize(("loop", "value", "written"), [(0, "for ever", 0), (None, "once", None), (2, "3 times", 2)])
def test_repetitions_are_kept(suffix: str, loop: int | None, value: str, written: int | None, tmp_path: Path) -> None:
    source = write_animation(tmp_path / "s.gif", loop)
    output = tmp_path / f"o.{suffix}"
    row = convert(source, output)["repetitions"]
    assert (row.value, row.fate) == (value, Fate.KEPT)
    plays = {0: 0, None: 1, 2: 3}[written]
    with Image.open(output) as image:
        assert image.n_frames == 3  # type: ignore[attr-defined]
        assert image.info.get("loop") == (written if suffix == "gif" else plays)


def test_repetitions_of_a_video_are_none(tmp_path: Path) -> None:
    source = write_animation(tmp_path / "s.gif", 0)
    row = convert(source, tmp_path / "o.mp4")["repetitions"]
    assert (row.fate, row.asked) == (Fate.DROPPED, True)
    assert convert(write_animation(tmp_path / "t.gif", None), tmp_path / "p.mp4")["repetitions"].fate is Fate.KEPT


@pytest.mark.parametrize(("name", "how"), [("o.mkv", "rounded to milliseconds"), ("o.webp", "rounded"), ("o.mp4", "")])
def test_rounded_times_are_named(name: str, how: str, tmp_path: Path) -> None:
    times = [Fraction(ticks, 90000) for ticks in (0, 3000, 7201, 12005, 15007)]
    source = media.write_video(tmp_path / "s.mp4", media.numbered_pictures(5, SIZE), pts_seconds=times)
    row = convert(source, tmp_path / name)["times"]
    assert how in row.how
    assert row.fate is (Fate.CHANGED if how else Fate.KEPT)
    if name != "o.webp":
        found = kept_media.read_features(tmp_path / name)["times"]
        assert isinstance(found, tuple)
        assert (found == tuple(times)) == (not how)


def test_what_png_files_tell_is_named(tmp_path: Path) -> None:
    told = PngImagePlugin.PngInfo()
    told.add_text("Software", "Camera")
    told.add(b"gAMA", (100_000).to_bytes(4, "big"))
    image = Image.fromarray(np.zeros((48, 64, 3), np.uint8))
    image.save(tmp_path / "s.png", pnginfo=told, dpi=(300, 300))
    table = convert(tmp_path / "s.png", tmp_path / "o.png")
    assert {name: row.fate for name, row in table.items() if name in ("text", "resolution", "gamma")} == {
        "text": Fate.DROPPED,
        "resolution": Fate.DROPPED,
        "gamma": Fate.CHANGED,
    }
    assert table["gamma"].value == "1"


def test_metadata_of_any_file_of_a_burst_is_named(tmp_path: Path) -> None:
    paths = media.write_pictures(tmp_path / "p", media.numbered_pictures(3, SIZE))
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    Image.open(paths[1]).save(paths[1], exif=exif)
    assert convert(tmp_path / "p", tmp_path / "o.mkv")["EXIF"].fate is Fate.DROPPED


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_deepest_file_of_a_burst_decides_its_bits(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    for number, bits in enumerate((8, 16, 8)):
        write_image(tmp_path / "p" / f"{number}.{suffix}", to_bits(media.numbered_picture(number), bits))
    clip, rows = kept_media.table(tmp_path / "p", tmp_path / "o.mp4")
    assert (clip.bit_depth, clip.stored_bits) == (16, 16)
    assert {row.name: row.fate for row in rows}["bit depth"] is Fate.CHANGED


def test_damaged_frames_are_named(tmp_path: Path) -> None:
    flat = media.write_video(tmp_path / "v.mp4", media.numbered_pictures(10), options=("-g", "1"))
    source = media.damage_packets(flat, tmp_path / "d.mp4", [4, 6])
    clip, rows = kept_media.table(source, tmp_path / "o.mp4")
    assert clip.bad_frames == (4, 6)
    [row] = [row for row in rows if row.name == "damaged frames"]
    assert (row.value, row.asked) == ("4, 6", True)
