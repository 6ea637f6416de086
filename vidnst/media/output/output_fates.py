"""Reads what a source holds, and says for an output what is kept, changed or dropped."""

from collections.abc import Callable
from pathlib import Path

from vidnst.frames import ClipInfo, SourceKind
from vidnst.media.input.container import read_container
from vidnst.media.input.picture_facts import read_picture_facts
from vidnst.media.input.scene_survey import survey_scene
from vidnst.media.output.audio import keeps_audio
from vidnst.media.output.audio_plan import AudioPlan, plan_audio
from vidnst.media.output.dry_mux import try_streams
from vidnst.media.output.fate_table import image_rows, video_rows
from vidnst.media.output.fates import FateRow
from vidnst.media.output.formats import OutputKind, choose_format
from vidnst.media.output.resolved_output import ResolvedOutput
from vidnst.media.output.scene_rows import scene_rows
from vidnst.media.output.track_labels import try_labels


def find_fates(
    output: Path,
    resolved: ResolvedOutput,
    clip: ClipInfo,
    *,
    start: int,
    end: int,
    size: tuple[int, int],
    restyled_after: str = "",
    may_be_damaged: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[FateRow, ...]:
    """Return the rows of the table for an output.

    What is copied is tried with a second or two of it; EXR and DPX files are decoded.

    Args:
        resolved: the output's settings for this source.
        start, end: the frames to be rendered.
        size: width and height of the rendered frames.
        restyled_after: see `plan_audio`.
        may_be_damaged, on_progress: see `find_scene_fates`.

    Raises:
        SourceError: the source cannot be read, or an EXR or DPX file that may not be damaged.
        OutputError: the suffix is unknown, or does not fit the codec.
        ConfigError: the codec does not support the settings.
        EncoderError: the encoder of the video does not work.
    """
    target = choose_format(output, resolved.settings, frames=end - start, width=size[0], height=size[1])
    if clip.kind is not SourceKind.VIDEO:
        is_animation = clip.kind is SourceKind.ANIMATION
        facts = read_picture_facts(clip.paths if is_animation else clip.paths[start:end], is_animation=is_animation)
        rows = image_rows(clip, facts, target, resolved, start=start, end=end, size=size)
        light = find_scene_fates(clip, start, end, may_be_damaged=may_be_damaged, on_progress=on_progress)
        return (*rows, *light)
    info = read_container(clip.paths[0])
    joined = clip.parts > 1
    tried = try_streams(clip.paths[0], info, target, clip.pts_seconds[start], joined=joined)
    sound = AudioPlan()
    if keeps_audio(target, resolved.settings):
        sound = plan_audio(clip.paths[0], info, target.suffix, joined=joined, restyled_after=restyled_after)
    labels = try_labels(clip.paths[0], info, target, sound) if target.kind is OutputKind.VIDEO else {}
    return video_rows(clip, info, target, resolved, tried, sound, labels, start=start, end=end, size=size)


def find_scene_fates(
    clip: ClipInfo,
    start: int,
    end: int,
    *,
    may_be_damaged: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[FateRow, ...]:
    """Return the rows of what painting cannot keep of EXR and DPX files, which are decoded; of other sources none.

    Args:
        start, end: the frames to be rendered.
        may_be_damaged: True to leave out files that do not decode.
        on_progress: called with the number of files seen so far.

    Raises:
        BadFrameError: a file does not decode, and none may be damaged.
    """
    if clip.kind is not SourceKind.PICTURES:
        return ()
    paths = clip.paths[start:end]
    survey = survey_scene(paths, clip.transform, may_be_damaged=may_be_damaged, on_progress=on_progress)
    return tuple(scene_rows(survey, clip.transform))
