"""Finished frames become the output: encoded with the source's times, colours, sound and metadata, then checked."""

import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vidnst.atomic_write import part_path, translate_os_errors
from vidnst.config import OutputConfig
from vidnst.errors import CancelledError
from vidnst.frames import ClipInfo, SourceKind
from vidnst.media import ffmpeg, images
from vidnst.media.input.container import INPUT_OPTIONS, AudioStream, ContainerInfo, read_container
from vidnst.media.output import audio, png_stream
from vidnst.media.output.formats import OutputFormat, OutputKind, choose_format
from vidnst.media.output.preflight import check_output, check_replaceable
from vidnst.media.output.verify import planned_times, verify_output

__all__ = ["check_output", "colour_matrix", "encode", "encode_part"]

FrameProgress = Callable[[int], None]
Asked = Callable[[], bool]

_HIGH_DEFINITION_LINES = 576
_KEPT_MATRICES = frozenset({"bt709", "smpte170m", "bt470bg"})
_SCALER = "accurate_rnd+full_chroma_int+full_chroma_inp"
_CONTAINER_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder")
_HAIR = Fraction(1, 1000)
"""Of a frame: what ffmpeg's decimals may be off."""
_HELD_BACK_FRAMES = 256
"""More than any encoder keeps before it gives the first."""
_USUAL_PATIENCE = 10_000_000


def encode(
    frames: Sequence[Path],
    output: Path,
    *,
    clip: ClipInfo,
    start: int,
    end: int,
    settings: OutputConfig,
    on_progress: FrameProgress | None = None,
    cancelled: Asked | None = None,
) -> None:
    """Pack finished frames, look at the result again, and only then give it its name, replacing what had it.

    Args:
        frames: one PNG, 8 or 16 bit RGB, for each frame `start <= index < end` of the source.
        on_progress: called with the number of frames encoded so far.
        cancelled: asked now and then; true stops.

    Raises:
        OutputError: a frame is missing or of another size, or the result is not as planned.
        EncoderError, DiskFullError: ffmpeg failed.
        ConfigError: settings that do not go with the codec.
        CancelledError: `cancelled` said so.

    Whatever is raised, nothing is left behind but the frames.
    """
    if len(frames) != end - start or not frames:
        raise ValueError(f"{len(frames)} frames for {start}..{end}")
    first = images.read_image_header(frames[0])
    size = (first.width, first.height)
    target = choose_format(output, settings, frames=len(frames), width=size[0], height=size[1])
    if target.kind is OutputKind.PICTURE:
        images.write_image(output, images.read_image(frames[0]))
    elif target.kind is OutputKind.FOLDER:
        _write_folder(frames, output, start, on_progress, cancelled)
    else:
        part = part_path(output)
        try:
            with translate_os_errors(output.parent):
                encode_part(
                    frames,
                    part,
                    clip=clip,
                    start=start,
                    end=end,
                    settings=settings,
                    on_progress=on_progress,
                    cancelled=cancelled,
                )
                part.replace(output)
        finally:
            part.unlink(missing_ok=True)


def encode_part(
    frames: Sequence[Path],
    part: Path,
    *,
    clip: ClipInfo,
    start: int,
    end: int,
    settings: OutputConfig,
    on_progress: FrameProgress | None = None,
    cancelled: Asked | None = None,
) -> None:
    """What `encode` does for a video or an animation before the result gets its name.

    Args:
        frames: as for `encode`. They are asked for by several threads, and may let these wait for frames that are still
            to come; where an error of theirs ends the wait, it is raised here.
        part: gets the result; it ends like the output. What lies there is removed first, since a process that was
            killed may leave an ffmpeg that still writes into it. Whatever is raised, it is for the caller to remove.
        clip, start, end, settings, on_progress, cancelled: as for `encode`, and so are the errors.
    """
    first = images.read_image_header(frames[0])
    size = (first.width, first.height)
    target = choose_format(part, settings, frames=len(frames), width=size[0], height=size[1])
    part.unlink(missing_ok=True)
    _Job(frames, part, target, settings, clip, start, end, size).run(on_progress, cancelled)


