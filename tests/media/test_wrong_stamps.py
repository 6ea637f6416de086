"""Time stamps that are repeated or go backward: the good ones stay, the wrong ones are repaired and named."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from support import media

from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe
from vidnst.media.input.stamp_repair import repair_stamps

PTS = (0, 100, 200, 240, 350, 700, 733, 800, 900, 1000)
SECONDS = tuple(Fraction(ms, 1000) for ms in PTS)


def write_matroska(path: Path, wrong: dict[int, int]) -> Path:
    """Write ten frames at uneven times, and overwrite the milliseconds of some of them."""
    media.write_video(path, media.numbered_pictures(10), pts_seconds=SECONDS, codec=("-c:v", "mjpeg", "-q:v", "2"))
    data = bytearray(path.read_bytes())
    positions = media.packet_positions(path)
    for frame, ms in wrong.items():
        offset = positions[frame][0]  # a SimpleBlock's track, time and flags are the four bytes before
        assert struct.unpack(">h", data[offset - 3 : offset - 1]) == (PTS[frame],)
        data[offset - 3 : offset - 1] = struct.pack(">h", ms)
    path.write_bytes(data)
    return path


def assert_repaired(path: Path, wanted: dict[int, Fraction], *, tolerance: Fraction = Fraction(0)) -> None:
    clip = probe(path)
    assert clip.frame_count == 10
    assert clip.variable_rate
    for index, (found, at) in enumerate(zip(clip.pts_seconds, SECONDS, strict=True)):
        assert abs(found - clip.pts_seconds[0] - wanted.get(index, at)) <= tolerance, index
    assert [media.read_index(frame.pixels) for frame in FrameReader(clip)] == list(range(10))
    assert [media.read_index(frame.pixels) for frame in FrameReader(clip, start=4, end=7)] == [4, 5, 6]
    (note,) = clip.notes
    assert f"{len(wanted)} time stamp" in note
    assert f"frame {min(wanted)}" in note


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        ({4: 240}, {4: Fraction(470, 1000)}),  # repeated
        ({5: 300}, {5: Fraction(5415, 10000)}),  # backward
        ({3: 5000}, {3: Fraction(275, 1000)}),  # far ahead
        ({4: 240, 5: 240}, {4: Fraction(240) / 1000 + Fraction(493, 3000), 5: Fraction(240 * 3 + 986, 3000)}),
    ],
)
def test_wrong_stamps_in_matroska_are_repaired(
    wrong: dict[int, int], wanted: dict[int, Fraction], tmp_path: Path
) -> None:
    assert_repaired(write_matroska(tmp_path / "a.mkv", wrong), wanted)


def test_repeated_stamp_in_mp4_is_repaired(tmp_path: Path) -> None:
    codec = (*media.H264, "-bf", "0", "-video_track_timescale", "1000")
    path = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(10), pts_seconds=SECONDS, codec=codec)
    data = bytearray(path.read_bytes())
    at = data.index(b"stts") + 12
    entries = [list(struct.unpack_from(">II", data, at + 8 * number)) for number in range(8)]
    assert entries[2] == [1, 110]
    entries[2][1], entries[3][1] = 0, 350 + 110  # frame 4 at the time of frame 3; the others stay
    for number, entry in enumerate(entries):
        struct.pack_into(">II", data, at + 8 * number, *entry)
    path.write_bytes(data)
    assert_repaired(path, {4: Fraction(470, 1000)})


def test_repeated_stamp_in_a_recording_is_named(tmp_path: Path) -> None:
    codec = ("-c:v", "libx264", "-bf", "0", "-g", "10")
    path = media.write_video(tmp_path / "a.ts", media.numbered_pictures(10), rate=10, codec=codec)
    assert probe(path).notes == ()
    data = bytearray(path.read_bytes())
    places = [at + 9 for at in range(len(data)) if data[at : at + 4] == b"\0\0\1\xe0" and data[at + 7] & 0x80]
    assert len(places) == 10
    data[places[5] : places[5] + 5] = data[places[4] : places[4] + 5]
    path.write_bytes(data)
    clip = probe(path)
    assert [round((at - clip.pts_seconds[0]) * 1000) for at in clip.pts_seconds] == list(range(0, 1000, 100))
    assert [note.split(";")[0] for note in clip.notes] == ["1 time stamp of a.ts is repeated or out of order (frame 5)"]


def test_wrong_composition_offset_in_mp4_is_repaired(tmp_path: Path) -> None:
    codec = ("-c:v", "libx264", "-bf", "2", "-video_track_timescale", "1000", "-crf", "12")
    path = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(10), pts_seconds=SECONDS, codec=codec)
    good = probe(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"ctts") + 12
    count = struct.unpack_from(">I", data, at - 4)[0]
    singles = [n for n in range(1, count) if struct.unpack_from(">I", data, at + 8 * n)[0] == 1]
    entry = at + 8 * singles[2] + 4
    struct.pack_into(">I", data, entry, struct.unpack_from(">I", data, entry)[0] + 150)
    path.write_bytes(data)
    clip = probe(path)
    kept = sum(a == b for a, b in zip(clip.pts_seconds, good.pts_seconds, strict=False))
    assert clip.frame_count == good.frame_count
    assert kept >= clip.frame_count - 2
    assert all(b > a for a, b in zip(clip.pts_seconds, clip.pts_seconds[1:], strict=False))


def test_repaired_source_is_rendered(tmp_path: Path, transcode: Callable) -> None:
    trip = transcode(write_matroska(tmp_path / "a.mkv", {4: 240}), "o.mkv")
    found = probe(trip.output)
    assert [round(at * 1000) for at in found.pts_seconds] == [0, 100, 200, 240, 470, 700, 733, 800, 900, 1000]


def test_clean_stamps_have_no_note(tmp_path: Path) -> None:
    clip = probe(write_matroska(tmp_path / "a.mkv", {}))
    assert clip.pts_seconds == SECONDS
    assert (clip.notes, clip.decoder_seconds) == ((), ())


@pytest.mark.parametrize(
    ("stamps", "repaired"),
    [
        ([0, 40, 80, 60, 160], [0, 40, 80, 120, 160]),
        ([0, 40, 130, 120, 160], [0, 40, 80, 120, 160]),
        ([50, 40, 80, 120, 160], [0, 40, 80, 120, 160]),
        ([0, 40, 80, 120, 100], [0, 40, 80, 120, 160]),
        ([0, 40, None, 120, 160], [0, 40, 80, 120, 160]),
    ],
)
def test_most_even_repair_wins(stamps: list[int | None], repaired: list[int]) -> None:
    found = repair_stamps(stamps)
    assert found is not None
    assert found[0] == repaired
    assert len(found[1]) == 1


def test_mostly_wrong_stamps_are_not_repaired() -> None:
    assert repair_stamps([0, 0, 0, 0, 40]) is None
