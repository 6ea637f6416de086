"""A trial, before anything is painted, of what is copied from a source: the container may refuse a stream or a tag."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from vidnst.errors import EncoderError, SourceError
from vidnst.media import ffmpeg
from vidnst.media.input.container import ContainerInfo, read_container
from vidnst.media.input.stream_facts import StreamInfo
from vidnst.media.output.fates import Fate
from vidnst.media.output.formats import OutputFormat, OutputKind
from vidnst.media.output.kept_streams import StreamDecision, decide_streams, name_of
from vidnst.media.output.metadata import metadata_options
from vidnst.media.output.stream_copy import (
    CopiedRange,
    copy_input,
    copy_maps,
    copy_options,
    extract_covers,
)
from vidnst.media.output.track_labels import lost_labels

_TRIAL_SECONDS = 2
_TIMEOUT_SECONDS = 120
_CONTAINER_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder")


@dataclass(frozen=True, slots=True)
class TriedStreams:
    """What becomes of streams, known for certain."""

    decisions: tuple[StreamDecision, ...] = ()
    """The fate of each stream that is neither the rendered video nor sound."""
    written: ContainerInfo | None = None
    """What the trial's file holds; None if there was nothing to try."""

    @property
    def kept(self) -> tuple[StreamDecision, ...]:
        """The streams that the output gets, in order."""
        return tuple(decision for decision in self.decisions if decision.encoder)


def tag_options(number: int, *, chapters: int = -1) -> list[str]:
    """Return ffmpeg's options that copy the tags of input `number`, but not those of the container itself.

    Args:
        chapters: number of the input that has the chapters; -1 is none.
    """
    words = [word for tag in _CONTAINER_TAGS for word in ("-metadata", f"{tag}=")]
    return ["-map_metadata", str(number), "-map_chapters", str(chapters), *words]


def user_tags(info: ContainerInfo) -> dict[str, str]:
    """Return the tags of a file that are not about the container, by their names in lower case."""
    return {key.lower(): value for key, value in info.metadata.items() if key.lower() not in _CONTAINER_TAGS}


def try_streams(
    path: Path, info: ContainerInfo, target: OutputFormat, begin: Fraction, *, joined: bool = False
) -> TriedStreams:
    """Copy the first seconds of a range into a file of the output's container, and read what arrived.

    Args:
        path: the source.
        begin: start of the range on the file's clock.
        joined: whether the source is of several recordings, joined byte by byte, whose clock jumps.

    Returns:
        The decisions: refused streams are dropped, and what a stream loses is named.

    Raises:
        EncoderError: the encoder of the video does not work.
    """
    decisions = decide_streams(info, target)
    if joined:
        decisions = tuple(d.refused("its parts cannot be joined") if d.encoder else d for d in decisions)
    tried = TriedStreams(decisions)
    if target.kind is not OutputKind.VIDEO or not (tried.kept or user_tags(info)):
        return tried
    part = CopiedRange(begin, begin + _TRIAL_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"trial{target.suffix}")
        if not _mux(path, info, target, tried.kept, part, file):
            works = {d.stream.index for d in tried.kept if _mux(path, info, target, [d], part, file)}
            why = f"ffmpeg cannot write it; {name_of(target)} may not hold it"
            tried = TriedStreams(
                tuple(d if not d.encoder or d.stream.index in works else d.refused(why) for d in decisions)
            )
            if not _mux(path, info, target, tried.kept, part, file):
                raise EncoderError(f"{target.encoder} cannot write {target.suffix} files", "choose another output")
        try:
            written = read_container(file)
        except SourceError as error:
            raise EncoderError(f"a trial of {target.suffix} is not readable: {error.what}") from error
    return TriedStreams(_with_losses(tried.decisions, written, target), written)


def _mux(
    path: Path,
    info: ContainerInfo,
    target: OutputFormat,
    kept: Sequence[StreamDecision],
    part: CopiedRange,
    file: Path,
) -> bool:
    args = ["-loglevel", "error", *target.device_options, "-f", "lavfi"]
    args += ["-i", "color=gray:size=256x256:rate=5:duration=1", *copy_input(path, info, part)]
    args += ["-map", "0:v:0", *copy_maps(kept, 1, target.suffix), *tag_options(1)]
    filters = ",".join([f"format={target.pixel_format}", *target.device_filters])
    args += ["-filter:v:0", filters, "-c:v:0", target.encoder, *target.options, *metadata_options(info, target)]
    covers = extract_covers(path, kept, target.suffix, file.parent)
    args += [*copy_options(kept, part, target.suffix, covers), "-metadata", "timecode=", "-y", ffmpeg.file_url(file)]
    status, _, _ = ffmpeg.run_and_capture(args, seconds=_TIMEOUT_SECONDS)
    return status == 0


def _with_losses(
    decisions: Sequence[StreamDecision], written: ContainerInfo, target: OutputFormat
) -> tuple[StreamDecision, ...]:
    arrived: dict[tuple[str, bool], list[StreamInfo]] = {}
    for stream in written.streams:
        if stream.index != written.video_index:
            arrived.setdefault((stream.kind, stream.is_cover), []).append(stream)
    result = []
    for decision in decisions:
        same = arrived.get((decision.stream.kind, decision.stream.is_cover), [])
        if not decision.encoder:
            result.append(decision)
        elif not same:
            result.append(decision.refused(f"{name_of(target)} do not hold it"))
        else:
            result.append(_with_loss(decision, same.pop(0), target))
    return tuple(result)


def _with_loss(decision: StreamDecision, arrived: StreamInfo, target: OutputFormat) -> StreamDecision:
    text = lost_labels(decision.stream, arrived, target.suffix)
    if not text:
        return decision
    return replace(decision, fate=Fate.CHANGED, how=f"{decision.how}; {text}" if decision.how else text)
