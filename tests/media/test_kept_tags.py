"""Tags that come along: colours that stay true, and Apple's keys."""

from collections.abc import Callable
from pathlib import Path

import av
import pytest
from support import media

from vidnst.media.input.container import read_container


def write_tagged(path: Path, matrix: str, primaries: str, transfer: str, codec: tuple[str, ...] = media.H264) -> Path:
    tags = f"colorspace={matrix}:color_primaries={primaries}:color_trc={transfer}:range=tv"
    scale = f"scale=out_color_matrix={matrix}:out_range=tv"
    return media.write_video(path, media.numbered_pictures(3), codec=(*codec, "-vf", f"{scale},setparams={tags}"))


@pytest.mark.parametrize("output", ["o.mp4", "o.mov", "o.webm"])
@pytest.mark.parametrize(
    "tags",
    [
        ("smpte170m", "bt709", "bt709"),
        ("bt709", "smpte432", "bt709"),
        ("bt709", "bt709", "iec61966-2-1"),
        ("bt470bg", "bt470bg", "smpte170m"),
    ],
)
def test_colour_tags_are_kept(output: str, tags: tuple[str, str, str], tmp_path: Path, transcode: Callable) -> None:
    trip = transcode(write_tagged(tmp_path / "a.mp4", *tags), output)
    found = read_container(trip.output).video
    assert (found.colour_matrix, found.colour_primaries, found.colour_transfer) == tags


def test_primaries_are_kept_in_lossless_rgb(tmp_path: Path, transcode: Callable) -> None:
    trip = transcode(write_tagged(tmp_path / "a.mp4", "bt709", "smpte432", "bt709"), "o.mkv")
    found = read_container(trip.output).video
    assert (found.colour_primaries, found.colour_transfer) == ("smpte432", "bt709")


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_transfer_of_hdr_is_not_claimed_of_sdr(transfer: str, tmp_path: Path, transcode: Callable) -> None:
    trip = transcode(write_tagged(tmp_path / "a.mp4", "bt709", "bt2020", transfer), "o.mp4")
    found = read_container(trip.output).video
    assert (found.colour_primaries, found.colour_transfer) == ("bt709", "bt709")


def test_untagged_source_gets_the_usual_tags(tmp_path: Path, transcode: Callable) -> None:
    trip = transcode(media.write_video(tmp_path / "a.mp4", media.numbered_pictures(2)), "o.mp4")
    found = read_container(trip.output).video
    assert (found.colour_matrix, found.colour_primaries, found.colour_transfer) == ("smpte170m",) * 3


APPLE = {
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "iPhone 15 Pro",
    "com.apple.quicktime.location.ISO6709": "+48.1374+011.5755+520.000/",
    "com.apple.quicktime.creationdate": "2024-05-04T10:11:12+0200",
}


@pytest.mark.parametrize("output", ["o.mov", "o.mp4", "o.m4v", "o.mkv"])
def test_apples_keys_are_kept(output: str, tmp_path: Path, transcode: Callable) -> None:
    keys = [word for key, value in APPLE.items() for word in ("-metadata", f"{key}={value}")]
    options = ["-movflags", "use_metadata_tags", *keys, "-metadata", "title=A title"]
    path = media.write_video(tmp_path / "a.mov", media.numbered_pictures(3), options=options)
    trip = transcode(path, output)
    with av.open(str(trip.output)) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
    assert {key: found.get(key.lower()) for key in APPLE} == APPLE
    assert found["title"] == "A title"
    data = trip.output.read_bytes()
    if not output.endswith("mkv"):
        assert data.index(b"moov") < data.index(b"mdat")


def test_usual_tags_stay_where_players_look(tmp_path: Path, transcode: Callable) -> None:
    options = ["-metadata", "title=A title"]
    trip = transcode(media.write_video(tmp_path / "a.mp4", media.numbered_pictures(2), options=options), "o.mp4")
    assert b"\xa9nam" in trip.output.read_bytes()
