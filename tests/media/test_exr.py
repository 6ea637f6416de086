"""EXR files: values against the sRGB formula and other readers, windows, channels, and damage."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from numpy.typing import NDArray
from support import kept_media, media
from support.exr import from_pixels, read_values, to_display, to_linear, write_exr, write_parts
from support.processes import wait_until
from support.renders import quick_config, run_folder

from vidnst.errors import OutputError, SourceError
from vidnst.frames import to_bits
from vidnst.media.exr import read_exr, read_exr_header
from vidnst.media.images import read_image, read_image_alpha, read_image_header, write_image
from vidnst.media.input import limits, picture_process
from vidnst.media.input.picture_process import PICTURE_PROCESS, PictureProcess
from vidnst.media.input.probe import probe
from vidnst.media.input.scene_survey import survey_scene
from vidnst.media.output.scene_rows import scene_rows
from vidnst.rendering.pipeline import run
from vidnst.runs.request import Request

HALVES = np.arange(0x3C01, dtype=np.uint16).view(np.float16)
"""Every half float from 0 to 1."""


def is_running(process: int) -> bool:
    """Tell whether a process runs; one that has ended but that nobody has waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def survey(*paths: Path, transform: str = "auto") -> list[str]:
    return [row.note for row in scene_rows(survey_scene(paths, transform, may_be_damaged=False), transform)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_linear_light_is_painted_by_the_srgb_formula(dtype: type, tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((40, 30, 3)).astype(dtype)
    seen = read_image(write_exr(tmp_path / "a.exr", values))
    assert seen.dtype == np.uint16
    assert np.abs(seen - to_display(values) * 65535).max() < 0.51


def test_written_values_follow_the_formula_for_ffmpeg(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 65536, (33, 47, 3), np.uint16)
    write_image(tmp_path / "a.exr", pixels)
    wanted = to_linear(pixels / 65535).astype(np.float16)
    assert np.array_equal(read_values(tmp_path / "a.exr"), wanted)
    raw = media.run_ffmpeg("-i", tmp_path / "a.exr", "-f", "rawvideo", "pipe:1")  # gbrpf16le: green, blue, red
    planes = np.frombuffer(raw, np.float16).reshape(3, 33, 47)
    assert np.array_equal(planes[[2, 0, 1]].transpose(1, 2, 0), wanted)


def test_round_trip_is_exact_above_the_step_of_16_bits(tmp_path: Path) -> None:
    values = np.repeat(HALVES, 3).reshape(1, -1, 3)
    write_image(tmp_path / "b.exr", read_image(write_exr(tmp_path / "a.exr", values)))
    back = read_values(tmp_path / "b.exr")
    large = values >= 2**-9
    assert np.array_equal(back[large], values[large])
    assert np.abs(back.astype(float) - values.astype(float)).max() < 1e-6


def test_raw_values_are_taken_as_they_are(tmp_path: Path) -> None:
    values = np.full((8, 8, 3), 0.5, np.float16)
    path = write_exr(tmp_path / "a.exr", values)
    seen = read_image(path, transform="none")
    assert (seen == 32768).all()
    write_image(tmp_path / "b.exr", seen, transform="none")
    assert np.array_equal(read_values(tmp_path / "b.exr"), values)


def test_values_out_of_range_are_clipped_and_said(tmp_path: Path) -> None:
    values = np.full((10, 10, 3), 0.5, np.float16)
    values[0, :2] = 4
    values[1, 0] = -0.25
    values[2, 0], values[2, 1], values[2, 2] = np.nan, np.inf, -np.inf
    path = write_exr(tmp_path / "a.exr", values)
    seen = read_image(path)
    assert (seen[0, :2] == 65535).all()
    assert (seen[1, 0] == 0).all()
    assert [int(seen[2, x, 0]) for x in range(3)] == [0, 65535, 0]
    plain = write_exr(tmp_path / "b.exr", np.ones((10, 10, 3), np.float16))
    over, under, invalid, precise = survey(path, plain, write_exr(tmp_path / "c.exr", np.ones((10, 10, 3), np.float32)))
    assert over.startswith("values over white (1 of 3 frames has some, 1% of all pixels, up to 6.55e+04): changed, ")
    assert under.startswith("values under black (1 of 3 frames has some, 0.67% of all pixels): changed, ")
    assert invalid.startswith("values that are no light (1 of 3 frames")
    assert precise == "precision (floats of 32 bits): changed, painted with 16 bits"
    assert survey(plain) == []


def test_grey_channel_becomes_three(tmp_path: Path) -> None:
    grey = np.linspace(0, 1, 64).reshape(8, 8).astype(np.float32)
    seen = read_image(write_exr(tmp_path / "a.exr", {"Y": grey}))
    assert seen.shape == (8, 8, 3)
    assert np.abs(seen - to_display(grey)[..., None] * 65535).max() < 0.51


def test_display_window_is_filled_and_cropped(tmp_path: Path) -> None:
    values = np.full((20, 30, 3), 1, np.float16)
    inside = write_exr(tmp_path / "a.exr", values, data_at=(5, 6), display=(0, 0, 39, 39))
    seen = read_image(inside)
    assert seen.shape == (40, 40, 3)
    assert (seen[6:26, 5:35] == 65535).all()
    assert int((seen == 65535).sum()) == 20 * 30 * 3
    over = write_exr(tmp_path / "b.exr", values, data_at=(-5, -5), display=(0, 0, 11, 9))
    assert read_image(over).shape == (10, 12, 3)
    assert (read_image(over) == 65535).all()
    assert "overscan" in survey(over)[0]
    apart = write_exr(tmp_path / "c.exr", values, data_at=(100, 100), display=(-10, -20, -1, -11))
    assert read_image(apart).shape == (10, 10, 3)
    assert not read_image(apart).any()


def test_layers_parts_and_further_channels(tmp_path: Path) -> None:
    rgb = np.random.default_rng(3).random((8, 9, 3)).astype(np.float16)
    split = {letter: np.ascontiguousarray(rgb[..., number]) for number, letter in enumerate("RGB")}
    depth = np.zeros((8, 9), np.float32)
    one = write_exr(tmp_path / "a.exr", {**{f"beauty.{key}": plane for key, plane in split.items()}, "Z": depth})
    assert np.array_equal(read_exr(one).colours, rgb)
    assert read_exr_header(one).layer == "beauty"
    assert "further channels (1 in a frame)" in survey(one)[0]
    two = write_parts(tmp_path / "b.exr", {"depth": {"Z": depth}, "left": {"RGB": rgb}})
    assert np.array_equal(read_exr(two).colours, rgb)
    both = {f"{layer}.{key}": plane for layer in ("one", "two") for key, plane in split.items()}
    with pytest.raises(SourceError, match=r"no channels R, G, B or Y in one layer, but one\.B"):
        read_exr(write_exr(tmp_path / "c.exr", both))


def see_through(height: int = 16, width: int = 24) -> NDArray[np.float16]:
    """Light of several strengths under several alphas, multiplied by them as EXR files have it."""
    rng = np.random.default_rng(4)
    alpha = rng.choice([0, 0.125, 0.5, 0.9, 1], (height, width, 1))
    return np.concatenate([rng.random((height, width, 3)) * alpha, alpha], axis=2).astype(np.float16)


def test_premultiplied_light_lies_over_the_background(tmp_path: Path) -> None:
    rgba = see_through().astype(float)
    path = write_exr(tmp_path / "a.exr", {"RGBA": rgba.astype(np.float16)})
    alpha = rgba[..., 3:]
    straight = to_display(rgba[..., :3] / np.where(alpha > 0, alpha, 1))
    background = np.array([0, 128, 255])
    wanted = straight * alpha + background / 255 * (1 - alpha)
    seen = read_image(path, background=(0, 128, 255))
    assert np.abs(seen / 65535 - wanted).max() < 2 / 65535
    plane = read_image_alpha(path)
    assert plane is not None
    assert np.abs(plane - rgba[..., 3] * 65535).max() < 0.51
    assert probe(path).has_alpha
    assert survey(path) == []


def test_alpha_comes_back_as_it_was(tmp_path: Path) -> None:
    rgba = see_through()
    write_exr(tmp_path / "in" / "a_1.exr", {"RGBA": rgba})
    (tmp_path / "frames").mkdir()
    kept_media.convert(tmp_path / "in" / "a_%d.exr", tmp_path / "b_%d.exr", tmp_path / "frames")
    back = np.asarray(OpenEXR.File(str(tmp_path / "b_1.exr")).channels()["RGBA"].pixels)
    assert np.array_equal(back[..., 3], rgba[..., 3])
    visible = rgba[..., 3] >= 0.5
    assert np.abs(back[visible].astype(float) - rgba[visible].astype(float)).max() < 1e-3
    assert np.abs(back.astype(float) - rgba.astype(float)).max() < 4e-3
    assert not back[rgba[..., 3] == 0].any()


def test_opaque_alpha_changes_nothing(tmp_path: Path) -> None:
    rgb = np.random.default_rng(5).random((8, 9, 3)).astype(np.float16)
    opaque = write_exr(tmp_path / "a.exr", {"RGBA": np.dstack([rgb, np.ones((8, 9), np.float16)])})
    assert not probe(opaque).has_alpha
    assert np.array_equal(read_image(opaque), read_image(write_exr(tmp_path / "b.exr", rgb)))


def test_light_without_alpha_is_named(tmp_path: Path) -> None:
    rgba = np.full((10, 10, 4), 0.25, np.float16)
    rgba[:5, :, 3] = 0
    [said] = survey(write_exr(tmp_path / "a.exr", {"RGBA": rgba}))
    assert said.startswith("light without alpha (1 of 1 frames has some, 50% of all pixels): dropped, ")


def test_headers_are_named(tmp_path: Path) -> None:
    values = np.zeros((4, 4, 3), np.float16)
    assert survey(write_exr(tmp_path / "a.exr", values, owner="me", capDate="2026:01:01 00:00:00")) == [
        "header (capDate, owner): dropped, the output gets none of it"
    ]


@pytest.mark.parametrize("strict", [False, True])
def test_clipping_is_known_to_strict_before_painting(strict: bool, tmp_path: Path) -> None:
    path = write_exr(tmp_path / "a_1.exr", np.full((32, 48, 3), 3, np.float16))
    config = quick_config(optimize={"iterations": 0}, output={"strict": strict})
    request = Request(str(path), (), tmp_path / "b_%d.exr", config)
    if strict:
        with pytest.raises(OutputError, match=r"values over white \(1 of 1 frames has some, 1e\+02% of"):
            run(request)
        assert not run_folder(request.output).exists()
    else:
        run(request)
        assert (tmp_path / "b_1.exr").is_file()


def test_primaries_of_aces_are_named(tmp_path: Path) -> None:
    ap1 = (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767)
    path = write_exr(tmp_path / "a.exr", np.zeros((4, 4, 3), np.float16), chromaticities=ap1)
    assert 'add --input-transform "ocio:ACEScg"' in survey(path)[0]


def test_primaries_that_the_transform_converts_are_not_named(tmp_path: Path) -> None:
    pytest.importorskip("PyOpenColorIO", reason="the extra ocio is not installed")
    ap1 = (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767)
    path = write_exr(tmp_path / "a.exr", np.zeros((4, 4, 3), np.float16), chromaticities=ap1)
    assert survey(path, transform="ocio:ACEScg") == []


def test_opencolorio_gives_the_colours_of_aces(tmp_path: Path) -> None:
    pytest.importorskip("PyOpenColorIO", reason="the extra ocio is not installed")
    # A Rec. 709 red in ACEScg (Bradford from D65 to ACES white), by the matrix that ACES publishes.
    red = np.full((4, 4, 3), (0.6131, 0.0702, 0.0206), np.float32)
    path = write_exr(tmp_path / "a.exr", red)
    seen = read_image(path, transform="ocio:ACEScg")
    assert np.abs(seen[0, 0].astype(int) - (65535, 0, 0)).max() < 300
    write_image(tmp_path / "b.exr", seen, transform="ocio:ACEScg")
    assert np.abs(read_values(tmp_path / "b.exr").astype(float) - red).max() < 2e-3


def test_integers_and_subsampled_channels_are_refused(tmp_path: Path) -> None:
    ids = {letter: np.zeros((4, 4), np.uint32) for letter in "RGB"}
    with pytest.raises(SourceError, match="whole numbers"):
        read_exr(write_exr(tmp_path / "a.exr", ids))
    luma = {"Y": np.zeros((4, 4), np.float16), "RY": np.zeros((4, 4), np.float16), "BY": np.zeros((4, 4), np.float16)}
    with pytest.raises(SourceError, match="no channels R, G, B or Y"):
        read_exr(write_exr(tmp_path / "b.exr", luma))


def test_deep_data_is_refused_in_words(tmp_path: Path) -> None:
    samples = np.empty((2, 3), object)
    for place in np.ndindex(samples.shape):
        samples[place] = np.array([0.5, 0.25], np.float32)
    channels = dict.fromkeys(("R", "G", "B", "A", "Z"), samples)
    header = {"compression": OpenEXR.ZIPS_COMPRESSION, "type": OpenEXR.deepscanline}
    OpenEXR.File(header, channels).write(str(tmp_path / "a.exr"))
    with pytest.raises(SourceError, match="deep data"):
        read_exr(tmp_path / "a.exr")


def test_claimed_giant_size_is_refused_before_decoding(tmp_path: Path) -> None:
    path = write_exr(tmp_path / "a.exr", np.zeros((16, 16, 3), np.float16), data_at=(7, 9))
    window = np.array([7, 9, 22, 24], "<i4")
    giant = np.array([7, 9, 7 + 59_999, 9 + 59_999], "<i4")
    path.write_bytes(path.read_bytes().replace(window.tobytes(), giant.tobytes()))
    for read in (read_image_header, read_image):
        with pytest.raises(SourceError, match=r"data window .* is not usable"):
            read(path)
    assert limits.MAX_PIXELS < 60_000**2


def test_thousands_of_channels_are_refused(tmp_path: Path) -> None:
    plane = np.zeros((2, 2), np.float16)
    path = write_exr(tmp_path / "a.exr", {f"c{number:04d}": plane for number in range(1500)})
    with pytest.raises(SourceError, match="it has 1500 channels"):
        read_image_header(path)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("os.abort()", "crashes its decoder"),
        ("time.sleep(600)", r"takes more than 0\.5 s"),
        ("print('no json')", "crashes its decoder"),
        ("""print('{"shape": [3, 99999, 99999], "dtype": "<f4"}')""", "crashes its decoder"),
        ("""print('{"shape": [3, 4, 4], "dtype": "|O"}')""", "crashes its decoder"),
    ],
)
def test_a_decoder_that_fails_is_replaced(
    answer: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_exr(tmp_path / "a.exr", from_pixels(media.numbered_picture(5)))
    program = tmp_path / "program.py"
    program.write_text(f"import os, sys, time\nsys.stdin.readline()\n{answer}\nsys.stdout.flush()\nos._exit(1)\n")
    decoder = PictureProcess()
    with monkeypatch.context() as patched:
        patched.setattr(picture_process, "_PROGRAM", program)
        patched.setattr(picture_process, "_ANSWER_SECONDS", 0.5)
        with pytest.raises(SourceError, match=message):
            decoder.decode("exr", path, pixels=True)
    _, planes = decoder.decode("exr", path, pixels=True)
    assert planes.shape == (3, 64, 96)
    decoder.close()


def test_a_folder_or_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.exr").mkdir()
    with pytest.raises(SourceError, match="is not a file"):
        read_image_header(tmp_path / "a.exr")
    with pytest.raises(SourceError, match="there is no image"):
        read_image_header(tmp_path / "b.exr")


def test_opencv_reads_what_is_written(tmp_path: Path) -> None:
    write_image(tmp_path / "a.exr", media.numbered_picture(9))
    script = "import cv2, sys, numpy; numpy.save(sys.argv[2], cv2.imread(sys.argv[1], cv2.IMREAD_UNCHANGED))"
    command = [sys.executable, "-c", script, str(tmp_path / "a.exr"), str(tmp_path / "a.npy")]
    subprocess.run(command, check=True, env=os.environ | {"OPENCV_IO_ENABLE_OPENEXR": "1"})
    wanted = from_pixels(media.numbered_picture(9)).astype(np.float32)
    assert np.array_equal(np.load(tmp_path / "a.npy")[..., ::-1], wanted)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("end", ["pass", "os.kill(os.getpid(), 9)"])
def test_the_child_ends_with_its_process(end: str, tmp_path: Path) -> None:
    path = write_exr(tmp_path / "a.exr", np.zeros((4, 4, 3), np.float16))
    script = (
        "import os, sys; from pathlib import Path; from vidnst.media.images import read_image\n"
        "from vidnst.media.input.picture_process import PICTURE_PROCESS\n"
        f"read_image(Path(sys.argv[1])); print(PICTURE_PROCESS._process.pid, flush=True); {end}\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert wait_until(lambda: not is_running(int(done.stdout)), timeout_seconds=30)


def test_one_child_serves_all_files(tmp_path: Path) -> None:
    path = write_exr(tmp_path / "a.exr", np.zeros((4, 4, 3), np.float16))
    read_image(path)
    first = PICTURE_PROCESS._process
    read_image(path)
    assert PICTURE_PROCESS._process is first


def test_names_that_are_not_utf8_are_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.exr")
    write_image(path, to_bits(media.numbered_picture(2), 16))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert media.read_index(read_image(path)) == 2
