"""A render says once, before it paints, what its output changes or drops, and the report has the whole table."""

import json
from pathlib import Path

import pytest
from support import media
from support.renders import quick_config, warnings_in

import vidnst
from vidnst.errors import OutputError
from vidnst.events import Event
from vidnst.media.output.fates import Fate
from vidnst.rendering.prepare import check_request
from vidnst.runs.record import find_record
from vidnst.runs.request import Request

PASS_THROUGH = {"optimize": {"iterations": 0}, "schedule": {"kind": "independent"}}


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A clip with a subtitle and a tag that MP4 does not have."""
    flat = media.write_video(tmp_path / "flat.mp4", media.numbered_pictures(4))
    (tmp_path / "s.srt").write_text("1\n00:00:00,000 --> 00:00:00,100\nhello\n")
    path = tmp_path / "film.mkv"
    words = ("-i", flat, "-i", tmp_path / "s.srt", "-c", "copy", "-c:s", "srt", "-metadata", "shelf=three")
    media.run_ffmpeg(*words, path)
    return path


def test_lines_are_said_once_and_kept_in_the_run(film: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    output = tmp_path / "o.mp4"
    vidnst.render(film, style=(), output=output, config=quick_config(PASS_THROUGH), on_event=events.append)
    assert warnings_in(events) == [
        "subtitles 1 (subrip): changed, converted to mov_text",
        "tags (shelf): dropped, .mp4 files have no place for them",
    ]
    record = find_record(output)
    assert record is not None
    assert record.plan is not None
    fates = {row.name: row.fate for row in record.plan.fates if row.name != "tags"}
    assert fates["subtitles 1"] is Fate.CHANGED
    assert fates["size"] is Fate.KEPT


LOST = ("subtitles 1 (subrip): changed, converted to mov_text", "tags (shelf): dropped")


def test_plan_and_batch_say_the_same_lines(film: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    config = quick_config(PASS_THROUGH)
    vidnst.plan(film, style=(), output=tmp_path / "o.mp4", config=config, timed=False, on_event=events.append)
    assert [text.startswith(words) for text, words in zip(warnings_in(events), LOST, strict=True)] == [True, True]
    jobs = tmp_path / "jobs.yaml"
    defaults = {"set": quick_config(PASS_THROUGH).model_dump(mode="json"), "folder": "out", "output": "{source}.mp4"}
    entries = [{"sources": ["film.mkv"], "styles": [str(media.write_style(tmp_path / "style.png"))]}]
    jobs.write_text(json.dumps({"defaults": defaults, "jobs": entries}))
    vidnst.batch(jobs, farm={"executor": "inline"}, on_event=events.append)
    for words in LOST:
        assert len([text for text in warnings_in(events)[2:] if words in text]) == 1


def test_interlaced_source_is_named(tmp_path: Path) -> None:
    source = tmp_path / "s.mkv"
    scan = ("-flags:v", "+ilme+ildct", "-c:v", "mpeg2video", "-b:v", "4M")
    media.run_ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=50:d=0.4", "-vf", "tinterlace=interleave_top", *scan, source
    )
    events: list[Event] = []
    check_request(Request(str(source), (), tmp_path / "o.mkv", quick_config(PASS_THROUGH)), on_event=events.append)
    assert warnings_in(events) == ["scan (interlaced): changed, to one progressive picture for each frame"]


def test_strict_render_does_not_start(film: Path, tmp_path: Path) -> None:
    config = quick_config(PASS_THROUGH, output={"strict": True})
    with pytest.raises(OutputError, match=r"subtitles 1 .*; tags \(shelf\)"):
        vidnst.render(film, style=(), output=tmp_path / "o.mp4", config=config)
    assert not (tmp_path / "o.mp4.vidnst").exists()


def test_strict_render_starts_if_all_is_kept(film: Path, tmp_path: Path) -> None:
    config = quick_config(PASS_THROUGH, output={"strict": True})
    checked = check_request(Request(str(film), (), tmp_path / "o.mkv", config))
    assert all(row.fate is Fate.KEPT for row in checked.fates)


def test_frames_alone_need_no_fates(film: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    request = Request(str(film), (), tmp_path / "frames", quick_config(PASS_THROUGH, output={"strict": True}))
    assert check_request(request, frames_only=True, on_event=events.append).fates == ()
    assert not warnings_in(events)


def test_exif_and_profiles_of_images_are_named(tmp_path: Path) -> None:
    from PIL import Image, ImageCms

    image = Image.fromarray(media.photo())
    exif = image.getexif()
    exif[0x0112], exif[0x010F] = 3, "Maker"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "a.jpg", exif=exif, icc_profile=profile)
    request = Request(str(tmp_path / "a.jpg"), (), tmp_path / "o.png", quick_config(PASS_THROUGH))
    fates = {row.name: (row.value, row.fate) for row in check_request(request).fates}
    assert fates["orientation"] == ("turned by 180 degrees", Fate.KEPT)
    assert fates["EXIF"] == fates["ICC profile"] == ("", Fate.DROPPED)
