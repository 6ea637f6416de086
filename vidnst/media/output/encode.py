"""Encoding of finished frames with the source's time stamps, colours, audio and metadata, and verification."""

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from vidnst.config import OutputConfig
from vidnst.files.atomic_write import translate_os_errors
from vidnst.files.file_names import derived_name
from vidnst.files.part_files import PartMaker
from vidnst.frames import ClipInfo, HdrInfo, SourceKind
from vidnst.media import ffmpeg
from vidnst.media.input.alpha import AlphaPlanes
from vidnst.media.input.container import ContainerInfo, read_container
from vidnst.media.input.image_header import read_image_header
from vidnst.media.input.stream_facts import AudioStream
from vidnst.media.output import audio, png_stream
from vidnst.media.output.animation_times import ChosenFrames, chosen_planes, shown_frames
from vidnst.media.output.audio_input import AudioInput, as_seconds, joined_inputs, map_options, source_input
from vidnst.media.output.audio_plan import AudioPlan, plan_audio
from vidnst.media.output.colour_tags import colour_filters
from vidnst.media.output.copied_content import CopiedContent, copied_content
from vidnst.media.output.dry_mux import TriedStreams, try_streams
from vidnst.media.output.formats import OutputFormat, OutputKind, choose_format
from vidnst.media.output.frame_sequence import sequence_files, write_sequence
from vidnst.media.output.hdr_output import hdr_options, hdr_pixels
from vidnst.media.output.metadata import metadata_options
from vidnst.media.output.picture_files import write_folder, write_single_image
from vidnst.media.output.restyled_audio import Soundtrack, map_made, sound_range
from vidnst.media.output.stamp_options import interleave_options, repeat_options, stamp_options
from vidnst.media.output.stream_copy import CopiedRange
from vidnst.media.output.timecode import output_timecode, timecode_options
from vidnst.media.output.verify import verify_output, verify_streams
from vidnst.media.output.webp_blending import stop_blending

FrameProgress = Callable[[int], None]
Cancelled = Callable[[], bool]

_NEXT_TO_OUTPUT = PartMaker()
_EPSILON = Fraction(1, 1000)
"""Share of a frame that the decimals given to ffmpeg may be off."""


def encode(
    frames: Sequence[Path],
    output: Path,
    *,
    clip: ClipInfo,
    start: int,
    end: int,
    settings: OutputConfig,
    alpha: AlphaPlanes | None = None,
    soundtrack: Soundtrack | None = None,
    parts: PartMaker = _NEXT_TO_OUTPUT,
    on_progress: FrameProgress | None = None,
    cancelled: Cancelled | None = None,
) -> None:
    """Encode finished frames, verify the result, and replace `output` atomically.

    Args:
        frames: one PNG, 8- or 16-bit RGB, for each frame `start <= index < end` of the source.
        settings: with `alpha: keep` if `alpha` is given.
        alpha: the alpha of the frames; None if they are opaque.
        soundtrack: the audio of a video; None takes that of the source.
        parts: makes the temporary file or folder.
        on_progress: called with the number of encoded frames.
        cancelled: polled regularly; True stops.

    Raises:
        OutputError: a frame is missing or of another size, or the result is not as planned.
        EncoderError, DiskFullError: ffmpeg failed.
        ConfigError: the codec does not support the settings.
        CancelledError: `cancelled` returned True.
    """
    if len(frames) != end - start or not frames:
        raise ValueError(f"{len(frames)} frames for {start}..{end}")
    first = read_image_header(frames[0])
    size = (first.width, first.height)
    target = choose_format(output, settings, frames=len(frames), width=size[0], height=size[1])
    if target.kind is OutputKind.IMAGE:
        write_single_image(frames[0], output, alpha, clip)
    elif files := sequence_files(output, settings, clip=clip, start=start, end=end):
        write_sequence(
            frames,
            output,
            files,
            transform=clip.transform,
            alpha=alpha,
            background=clip.background,
            on_progress=on_progress,
            cancelled=cancelled,
            parts=parts,
        )
    elif target.kind is OutputKind.FOLDER:
        merged = png_stream.read_png_frames(frames, size, alpha=alpha, background=clip.background) if alpha else None
        first_number = start if settings.start_number is None else settings.start_number
        write_folder(frames, output, first_number, on_progress, cancelled, merged, parts=parts)
    else:
        part: Path | None = None
        try:
            with translate_os_errors(output.parent):
                part = parts.file(output)
                encoding = FfmpegEncode(frames, part, target, settings, clip, start, end, size, alpha)
                encoding = replace(encoding, soundtrack=soundtrack)
                encoding.as_shown().run(on_progress, cancelled)
                part.replace(output)
        finally:
            if part is not None:
                part.unlink(missing_ok=True)


