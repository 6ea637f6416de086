"""What goes in comes out: transcodes of generated clips, compared with their sources."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from support import media

from vidnst.config import OutputConfig
from vidnst.errors import CancelledError, OutputError
from vidnst.frames import ClipInfo, to_bits
from vidnst.media import images
from vidnst.media.input.capture import as_shown
from vidnst.media.input.container import read_container
from vidnst.media.input.frame_reader import FrameReader, fit_size
from vidnst.media.input.packet_times import read_packet_times
from vidnst.media.input.probe import probe
from vidnst.media.output.encode import encode
from vidnst.media.output.formats import choose_format

NTSC = Fraction(30000, 1001)
FILM = Fraction(24000, 1001)
MS = Fraction(1, 1000)

VIDEO = ["a.mp4", "a.mov", "a.mkv", "a.webm"]


def assert_same_times(found: ClipInfo, wanted: ClipInfo, start: int = 0, end: int | None = None) -> None:
    stop = wanted.frame_count if end is None else end
    assert found.frame_count == stop - start
    for index in range(found.frame_count):
        at = wanted.pts_seconds[start + index] - wanted.pts_seconds[start]
        assert abs(found.pts_seconds[index] - found.pts_seconds[0] - at) <= MS
    assert abs(found.last_duration_seconds - wanted.frame_duration_seconds(stop - 1)) <= MS


def assert_same_pictures(found: ClipInfo, wanted: ClipInfo, start: int = 0) -> None:
    source = FrameReader(wanted, start=start)
    for frame in FrameReader(found):
        original = source.read(start + frame.index).pixels
        assert frame.pixels.shape == original.shape
        assert media.read_index(frame.pixels) == media.read_index(original)
        assert media.is_upright(frame.pixels)
        difference = to_bits(frame.pixels, 8).astype(float) - to_bits(original, 8)
        assert np.abs(difference.mean(axis=(0, 1))).max() < 2


@pytest.mark.parametrize("rate", [NTSC, FILM])
@pytest.mark.parametrize("name", VIDEO)
def test_constant_rates_stay_exact(tmp_path: Path, transcode: Callable, rate: Fraction, name: str) -> None:
    trip = transcode(media.write_video(tmp_path / "s.mp4", media.numbered_pictures(12), rate=rate), name)
    found = probe(trip.output)
    assert found.rate == rate
    assert_same_times(found, trip.clip)
    assert_same_pictures(found, trip.clip)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("h264.mp4", {}),
        ("h265.mp4", {"codec": "h265", "speed": "ultrafast"}),
        ("av1.mp4", {"codec": "av1", "speed": "12"}),
        ("vp9.webm", {}),
        ("prores.mov", {}),
        ("ffv1.mkv", {}),
        ("h264.mkv", {"codec": "h264"}),
    ],
)
def test_variable_rate_keeps_times_and_durations(
    tmp_path: Path, transcode: Callable, name: str, settings: dict[str, str]
) -> None:
    source = media.write_video(tmp_path / "v.mkv", media.numbered_pictures(8), pts_seconds=media.UNEVEN_PTS)
    clip = probe(source)
    trip = transcode(clip, name, **settings)
    found = probe(trip.output)
    assert found.variable_rate
    assert_same_times(found, clip)
    assert_same_pictures(found, clip)


def test_range_of_variable_rate_keeps_last_duration(tmp_path: Path, transcode: Callable) -> None:
    source = media.write_video(tmp_path / "v.mp4", media.numbered_pictures(8), pts_seconds=media.UNEVEN_PTS)
    trip = transcode(source, "span.mp4", start=1, end=5)
    found = probe(trip.output)
    assert_same_times(found, trip.clip, 1, 5)
    assert found.last_duration_seconds == Fraction(350, 1000)
    assert_same_pictures(found, trip.clip, 1)


@pytest.mark.parametrize("degrees", [90, 180])
def test_rotation_is_applied_once(tmp_path: Path, transcode: Callable, degrees: int) -> None:
    stored = [np.ascontiguousarray(np.rot90(frame, -degrees // 90)) for frame in media.numbered_pictures(6)]
    flat = media.write_video(tmp_path / "flat.mp4", stored)
    trip = transcode(media.rotate_video(flat, tmp_path / "turned.mp4", degrees), "upright.mp4")
    found = probe(trip.output)
    assert found.rotation_degrees == 0
    assert (found.width, found.height) == media.SIZE
    assert_same_pictures(found, trip.clip)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", {}),
        ("b.mp4", {"codec": "h265", "speed": "ultrafast"}),
        ("c.mp4", {"codec": "av1", "speed": "12"}),
        ("d.webm", {}),
        ("e.mov", {}),
        ("f.mkv", {}),
        ("g.gif", {}),
        ("h.apng", {}),
    ],
)
def test_odd_sizes_are_never_resized(tmp_path: Path, transcode: Callable, name: str, settings: dict[str, str]) -> None:
    source = media.write_video(tmp_path / "o.mkv", media.numbered_pictures(5, (111, 67)), codec=media.FFV1)
    trip = transcode(source, name, **settings)
    found = probe(trip.output)
    assert (found.width, found.height) == (111, 67)
    assert_same_pictures(found, trip.clip)
    last = to_bits(FrameReader(found).read(4).pixels, 8).astype(float)
    edge = np.abs(last[:, -1] - media.numbered_picture(4, (111, 67))[:, -1]).mean()
    assert edge < 12, "the last column is spoilt"


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m"])
@pytest.mark.parametrize("full_range", [False, True])
def test_colours_are_tagged_and_read_back(tmp_path: Path, transcode: Callable, matrix: str, full_range: bool) -> None:
    source = media.write_video(tmp_path / "s.mp4", media.numbered_pictures(4), matrix=matrix, full_range=full_range)
    trip = transcode(source, "o.mp4")
    found = probe(trip.output)
    assert (found.colour_matrix, found.colour_range) == (matrix, "tv")
    assert_same_pictures(found, trip.clip)
    # ffmpeg by itself must see the same colours, but for the level or so by which each quick conversion is too dark.
    exact = ("-vf", "scale=flags=accurate_rnd+full_chroma_int", "-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1")
    raw = media.run_ffmpeg("-i", trip.output, "-frames:v", "1", *exact)
    pixels = np.frombuffer(raw, np.uint8).reshape(64, 96, 3)
    assert np.abs((pixels.astype(float) - media.numbered_picture(0)).mean(axis=(0, 1))).max() < 2


@pytest.mark.parametrize(("height", "matrix"), [(64, "smpte170m"), (576, "bt709")])
def test_untagged_sources_get_default_matrix_for_size(
    tmp_path: Path, transcode: Callable, height: int, matrix: str
) -> None:
    source = media.write_video(tmp_path / "s.mp4", media.numbered_pictures(2, (96, height)))
    assert probe(source).colour_matrix is None
    trip = transcode(source, "o.mp4")
    assert probe(trip.output).colour_matrix == matrix
    assert_same_pictures(probe(trip.output), trip.clip)


def test_ffv1_is_lossless(tmp_path: Path, transcode: Callable) -> None:
    source = media.write_video(tmp_path / "s.mp4", media.numbered_pictures(4))
    trip = transcode(source, "o.mkv")
    for before, after in zip(FrameReader(trip.clip), FrameReader(probe(trip.output)), strict=True):
        assert np.array_equal(before.pixels, after.pixels)


def test_ffv1_is_lossless_at_16_bits(tmp_path: Path, transcode: Callable) -> None:
    deep = [np.random.default_rng(n).integers(0, 65536, (64, 96, 3)).astype(np.uint16) for n in range(2)]
    media.write_pictures(tmp_path / "p", deep)
    trip = transcode(tmp_path / "p", "o.mkv", bits=16)
    raw = media.run_ffmpeg("-i", trip.output, "-pix_fmt", "rgb48le", "-f", "rawvideo", "pipe:1")
    assert np.array_equal(np.frombuffer(raw, np.uint16).reshape(2, 64, 96, 3), np.stack(deep))


def test_16_bit_frames_are_rounded_to_8_bits(tmp_path: Path, transcode: Callable) -> None:
    rng = np.random.default_rng(3)
    deep = cv2.resize(rng.integers(0, 65536, (4, 6, 3)).astype(np.uint16), (96, 64))
    media.write_pictures(tmp_path / "p", [deep])
    trip = transcode(tmp_path / "p", "o.mp4", frame_bits=16, quality=4, chroma="444", codec="h264")
    found = FrameReader(probe(trip.output)).read(0).pixels.astype(float)
    assert np.abs((found - deep / 257).mean(axis=(0, 1))).max() < 0.25


def stored_times(path: Path) -> tuple[list[Fraction], list[Fraction]]:
    """Start and duration of every frame of an animation, as the file says."""
    if path.suffix == ".webp":  # PyAV has no demuxer for it
        starts, durations = [], []
        with Image.open(path) as image:
            for number in range(image.n_frames):
                image.seek(number)
                image.load()
                starts.append(Fraction(image.info["timestamp"], 1000))
                durations.append(Fraction(image.info["duration"], 1000))
        return starts, durations
    stored = read_packet_times(path, read_container(path))
    return [at * stored.time_base for at in stored.pts], [at * stored.time_base for at in stored.durations]


@pytest.mark.parametrize(("name", "clock"), [("o.gif", Fraction(1, 100)), ("o.webp", MS), ("o.apng", MS)])
@pytest.mark.parametrize("uneven", [False, True])
def test_animations_keep_their_times(
    tmp_path: Path, transcode: Callable, name: str, clock: Fraction, uneven: bool
) -> None:
    pts = media.UNEVEN_PTS if uneven else None
    source = media.write_video(tmp_path / "s.mkv", media.numbered_pictures(8), pts_seconds=pts, rate=NTSC)
    trip = transcode(source, name)
    found, durations = stored_times(trip.output)
    wanted = [at - trip.clip.pts_seconds[0] for at in trip.clip.pts_seconds]
    assert len(found) == 8
    assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= clock
    last = durations[-1]
    if not (name.endswith("apng") or clock > MS):  # ffmpeg's APNG reader does not say how long the last one stays
        assert abs(last - trip.clip.last_duration_seconds) <= clock
    first = cv2.cvtColor(cv2.imread(str(trip.output)), cv2.COLOR_BGR2RGB)
    assert media.read_index(first) == 0
    assert media.is_upright(first)


def test_animations_do_not_merge_equal_frames(tmp_path: Path, transcode: Callable) -> None:
    media.write_pictures(tmp_path / "p", [media.numbered_picture(1)] * 4)
    for name in ("o.webp", "o.apng", "o.gif"):
        trip = transcode(tmp_path / "p", name)
        assert len(stored_times(trip.output)[0]) == 4
        trip.output.unlink()


@pytest.mark.parametrize("bits", [8, 16])
def test_png_folder_is_numbered_like_source(tmp_path: Path, transcode: Callable, bits: int) -> None:
    source = media.write_video(tmp_path / "s.mp4", media.numbered_pictures(9))
    trip = transcode(source, "frames", start=3, end=6, bits=bits)
    found = sorted(trip.output.iterdir())
    assert [path.name for path in found] == ["000003.png", "000004.png", "000005.png"]
    for path, original in zip(found, FrameReader(trip.clip, start=3, end=6), strict=True):
        read = images.read_image(path)
        assert read.dtype.itemsize * 8 == bits
        assert np.array_equal(to_bits(read, 8), original.pixels)


def test_replacing_folder_removes_frames_only(tmp_path: Path) -> None:
    frames = media.write_pictures(tmp_path / "done", media.numbered_pictures(2))
    clip = probe(tmp_path / "done")
    output = tmp_path / "out"
    media.write_pictures(output, media.numbered_pictures(5), "{:06d}.png")
    encode(frames, output, clip=clip, start=0, end=2, settings=OutputConfig())
    assert sorted(path.name for path in output.iterdir()) == ["000000.png", "000001.png"]
    (output / "diary.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"diary\.txt"):
        encode(frames, output, clip=clip, start=0, end=2, settings=OutputConfig())
    assert (output / "diary.txt").read_text() == "mine"
    assert not output.with_name(".out.part").exists()


@pytest.mark.parametrize("name", ["o.png", "o.jpg", "o.webp", "o.tiff"])
def test_single_image_is_written_as_image(tmp_path: Path, transcode: Callable, name: str) -> None:
    media.write_pictures(tmp_path / "p", media.numbered_pictures(1))
    trip = transcode(tmp_path / "p" / "0000.png", name)
    read = images.read_image(trip.output)
    assert media.is_upright(read)
    assert np.abs(read.astype(float) - media.numbered_picture(0)).mean() < 3


def test_single_image_is_encoded_as_video(tmp_path: Path, transcode: Callable) -> None:
    media.write_pictures(tmp_path / "p", media.numbered_pictures(1))
    trip = transcode(tmp_path / "p", "o.mp4")
    assert probe(trip.output).frame_count == 1


def test_sample_aspect_is_kept(tmp_path: Path, transcode: Callable) -> None:
    flat = media.write_video(tmp_path / "s.mp4", media.numbered_pictures(3), options=("-aspect", "2:1"))
    assert read_container(flat).sample_aspect == Fraction(4, 3)
    output = transcode(flat, "o.mp4").output
    assert read_container(output).sample_aspect == Fraction(4, 3)
    output.unlink()
    turned = media.rotate_video(flat, tmp_path / "t.mp4", 90)
    assert read_container(transcode(turned, "o.mp4").output).sample_aspect == Fraction(3, 4)


def test_mp4_has_fast_start(tmp_path: Path, transcode: Callable) -> None:
    trip = transcode(media.write_video(tmp_path / "s.mkv", media.numbered_pictures(4)), "o.mp4")
    data = trip.output.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_progress_ends_with_the_last_frame(tmp_path: Path) -> None:
    frames = media.write_pictures(tmp_path / "p", media.numbered_pictures(30))
    clip = probe(tmp_path / "p")
    seen: list[int] = []
    settings = OutputConfig()
    encode(frames, tmp_path / "o.mp4", clip=clip, start=0, end=30, settings=settings, on_progress=seen.append)
    assert seen[-1] == 30
    assert seen == sorted(set(seen))


def test_cancelled_encode_leaves_no_files(tmp_path: Path) -> None:
    frames = media.write_pictures(tmp_path / "p", media.numbered_pictures(8)) * 60
    clip = probe([tmp_path / "p"] * 60)
    settings = OutputConfig(codec="av1", speed="3")
    output = tmp_path / "o.mp4"
    output.write_bytes(b"the one before")
    with pytest.raises(CancelledError):
        encode(frames, output, clip=clip, start=0, end=480, settings=settings, cancelled=lambda: True)
    assert output.read_bytes() == b"the one before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.mp4", "p"]


@pytest.mark.parametrize("spoil", ["remove", "cut", "resize"])
@pytest.mark.parametrize("name", ["o.mp4", "o.gif"])
def test_damaged_frame_is_named_and_no_files_left(tmp_path: Path, spoil: str, name: str) -> None:
    frames = media.write_pictures(tmp_path / "p", media.numbered_pictures(6))
    clip = probe(tmp_path / "p")
    if spoil == "remove":
        frames[3].unlink()
    elif spoil == "cut":
        frames[3].write_bytes(b"")
    else:
        images.write_png(frames[3], media.numbered_picture(3, (48, 32)))
    with pytest.raises(OutputError, match=r"0003\.png"):
        encode(frames, tmp_path / name, clip=clip, start=0, end=6, settings=OutputConfig())
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "longest"),
    [
        ("cockatoo_720p_audio", 320),
        ("bunny_720p_aac", 320),
        ("bikes_cuts", None),
        ("phone_vfr_rotated", None),
        ("bt709_full_range", None),
    ],
)
def test_real_clips_round_trip(
    shared: Callable[[str], Path], transcode: Callable, name: str, longest: int | None
) -> None:
    clip = probe(shared(f"clips/{name}.mp4"))
    size = fit_size(clip.width, clip.height, longest)
    trip = transcode(clip, "o.mp4", size=size, speed="veryfast")
    found = probe(trip.output)
    assert_same_times(found, clip)
    assert found.audio_codec == clip.audio_codec
    assert (found.width, found.height) == size
    sources, results = FrameReader(clip, size=size), FrameReader(found)
    for index in range(0, found.frame_count, 4):
        before, after = sources.read(index).pixels, results.read(index).pixels
        difference = after.astype(np.float32) - before
        assert np.abs(difference.mean(axis=(0, 1))).max() < 2
        assert np.abs(difference).mean() < 4
        turned = np.abs(after[::-1, ::-1].astype(np.float32) - before).mean()
        assert np.abs(difference).mean() < turned


@pytest.mark.parametrize(
    ("size", "quality"), [((256, 144), 2), ((96, 64), 2), ((640, 360), 11), ((1280, 720), 18), ((3840, 2160), 18)]
)
def test_small_frames_get_a_better_rate_factor(size: tuple[int, int], quality: int) -> None:
    def factor(**settings: Any) -> int:
        options = choose_format(
            Path("o.mp4"), OutputConfig(**settings), frames=2, width=size[0], height=size[1]
        ).options
        return int(options[options.index("-crf") + 1])

    assert factor() == quality
    assert factor(quality=23) == 23
    assert factor(codec="h265") == quality + 2


def test_shown_clip_interpolates_chroma(tmp_path: Path) -> None:
    edge = np.zeros((64, 96, 3), np.uint8)
    edge[:, :48], edge[:, 48:] = (200, 40, 40), (40, 40, 200)
    clip = probe(media.write_video(tmp_path / "s.mp4", [edge] * 2))
    decoded, shown = (next(iter(FrameReader(one))).pixels[32].astype(int) for one in (clip, as_shown(clip)))
    steps = [int(np.abs(np.diff(row[40:56, 0] - row[40:56, 2])).max()) for row in (decoded, shown)]
    assert steps[1] < 0.8 * steps[0]  # the same edge is spread over more pixels
    assert as_shown(shown_again := as_shown(clip)) is shown_again
