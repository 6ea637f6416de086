"""Sound that cannot be decoded: copied where it can be, else dropped and named before anything is painted."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import media

from vidnst.config import OutputConfig
from vidnst.media.input.container import read_container
from vidnst.media.input.probe import probe
from vidnst.media.output.preflight import check_output


def write_two_tracks(path: Path, *, sound: tuple[str, ...] = ("-c:a", "aac")) -> Path:
    media.run_ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=1", "-f", "lavfi", "-i", "sine=440:sample_rate=48000:d=1",
        "-f", "lavfi", "-i", "sine=880:sample_rate=48000:d=1", "-map", "0", "-map", "1", "-map", "2",
        *media.H264, *sound, path,
    )  # fmt: skip
    return path


def make_spatial(path: Path, *, track: int) -> Path:
    """Make a track of AAC look like Apple's spatial audio: codec tag apac, and no description of AAC."""
    data = bytearray(path.read_bytes())
    at = data.index(b"smhd")
    for _ in range(track):
        at = data.index(b"smhd", at + 4)
    at = data.index(b"mp4a", data.index(b"stsd", at))
    data[at : at + 4] = b"apac"
    at = data.index(b"esds", at)
    data[at : at + 4] = b"dapa"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("output", ["o.mov", "o.mp4", "o.mkv", "o.webm"])
@pytest.mark.parametrize("track", [0, 1])
def test_track_of_unknown_codec_is_dropped_and_named(
    output: str, track: int, tmp_path: Path, transcode: Callable
) -> None:
    path = make_spatial(write_two_tracks(tmp_path / "a.mp4"), track=track)
    notes = check_output(tmp_path / output, OutputConfig(), clip=probe(path))
    assert [note.split(" is dropped")[0] for note in notes] == [
        f"audio track {track + 1} of a.mp4 (a codec that is not known)"
    ]
    assert len(read_container(transcode(path, output).output).audio) == 1


def test_only_sound_of_unknown_codec_leaves_the_pictures(tmp_path: Path, transcode: Callable) -> None:
    video = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(25), sound=("-c:a", "aac"))
    make_spatial(video, track=0)
    trip = transcode(video, "o.mov")
    assert read_container(trip.output).audio == ()
    assert probe(trip.output).frame_count == 25


def test_sound_that_does_not_decode_is_dropped_if_encoded(tmp_path: Path, transcode: Callable) -> None:
    path = write_two_tracks(tmp_path / "a.mov", sound=("-c:a", "alac"))
    data = bytearray(path.read_bytes())
    at = data.index(b"alac", data.index(b"alac", data.index(b"stsd")) + 4)
    data[at + 4 : at + 32] = b"\xff" * 28  # the decoder's configuration of the first track
    path.write_bytes(data)
    notes = check_output(tmp_path / "o.webm", OutputConfig(), clip=probe(path))
    assert len(notes) == 1
    assert "audio track 1" in notes[0]
    assert len(read_container(transcode(path, "o.webm").output).audio) == 1


def test_sound_without_decoder_is_copied(tmp_path: Path, transcode: Callable) -> None:
    path = write_two_tracks(tmp_path / "a.mkv", sound=("-c:a", "ac3"))
    assert check_output(tmp_path / "o.mkv", OutputConfig(), clip=probe(path)) == ()
    assert [stream.codec for stream in read_container(transcode(path, "o.mkv").output).audio] == ["ac3", "ac3"]
