"""Reads what a source holds, and says for an output what is kept, changed or dropped."""

from pathlib import Path

from vidnst.frames import ClipInfo, SourceKind
from vidnst.media.input.container import read_container
from vidnst.media.input.picture_facts import read_picture_facts
from vidnst.media.output.audio import keeps_audio
from vidnst.media.output.audio_plan import AudioPlan, plan_audio
from vidnst.media.output.dry_mux import try_streams
from vidnst.media.output.fate_table import image_rows, video_rows
from vidnst.media.output.fates import FateRow
from vidnst.media.output.formats import choose_format
from vidnst.media.output.resolved_output import ResolvedOutput


def find_fates(
    output: Path, resolved: ResolvedOutput, clip: ClipInfo, *, start: int, end: int, size: tuple[int, int]
) -> tuple[FateRow, ...]:
    """Return the rows of the table for an output. What is copied is tried with a second or two of it.

    Args:
        resolved: the output's settings for this source.
        start, end: the frames to be rendered.
        size: width and height of the rendered frames.

    Raises:
        SourceError: the source cannot be read.
        OutputError: the suffix is unknown, or does not fit the codec.
        ConfigError: the codec does not support the settings.
        EncoderError: the encoder of the video does not work.
    """
    target = choose_format(output, resolved.settings, frames=end - start, width=size[0], height=size[1])
    if clip.kind is not SourceKind.VIDEO:
        facts = read_picture_facts(clip.paths[start if clip.kind is SourceKind.PICTURES else 0])
        return image_rows(clip, facts, target, resolved, start=start, end=end, size=size)
    info = read_container(clip.paths[0])
    joined = clip.parts > 1
    tried = try_streams(clip.paths[0], info, target, clip.pts_seconds[start], joined=joined)
    sound = AudioPlan()
    if keeps_audio(target, resolved.settings):
        sound = plan_audio(clip.paths[0], info, target.suffix, joined=joined)
    return video_rows(clip, info, target, resolved, tried, sound, start=start, end=end, size=size)
