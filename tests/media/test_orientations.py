"""All eight orientations, wherever a file keeps them, and sizes that the header gets wrong."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps
from support import media

from vidnst.errors import SourceError
from vidnst.media.input.container import read_container
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe
from vidnst.media.input.quick_frame import read_quick_frame
from vidnst.media.orientation import make_upright, orientation_of

ONE = 1 << 16
MATRICES = {
    1: (ONE, 0, 0, ONE),
    2: (-ONE, 0, 0, ONE),
    3: (-ONE, 0, 0, -ONE),
    4: (ONE, 0, 0, -ONE),
    5: (0, ONE, ONE, 0),
    6: (0, ONE, -ONE, 0),
    7: (0, -ONE, -ONE, 0),
    8: (0, -ONE, ONE, 0),
}
"""Images of the axes, (a, b) and (c, d), as the specification of MP4 (ISO 14496-12) multiplies them."""


def stored(upright: media.Picture, orientation: int) -> media.Picture:
    """The stored picture that Pillow, which follows EXIF, turns into `upright`."""
    for candidate in range(1, 9):
        picture = make_upright(upright, candidate)
        image = Image.fromarray(picture)
        image.getexif()[0x0112] = orientation
        if np.array_equal(np.asarray(ImageOps.exif_transpose(image)), upright):
            return picture
    raise AssertionError(f"no picture has orientation {orientation}")


def patch_matrix(path: Path, orientation: int) -> Path:
    """Overwrite the display matrix in an MP4's track header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = MATRICES[orientation]
    for number, value in enumerate((a, b, 0, c, d, 0, 0, 0, 1 << 30)):
        data[at + 4 * number : at + 4 * number + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_mp4_is_applied(orientation: int, tmp_path: Path) -> None:
    frames = [stored(frame, orientation) for frame in media.numbered_pictures(3)]
    path = patch_matrix(media.write_video(tmp_path / "a.mp4", frames), orientation)
    clip = probe(path)
    assert (clip.width, clip.height, clip.orientation) == (*media.SIZE, orientation)
    found = [frame.pixels for frame in FrameReader(clip)]
    assert all(media.is_upright(pixels) for pixels in found)
    assert [media.read_index(pixels) for pixels in found] == [0, 1, 2]
    assert media.is_upright(read_quick_frame(path, 1))


@pytest.mark.parametrize(("flip", "orientation"), [("-display_hflip", 2), ("-display_vflip", 4)])
def test_mirror_in_matroska_is_applied(flip: str, orientation: int, tmp_path: Path) -> None:
    frames = [stored(frame, orientation) for frame in media.numbered_pictures(2)]
    flat = media.write_video(tmp_path / "flat.mkv", frames)
    media.run_ffmpeg(flip, "-i", flat, "-c", "copy", tmp_path / "a.mkv")
    clip = probe(tmp_path / "a.mkv")
    assert clip.orientation == orientation
    assert all(media.is_upright(frame.pixels) for frame in FrameReader(clip))


@pytest.mark.parametrize("orientation", [5, 8])
def test_orientation_within_h264_is_applied(orientation: int, tmp_path: Path) -> None:
    frames = [stored(frame, orientation) for frame in media.numbered_pictures(2)]
    flat = media.write_video(tmp_path / "flat.h264", frames)
    turn = "rotate=90:flip=horizontal" if orientation == 5 else "rotate=90"
    media.run_ffmpeg("-i", flat, "-c", "copy", "-bsf:v", f"h264_metadata=display_orientation=insert:{turn}",
                     tmp_path / "a.mp4")  # fmt: skip
    clip = probe(tmp_path / "a.mp4")
    assert all(media.is_upright(frame.pixels) for frame in FrameReader(clip)), clip.orientation


@pytest.mark.parametrize("name", ["a.avi", "a.mov"])
def test_orientation_within_jpeg_frames_is_applied(name: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for number, frame in enumerate(media.numbered_pictures(3)):
        Image.fromarray(stored(frame, 6)).save(tmp_path / f"{number}.jpg", exif=exif, quality=95)
    media.run_ffmpeg("-i", tmp_path / "%d.jpg", "-c", "copy", tmp_path / name)
    clip = probe(tmp_path / name)
    assert (clip.width, clip.height, clip.orientation) == (*media.SIZE, 6)
    assert all(media.is_upright(frame.pixels) for frame in FrameReader(clip))
    assert "EXIF" in read_container(tmp_path / name).video.side_data


def test_angle_is_rounded_to_quarter_turn() -> None:
    tilted = [60000, 9000, 0, -9000, 60000, 0, 0, 0, 1 << 30]
    assert orientation_of(tilted) == 1


def test_mirrored_source_is_upright_in_output(tmp_path: Path, transcode) -> None:  # type: ignore[no-untyped-def]
    frames = [stored(frame, 7) for frame in media.numbered_pictures(3)]
    path = patch_matrix(media.write_video(tmp_path / "a.mp4", frames), 7)
    trip = transcode(path, "o.mp4")
    assert read_container(trip.output).video.orientation == 1
    assert all(media.is_upright(frame.pixels) for frame in FrameReader(probe(trip.output)))


@pytest.mark.parametrize("second", [(64, 48), (192, 128)])
def test_change_of_size_is_one_error(second: tuple[int, int], tmp_path: Path) -> None:
    first = media.write_video(tmp_path / "a.h264", media.numbered_pictures(5))
    other = media.write_video(tmp_path / "b.h264", media.numbered_pictures(5, second))
    (tmp_path / "c.h264").write_bytes(first.read_bytes() + other.read_bytes())
    media.run_ffmpeg("-i", tmp_path / "c.h264", "-c", "copy", "-f", "mpegts", tmp_path / "c.ts")
    with pytest.raises(SourceError, match=r"has frames of \d+x\d+ pixels, but its header says \d+x\d+"):
        probe(tmp_path / "c.ts")


@pytest.mark.parametrize("codec", [("-c:v", "libvpx"), ("-c:v", "libvpx-vp9")])
def test_webrtc_like_change_of_size_is_one_error(codec: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    parts = [media.write_video(tmp_path / f"{n}.ivf", media.numbered_pictures(30, size), codec=codec)
             for n, size in enumerate([(96, 64), (48, 32)])]  # fmt: skip
    with av.open(str(parts[0])) as first, av.open(str(parts[1])) as second, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(first.streams.video[0])
        for number, source in enumerate((first, second)):
            for packet in source.demux(video=0):
                if packet.size:
                    packet.pts += number * 30
                    packet.dts = packet.pts
                    packet.stream = stream
                    output.mux(packet)
    with pytest.raises(SourceError, match="has frames of 48x32 pixels, but its header says 96x64"):
        probe(path)


def test_picture_smaller_than_its_header_is_one_error(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mkv", media.numbered_pictures(25), codec=("-c:v", "mjpeg"))
    data = bytearray(path.read_bytes())
    for begin, length in media.packet_positions(path)[10:]:
        at = data.index(b"\xff\xc0", begin, begin + length) + 5  # height and width in the frame header of JPEG
        assert data[at : at + 4] == bytes((0, 64, 0, 96))
        data[at : at + 4] = bytes((0, 32, 0, 48))
    path.write_bytes(data)
    with pytest.raises(SourceError, match="has frames of 48x32 pixels, but its header says 96x64"):
        probe(path)


def test_unmirrored_clip_keeps_its_bytes(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mkv", media.numbered_pictures(2), codec=media.FFV1)
    found = [frame.pixels for frame in FrameReader(probe(path))]
    assert all(np.array_equal(a, b) for a, b in zip(found, media.numbered_pictures(2), strict=True))