def _write_folder(
    frames: Sequence[Path], output: Path, start: int, on_progress: FrameProgress | None, cancelled: Asked | None
) -> None:
    part = part_path(output)
    try:
        with translate_os_errors(output.parent):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            for number, path in enumerate(frames):
                if cancelled and cancelled():
                    raise CancelledError("stopped while the frames were copied")
                shutil.copyfile(path, part / f"{start + number:06d}.png")
                if on_progress:
                    on_progress(number + 1)
            if output.exists():
                check_replaceable(output)
                shutil.rmtree(output)
            part.replace(output)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Job:
    """One encode by ffmpeg."""

    frames: Sequence[Path]
    part: Path
    target: OutputFormat
    settings: OutputConfig
    clip: ClipInfo
    start: int
    end: int
    size: tuple[int, int]

    def run(self, on_progress: FrameProgress | None, cancelled: Asked | None) -> None:
        source = read_container(self.clip.paths[0]) if self.clip.kind is SourceKind.VIDEO else None
        streams = source.audio if source and audio.keeps_audio(self.target, self.settings) else ()
        palette = self.part.with_name(f"{self.part.stem}.palette.png") if self.target.codec == "gif" else None
        try:
            if palette:
                args = [*self._picture_input(), "-vf", "palettegen", "-frames:v", "1"]
                args += ["-update", "1", "-y", ffmpeg.file_url(palette)]
                ffmpeg.run(args, feed=self._feed(), cancelled=cancelled)
            args = self._arguments(source, streams, palette)
            ffmpeg.run(args, feed=self._feed(), on_progress=on_progress, cancelled=cancelled)
        finally:
            if palette:
                palette.unlink(missing_ok=True)
        with self.part.open("rb") as file:
            os.fsync(file.fileno())
        pts, last = planned_times(self.clip, self.start, self.end)
        size, sounds = self.size, len(streams)
        verify_output(
            self.part, pts_seconds=pts, last_duration_seconds=last, size=size, sound=sounds, cancelled=cancelled
        )

    def _feed(self) -> Iterator[bytes]:
        if not self.clip.variable_rate:
            return self._pictures()
        pts, last = planned_times(self.clip, self.start, self.end)
        return png_stream.to_matroska(self._pictures(), self.size, pts_seconds=pts, last_duration_seconds=last)

    def _pictures(self) -> Iterator[bytes]:
        return png_stream.read_png_frames(self.frames, self.size, shallow=not self.target.high_bit_depth)

    def _picture_input(self) -> list[str]:
        if self.clip.variable_rate:
            return [*ffmpeg.PROTOCOL_OPTIONS, "-f", "matroska", "-i", "pipe:0"]
        rate = f"{self.clip.rate.numerator}/{self.clip.rate.denominator}"
        return [*ffmpeg.PROTOCOL_OPTIONS, "-f", "image2pipe", "-framerate", rate, "-c:v", "png", "-i", "pipe:0"]

    def _arguments(
        self, source: ContainerInfo | None, streams: Sequence[AudioStream], palette: Path | None
    ) -> list[str]:
        pictures_late, sound_late = self._offset(source, streams)
        args = [*self.target.device_options, "-itsoffset", _seconds(pictures_late), *self._picture_input()]
        if source is not None and self.target.kind is OutputKind.VIDEO:
            args += [
                *self._span(source),
                "-itsoffset",
                _seconds(sound_late),
                *INPUT_OPTIONS,
                "-i",
                ffmpeg.file_url(self.clip.paths[0]),
            ]
            args += ["-map", "0:v:0"]
            for stream in streams:
                args += ["-map", f"1:{stream.index}"]
            args += ["-map_metadata", "1", "-map_chapters", "1"]
            args += [word for tag in _CONTAINER_TAGS for word in ("-metadata", f"{tag}=")]
        if palette:
            args += [
                *ffmpeg.PROTOCOL_OPTIONS,
                "-f",
                "png_pipe",
                "-i",
                ffmpeg.file_url(palette),
                "-lavfi",
                "[0:v][1:v]paletteuse",
            ]
        else:
            args += ["-vf", ",".join(self._filters(source))]
        args += ["-c:v", self.target.encoder, *self.target.options, *self._timing(pictures_late)]
        if streams:
            args += audio.output_options(self.target.suffix, streams)
            args += ["-max_interleave_delta", str(self._patience())]
            if self.start:
                args += ["-copypriorss", "0"]  # copying would begin at the source's key frame before the range
        return [*args, "-y", ffmpeg.file_url(self.part)]

    def _patience(self) -> int:
        """Microseconds by which sound may be ahead of the pictures until the container takes it as it comes.

        ffmpeg's own ten seconds are fewer than an encoder may hold back where frames stay long; where pictures come
        slowly, too, the order of the packets was then a matter of chance.
        """
        pts = self.clip.pts_seconds[self.start : self.end]
        held_back = max(later - at for at, later in zip(pts, pts[_HELD_BACK_FRAMES:] or pts[-1:], strict=False))
        return max(_USUAL_PATIENCE, math.ceil(held_back * 1_000_000))

    def _offset(self, source: ContainerInfo | None, streams: Sequence[AudioStream]) -> tuple[Fraction, Fraction]:
        """How much later the pictures, and how much later the sound, start than each by itself would.

        With sound before the first frame in the source, so it is here. The pictures start on a multiple of their own
        frame time, for that is the clock of their encoder; the sound makes up for it.
        """
        if source is None or not streams or self.start:
            return Fraction(0), Fraction(0)
        late = max(Fraction(0), self.clip.pts_seconds[0] - source.start_seconds)
        if self.clip.variable_rate:
            return late, Fraction(0)
        pictures_at = Fraction(math.ceil(late * self.clip.rate - _HAIR)) / self.clip.rate
        return pictures_at, max(Fraction(0), pictures_at - late)

    def _span(self, source: ContainerInfo) -> list[str]:
        """Input options for the source's sound and chapters: all of it, or just as long as the range."""
        words: list[str] = []
        begin = self.clip.pts_seconds[self.start] - source.start_seconds if self.start else Fraction(0)
        if self.start:
            words += ["-ss", _seconds(begin)]
        if self.end < self.clip.frame_count:
            until = self.clip.pts_seconds[self.end] - source.start_seconds
            words += ["-t", _seconds(until - begin)]
        return words

    def _filters(self, source: ContainerInfo | None) -> list[str]:
        filters: list[str] = []
        if self.target.yuv:
            matrix = colour_matrix(self.clip, self.size[1])
            # Untagged, players take HD for BT.709 while ffmpeg converts with BT.601; `-colorspace` alone leaves
            # primaries and transfer unknown.
            filters += [f"scale=out_color_matrix={matrix}:out_range=tv:flags={_SCALER}"]
            filters += [f"format={self.target.pixel_format}"]
            transfer = "bt709" if matrix == "bt709" else "smpte170m"
            filters += [f"setparams=colorspace={matrix}:color_primaries={matrix}:color_trc={transfer}:range=tv"]
        else:
            filters += [f"format={self.target.pixel_format}"]
        if source is not None and source.sample_aspect != 1:
            aspect = 1 / source.sample_aspect if source.rotation_degrees % 180 else source.sample_aspect
            filters += [f"setsar={aspect.numerator}/{aspect.denominator}"]
        return [*filters, *self.target.device_filters]

    def _timing(self, late: Fraction) -> list[str]:
        """Options that keep each frame's own time stamp and duration."""
        if not self.clip.variable_rate:
            return ["-fps_mode", "passthrough"]
        pts, last = planned_times(self.clip, self.start, self.end)
        options = ["-fps_mode", "passthrough", "-enc_time_base", "demux"]
        if self.target.suffix in (".mp4", ".m4v", ".mov"):
            options += ["-video_track_timescale", "90000"]
            # In these containers the packet that is stored last says how long the last frame stays, and with
            # B-frames that packet is another frame's; a key frame at the end puts the last frame last.
            at = pts[-1] - pts[0] + late - Fraction(1, 2000)
            options += ["-force_key_frames", _seconds(max(Fraction(0), at))]
            if self.target.encoder == "libx265":  # its key frames let frames before them come after them
                options += ["-forced-idr", "1"]
        if self.target.codec == "av1":  # SVT-AV1 gives each packet the length of a frame at the mean rate
            ticks = round(last * png_stream.TICKS_PER_SECOND)
            options += ["-bsf:v", f"setts=duration=if(eq(N\\,{len(pts) - 1})\\,{ticks}/1000000/TB\\,DURATION)"]
        if self.target.codec == "apng":
            options += ["-final_delay", f"{last.limit_denominator(1000)}"]
        return options


def colour_matrix(clip: ClipInfo, height: int) -> str:
    """The matrix for output of `height` lines: the source's where it names one of SDR, else the usual for the size.

    Frames reach us as RGB, converted from whatever the source had (without a tag: from BT.601, as OpenCV does).
    """
    if clip.colour_matrix in _KEPT_MATRICES:
        return str(clip.colour_matrix)
    return "bt709" if height >= _HIGH_DEFINITION_LINES else "smpte170m"


def _seconds(value: Fraction) -> str:
    """Decimal seconds to a microsecond, as ffmpeg reads them."""
    return f"{round(value * 1_000_000) / 1_000_000:.6f}"
