"""Probing: frame counts, times, sizes and colours as they are."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support import media

from vidnst.errors import SourceError
from vidnst.frames import SourceKind, to_bits
from vidnst.media import images
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe

NTSC = Fraction(30000, 1001)
FILM = Fraction(24000, 1001)


@pytest.mark.parametrize("rate", [NTSC, FILM, Fraction(25), Fraction(25, 2)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.ts", "a.avi"])
def test_rates_are_exact_in_every_container(tmp_path: Path, name: str, rate: Fraction) -> None:
    clip = probe(media.write_video(tmp_path / name, media.numbered_pictures(14), rate=rate, options=("-bf", "0")))
    assert clip.kind is SourceKind.VIDEO
    assert clip.rate == rate
    assert not clip.variable_rate
    assert clip.frame_count == 14
    assert [pts - clip.pts_seconds[0] for pts in clip.pts_seconds] == [n / rate for n in range(14)]
    assert clip.last_duration_seconds == 1 / rate
    assert clip.duration_seconds == 14 / rate


@pytest.mark.parametrize(
    "codec", [("libvpx", ".webm"), ("libvpx-vp9", ".webm"), ("libsvtav1", ".mp4"), ("mpeg2video", ".mpg")]
)
def test_other_codecs_are_counted_right(tmp_path: Path, codec: tuple[str, str]) -> None:
    encoder, suffix = codec
    path = media.write_video(
        tmp_path / f"a{suffix}", media.numbered_pictures(20), codec=("-c:v", encoder, "-b:v", "1M")
    )
    clip = probe(path)
    assert (clip.frame_count, clip.rate, clip.bad_frames) == (20, 25, ())


@pytest.mark.parametrize(("name", "options"), [("raw.h264", ()), ("b.avi", ("-c:v", "mpeg4", "-bf", "2"))])
def test_files_without_time_stamps_are_counted(tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    clip = probe(media.write_video(tmp_path / name, media.numbered_pictures(20), options=("-bf", "2", *options)))
    assert clip.frame_count == 20
    assert clip.rate == 25
    assert [media.read_index(frame.pixels) for frame in FrameReader(clip)] == list(range(20))


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_variable_rate_keeps_time_stamps(tmp_path: Path, name: str) -> None:
    count = len(media.UNEVEN_PTS)
    path = media.write_video(tmp_path / name, media.numbered_pictures(count), pts_seconds=media.UNEVEN_PTS)
    clip = probe(path)
    assert clip.variable_rate
    assert clip.pts_seconds == media.UNEVEN_PTS
    assert clip.rate == count / clip.duration_seconds


def test_late_video_start_is_kept(tmp_path: Path) -> None:
    clip = probe(media.write_flash_and_beep(tmp_path / "late.mkv", pictures_late_seconds=0.4, count=30))
    assert clip.pts_seconds[0] == Fraction(2, 5)
    assert clip.audio_codec == "aac"


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied_to_size_and_pixels(tmp_path: Path, degrees: int) -> None:
    turns = degrees // 90
    stored = [np.ascontiguousarray(np.rot90(frame, -turns)) for frame in media.numbered_pictures(6)]
    flat = media.write_video(tmp_path / "flat.mp4", stored)
    clip = probe(media.rotate_video(flat, tmp_path / "turned.mp4", degrees))
    assert (clip.width, clip.height) == media.SIZE
    assert clip.rotation_degrees == -degrees % 360
    frames = list(FrameReader(clip))
    assert all(media.is_upright(frame.pixels) for frame in frames)
    assert [media.read_index(frame.pixels) for frame in frames] == list(range(6))


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m"])
@pytest.mark.parametrize("full_range", [False, True])
def test_colours_of_any_matrix_and_range(tmp_path: Path, matrix: str, full_range: bool) -> None:
    wanted = media.numbered_pictures(3)
    path = media.write_video(tmp_path / "c.mp4", wanted, matrix=matrix, full_range=full_range)
    clip = probe(path)
    assert (clip.colour_matrix, clip.colour_range) == (matrix, "pc" if full_range else "tv")
    for frame, picture in zip(FrameReader(clip), wanted, strict=True):
        difference = frame.pixels.astype(float) - picture
        assert np.abs(difference.mean(axis=(0, 1))).max() < 2
        assert media.is_upright(frame.pixels)


def test_odd_sizes_stay(tmp_path: Path) -> None:
    clip = probe(media.write_video(tmp_path / "o.mkv", media.numbered_pictures(3, (61, 47)), codec=media.FFV1))
    assert (clip.width, clip.height) == (61, 47)
    assert np.array_equal(FrameReader(clip).read(2).pixels, media.numbered_picture(2, (61, 47)))


def test_ten_bit_video_decodes_to_sixteen(tmp_path: Path) -> None:
    codec = ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le")
    clip = probe(media.write_video(tmp_path / "t.mov", media.numbered_pictures(3), codec=codec))
    assert clip.bit_depth == 16
    assert clip.pixel_format == "yuv422p10le"
    pixels = FrameReader(clip).read(0).pixels
    assert pixels.dtype == np.uint16
    assert np.abs(pixels / 257 - media.numbered_picture(0)).mean() < 2


def test_cover_image_is_not_the_video(tmp_path: Path) -> None:
    video = media.write_video(tmp_path / "v.mp4", media.numbered_pictures(5))
    images.write_png(tmp_path / "cover.png", media.numbered_picture(0, (40, 40)))
    path = tmp_path / "with.mp4"
    media.run_ffmpeg(
        "-i", video, "-i", tmp_path / "cover.png", "-map", "0", "-map", "1", "-c", "copy",
        "-disposition:v:1", "attached_pic", path,
    )  # fmt: skip
    assert (probe(path).frame_count, probe(path).width) == (5, media.SIZE[0])


def test_undecodable_frames_are_listed(tmp_path: Path) -> None:
    whole = media.write_video(tmp_path / "w.mp4", media.numbered_pictures(12), options=("-g", "1"))
    clip = probe(media.damage_packets(whole, tmp_path / "d.mp4", [4, 5, 9]))
    assert clip.bad_frames == (4, 5, 9)
    assert clip.frame_count == 12
    assert clip.rate == 25


def test_recording_cut_inside_gop_starts_where_it_decodes(tmp_path: Path) -> None:
    options = ("-g", "10", "-bf", "0", "-preset", "veryfast", "-crf", "12")
    whole = media.write_video(tmp_path / "w.ts", media.numbered_pictures(30), options=options)
    cut = tmp_path / "cut.ts"
    data = whole.read_bytes()
    tables, rest = data[: 188 * 3], data[188 * 10 :]
    cut.write_bytes(tables + rest)
    clip = probe(cut)
    assert clip.rate == 25
    indices = [media.read_index(frame.pixels) for frame in FrameReader(clip)]
    assert 20 <= len(indices) < 30
    assert indices == list(range(30 - len(indices), 30))
    assert clip.bad_frames == ()


def test_hidden_reference_frames_are_not_bad(tmp_path: Path) -> None:
    codec = ("-c:v", "libvpx", "-b:v", "300k", "-auto-alt-ref", "1", "-lag-in-frames", "16")
    clip = probe(media.write_video(tmp_path / "alt.webm", media.numbered_pictures(40), codec=codec))
    assert (clip.frame_count, clip.bad_frames) == (40, ())


def test_images_make_a_clip_at_given_rate(tmp_path: Path) -> None:
    media.write_pictures(tmp_path / "burst", media.numbered_pictures(11), "img{}.png")
    clip = probe(tmp_path / "burst", fps=FILM)
    assert clip.kind is SourceKind.PICTURES
    assert [path.name for path in clip.paths[:3]] == ["img0.png", "img1.png", "img2.png"]
    assert clip.pts_seconds[10] == 10 / FILM
    assert clip.duration_seconds == 11 / FILM
    assert clip.bit_depth == 8
    assert [media.read_index(frame.pixels) for frame in FrameReader(clip)] == list(range(11))


def test_several_files_are_sorted_naturally(tmp_path: Path) -> None:
    paths = media.write_pictures(tmp_path, media.numbered_pictures(12), "p{}.png")
    clip = probe(sorted(paths, key=str))
    assert list(clip.paths) == paths


def test_16_bit_images_keep_bit_depth(tmp_path: Path) -> None:
    deep = [to_bits(frame, 16) for frame in media.numbered_pictures(2)]
    media.write_pictures(tmp_path, deep)
    clip = probe(tmp_path)
    assert clip.bit_depth == 16
    assert np.array_equal(FrameReader(clip).read(1).pixels, deep[1])


def test_images_of_mixed_sizes_are_refused(tmp_path: Path) -> None:
    media.write_pictures(tmp_path, [*media.numbered_pictures(2), media.numbered_picture(2, (40, 30))])
    with pytest.raises(SourceError, match=r"0000\.png has 96x64 pixels but .*0002\.png has 40x30"):
        probe(tmp_path)


def test_unusable_sources_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video" * 100)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://example.org/a.ts\n")
    media.run_ffmpeg("-f", "lavfi", "-i", "sine=d=1", tmp_path / "sound.mp4")
    for name, words in (("text.mp4", "is not a video"), ("list.m3u8", "playlist"), ("sound.mp4", "no video stream")):
        with pytest.raises(SourceError, match=words):
            probe(tmp_path / name)
    with pytest.raises(SourceError, match=r"no gone\.mp4"):
        probe("gone.mp4")
    with pytest.raises(SourceError, match="not an image"):
        probe([tmp_path / "text.mp4", tmp_path / "sound.mp4"])


def test_playlist_of_local_files_is_refused(tmp_path: Path) -> None:
    media.write_video(tmp_path / "a.ts", media.numbered_pictures(5))
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.2,\na.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(SourceError, match="playlist"):
        probe(tmp_path / "list.m3u8")


def test_video_without_decodable_frame_is_refused(tmp_path: Path) -> None:
    whole = media.write_video(tmp_path / "w.mp4", media.numbered_pictures(4), options=("-g", "1"))
    with pytest.raises(SourceError, match=r"no frame of .* decodes"):
        probe(media.damage_packets(whole, tmp_path / "d.mp4", range(4)))


@pytest.mark.parametrize("name", ["-i.mp4", "a%03d.mp4", "it's [here] *.mp4", "http:x.mp4"])
def test_names_are_not_options_patterns_or_urls(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    media.write_video(tmp_path / "plain.mp4", media.numbered_pictures(3)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert probe(name).frame_count == 3


@pytest.mark.parametrize(
    ("name", "count", "size"),
    [
        ("cockatoo_720p_audio", 280, (1280, 720)),
        ("bunny_720p_aac", 132, (1280, 720)),
        ("bikes_cuts", 250, (640, 272)),
        ("phone_vfr_rotated", 25, (1280, 720)),
        ("bt709_full_range", 30, (1280, 720)),
    ],
)
def test_real_clips_are_probed(shared: Callable[[str], Path], name: str, count: int, size: tuple[int, int]) -> None:
    clip = probe(shared(f"clips/{name}.mp4"))
    assert clip.frame_count == count
    assert (clip.width, clip.height) == size
    assert clip.variable_rate == (name == "phone_vfr_rotated")
    assert clip.bad_frames == ()