def encode_part(
    frames: Sequence[Path],
    part: Path,
    *,
    clip: ClipInfo,
    start: int,
    end: int,
    settings: OutputConfig,
    alpha: AlphaPlanes | None = None,
    on_progress: FrameProgress | None = None,
    cancelled: Cancelled | None = None,
) -> None:
    """Encode a video or an animation and verify it, but leave the renaming to the caller.

    Args:
        frames: see `encode`. Several threads request them, and may block until a frame is written; an error that a
            request raises is raised here.
        part: an empty file with the output's suffix, made by a `PartMaker`. The caller must remove it after an error.
        clip, start, end, settings, alpha, on_progress, cancelled: see `encode`, also for the errors.
    """
    first = read_image_header(frames[0])
    size = (first.width, first.height)
    target = choose_format(part, settings, frames=len(frames), width=size[0], height=size[1])
    encoding = FfmpegEncode(frames, part, target, settings, clip, start, end, size, alpha)
    encoding.as_shown().run(on_progress, cancelled)


@dataclass(frozen=True, slots=True)
class FfmpegEncode:
    """One encoding by ffmpeg."""

    frames: Sequence[Path]
    part: Path
    target: OutputFormat
    settings: OutputConfig
    clip: ClipInfo
    start: int
    end: int
    size: tuple[int, int]
    alpha: AlphaPlanes | None
    final_delay: bool = False
    """True if the duration of an animation's last frame must be given to the muxer."""
    soundtrack: Soundtrack | None = None
    """The audio, if it is not the source's."""

    def as_shown(self) -> "FfmpegEncode":
        """Return the encoding of the frames that browsers show of an animation; itself if these are all."""
        shown = shown_frames(self.target.codec, *self.times)
        if shown is None:
            return self
        clip = replace(
            self.clip,
            variable_rate=True,
            pts_seconds=shown.pts_seconds,
            last_duration_seconds=shown.last_duration_seconds,
        )
        frames = ChosenFrames(self.frames, shown.indices)
        alpha = chosen_planes(self.alpha, shown.indices) if self.alpha else None
        return replace(self, frames=frames, alpha=alpha, clip=clip, start=0, end=len(frames), final_delay=True)

    def beginning(self, count: int) -> "FfmpegEncode":
        """Return the encoding of the first `count` frames alone; itself if there are no more."""
        frames = self.frames[:count]
        return replace(self, frames=frames, end=self.start + len(frames))

    @property
    def _hdr(self) -> HdrInfo | None:
        return self.clip.hdr if self.settings.hdr == "keep" else None

    @property
    def times(self) -> tuple[tuple[Fraction, ...], Fraction]:
        """Time stamps of the frames, and the duration of the last one."""
        return self.clip.pts_seconds[self.start : self.end], self.clip.frame_duration_seconds(self.end - 1)

    def run(self, on_progress: FrameProgress | None, cancelled: Cancelled | None) -> None:
        source = self._source()
        sound = self.soundtrack.plan if self.soundtrack else AudioPlan()
        if source and not self.soundtrack and audio.keeps_audio(self.target, self.settings):
            sound = plan_audio(self.clip.paths[0], source, self.target.suffix, joined=self.clip.parts > 1)
        tried = TriedStreams()
        if source and self.target.kind is OutputKind.VIDEO:
            begin = self.clip.pts_seconds[self.start]
            tried = try_streams(self.clip.paths[0], source, self.target, begin, joined=self.clip.parts > 1)
        self._write(source, sound, tried, on_progress, cancelled)
        verify_output(self.part, *self.times, size=self.size, audio_streams=len(sound.streams), cancelled=cancelled)
        verify_streams(self.part, [decision.stream for decision in tried.kept])

    def write_pictures(self, cancelled: Cancelled | None = None) -> None:
        """Encode the frames alone, without sound and streams that are copied, and do not verify the result."""
        self._write(self._source(), AudioPlan(), TriedStreams(), None, cancelled)

    def _source(self) -> ContainerInfo | None:
        return read_container(self.clip.paths[0]) if self.clip.kind is SourceKind.VIDEO else None

    def _write(
        self,
        source: ContainerInfo | None,
        sound: AudioPlan,
        tried: TriedStreams,
        on_progress: FrameProgress | None,
        cancelled: Cancelled | None,
    ) -> None:
        palette = self._palette_path() if self.target.codec == "gif" else None
        try:
            if palette:
                args = [*self._frame_input(), "-vf", "palettegen", "-frames:v", "1"]
                args += ["-update", "1", "-y", ffmpeg.file_url(palette)]
                ffmpeg.run(args, feed=self._input_stream(), cancelled=cancelled)
            with tempfile.TemporaryDirectory() as folder:
                joined = self._joined_inputs(source, sound, Path(folder))
                args = self._arguments(source, sound, palette, tried, Path(folder), joined)
                ffmpeg.run(args, feed=self._input_stream(), on_progress=on_progress, cancelled=cancelled)
        finally:
            if palette:
                palette.unlink(missing_ok=True)
        if self.alpha and self.target.codec == "webp":
            stop_blending(self.part)
        with self.part.open("rb") as file:
            os.fsync(file.fileno())

    def _palette_path(self) -> Path:
        return self.part.with_name(derived_name(self.part.stem, suffix=".palette.png"))

    def _input_stream(self) -> Iterator[bytes]:
        frames = png_stream.read_png_frames(
            self.frames,
            self.size,
            to_8_bits=not self.target.high_bit_depth,
            alpha=self.alpha,
            background=self.clip.background,
            convert=partial(hdr_pixels, hdr=self._hdr) if self._hdr else None,
        )
        return png_stream.to_matroska(frames, self.size, *self.times) if self.clip.variable_rate else frames

    def _frame_input(self) -> list[str]:
        if self.clip.variable_rate:
            return [*ffmpeg.PROTOCOL_OPTIONS, "-f", "matroska", "-i", "pipe:0"]
        rate = f"{self.clip.rate.numerator}/{self.clip.rate.denominator}"
        return [*ffmpeg.PROTOCOL_OPTIONS, "-f", "image2pipe", "-framerate", rate, "-c:v", "png", "-i", "pipe:0"]

    def _joined_inputs(self, source: ContainerInfo | None, sound: AudioPlan, folder: Path) -> list[AudioInput]:
        """Return the inputs of the audio that is not the source's own, or must be joined first; else none."""
        if self.soundtrack and sound.streams:
            return self.soundtrack.inputs(self._range(source)[0] if source else Fraction(0))
        if source is None or self.clip.parts == 1:
            return []
        return joined_inputs(self.clip.paths[0], source, sound.streams, folder)

    def _arguments(
        self,
        source: ContainerInfo | None,
        sound: AudioPlan,
        palette: Path | None,
        tried: TriedStreams,
        folder: Path,
        joined: Sequence[AudioInput] = (),
    ) -> list[str]:
        streams, copied = sound.streams, CopiedContent()
        video_delay, audio_delay = self._delays(source, streams)
        args = [*self.target.device_options, "-itsoffset", as_seconds(video_delay), *self._frame_input()]
        if source is not None and self.target.kind is OutputKind.VIDEO:
            begin, end = self._range(source)
            own = () if self.soundtrack else streams
            inputs = [source_input(self.clip.paths[0], source, own), *joined]
            args += [word for each in inputs for word in each.options(begin, end, audio_delay)]
            copied = copied_content(
                self.clip.paths[0],
                source,
                tried.kept,
                streams,
                self._copied_range(video_delay),
                suffix=self.target.suffix,
                folder=folder,
                first_input=1 + len(inputs),
            )
            maps = map_made(streams, 2) if self.soundtrack else map_options(streams, joined=bool(joined))
            args += [*copied.inputs, "-map", "0:v:0", *maps, *copied.maps]
            timecode, _ = output_timecode(source, self.target, self.clip, start=self.start)
            args += timecode_options(timecode)
        elif joined:
            args += [word for each in joined for word in each.options(Fraction(0), None, Fraction(0))]
            args += ["-map", "0:v:0", *map_made(streams, 1)]
        if palette:
            args += [*ffmpeg.PROTOCOL_OPTIONS, "-f", "png_pipe", "-i", ffmpeg.file_url(palette)]
            args += ["-lavfi", "[0:v][1:v]paletteuse"]
        else:
            args += ["-filter:v:0", ",".join(self._filters(source))]
        args += ["-c:v:0", self.target.encoder, *self.target.options, *self._hdr_options()]
        args += repeat_options(self.target, self.clip.plays or 0)
        if self.clip.variable_rate:
            args += stamp_options(self.target, *self.times, delay=video_delay, with_final_delay=self.final_delay)
        args += ["-fps_mode", "passthrough", *metadata_options(source, self.target)]
        if streams or tried.kept:
            args += interleave_options(self.clip.pts_seconds[self.start : self.end])
        if streams:
            args += audio.output_options(self.target.suffix, streams, sound.encoders)
            if self.start:
                args += ["-copypriorss:a", "0"]  # copying would start at the source's key frame before the range
        return [*args, *copied.options, "-y", ffmpeg.file_url(self.part)]

    def _copied_range(self, video_delay: Fraction) -> CopiedRange:
        pts = self.clip.pts_seconds
        end = pts[self.end] if self.end < self.clip.frame_count else None
        return CopiedRange(pts[self.start], end, video_delay)

    def _delays(self, source: ContainerInfo | None, streams: Sequence[AudioStream]) -> tuple[Fraction, Fraction]:
        """Return the delays of video and audio that preserve audio before the first frame of the source.

        Video starts at a multiple of its frame duration, which is the clock of its encoder; the audio is delayed by the
        difference.
        """
        if source is None or not streams or self.start:
            return Fraction(0), Fraction(0)
        delay = max(Fraction(0), self.clip.pts_seconds[0] - source.start_seconds)
        if self.clip.variable_rate:
            return delay, Fraction(0)
        video_start = Fraction(math.ceil(delay * self.clip.rate - _EPSILON)) / self.clip.rate
        return video_start, max(Fraction(0), video_start - delay)

    def _range(self, source: ContainerInfo) -> tuple[Fraction, Fraction | None]:
        """Return where the range begins and ends on the source's clock; None is the end of the file."""
        return sound_range(self.clip, source, self.start, self.end)

    def _filters(self, source: ContainerInfo | None) -> list[str]:
        deep = self.settings.picture_bits > 8
        tells = source.video if source else None
        filters = colour_filters(self.target, self.clip, tells, size=self.size, deep=deep, hdr=self._hdr)
        if source is not None and source.sample_aspect != 1:
            aspect = 1 / source.sample_aspect if source.rotation_degrees % 180 else source.sample_aspect
            filters += [f"setsar={aspect.numerator}/{aspect.denominator}"]
        return [*filters, *self.target.device_filters]

    def _hdr_options(self) -> list[str]:
        return hdr_options(self.target.codec, self._hdr, self.size) if self._hdr else []
