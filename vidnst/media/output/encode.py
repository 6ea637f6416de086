"""Encoding of finished frames with the source's time stamps, colours, audio and metadata, and verification."""

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
from vidnst.media.output.frame_sequence import sequence_files, write_sequence
from vidnst.media.output.preflight import check_replaceable
from vidnst.media.output.verify import verify_output

FrameProgress = Callable[[int], None]
Cancelled = Callable[[], bool]

_HIGH_DEFINITION_LINES = 576
_SDR_MATRICES = frozenset({"bt709", "smpte170m", "bt470bg"})
_SCALER = "accurate_rnd+full_chroma_int+full_chroma_inp"
_CONTAINER_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder")
_EPSILON = Fraction(1, 1000)
"""Share of a frame that the decimals given to ffmpeg may be off."""
_MAX_BUFFERED_FRAMES = 256
"""More frames than any encoder buffers before its first packet."""
_DEFAULT_INTERLEAVE_MICROSECONDS = 10_000_000


def encode(
    frames: Sequence[Path],
    output: Path,
    *,
    clip: ClipInfo,
    start: int,
    end: int,
    settings: OutputConfig,
    on_progress: FrameProgress | None = None,
    cancelled: Cancelled | None = None,
) -> None:
    """Encode finished frames, verify the result, and replace `output` atomically.

    Args:
        frames: one PNG, 8- or 16-bit RGB, for each frame `start <= index < end` of the source.
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
    first = images.read_image_header(frames[0])
    size = (first.width, first.height)
    target = choose_format(output, settings, frames=len(frames), width=size[0], height=size[1])
    if target.kind is OutputKind.IMAGE:
        images.write_image(output, images.read_image(frames[0]), transform=clip.transform)
    elif files := sequence_files(output, settings, clip=clip, start=start, end=end):
        write_sequence(frames, output, files, transform=clip.transform, on_progress=on_progress, cancelled=cancelled)
    elif target.kind is OutputKind.FOLDER:
        first_number = start if settings.start_number is None else settings.start_number
        _write_folder(frames, output, first_number, on_progress, cancelled)
    else:
        part = part_path(output)
        try:
            with translate_os_errors(output.parent):
                _FfmpegEncode(frames, part, target, settings, clip, start, end, size).run(on_progress, cancelled)
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
    cancelled: Cancelled | None = None,
) -> None:
    """Encode a video or an animation and verify it, but leave the renaming to the caller.

    Args:
        frames: see `encode`. Several threads request them, and may block until a frame is written; an error that a
            request raises is raised here.
        part: temporary name of the result, with the output's suffix. An existing file is removed first, since the
            ffmpeg of a killed process may still write into it. The caller must remove it after an error.
        clip, start, end, settings, on_progress, cancelled: see `encode`, also for the errors.
    """
    first = images.read_image_header(frames[0])
    size = (first.width, first.height)
    target = choose_format(part, settings, frames=len(frames), width=size[0], height=size[1])
    _FfmpegEncode(frames, part, target, settings, clip, start, end, size).run(on_progress, cancelled)


def _write_folder(
    frames: Sequence[Path], output: Path, start: int, on_progress: FrameProgress | None, cancelled: Cancelled | None
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
class _FfmpegEncode:
    """One encoding by ffmpeg."""

    frames: Sequence[Path]
    part: Path
    target: OutputFormat
    settings: OutputConfig
    clip: ClipInfo
    start: int
    end: int
    size: tuple[int, int]

    @property
    def times(self) -> tuple[tuple[Fraction, ...], Fraction]:
        """Time stamps of the frames, and the duration of the last one."""
        return self.clip.pts_seconds[self.start : self.end], self.clip.frame_duration_seconds(self.end - 1)

    def run(self, on_progress: FrameProgress | None, cancelled: Cancelled | None) -> None:
        self.part.unlink(missing_ok=True)
        source = read_container(self.clip.paths[0]) if self.clip.kind is SourceKind.VIDEO else None
        streams = source.audio if source and audio.keeps_audio(self.target, self.settings) else ()
        palette = self.part.with_name(f"{self.part.stem}.palette.png") if self.target.codec == "gif" else None
        try:
            if palette:
                args = [*self._frame_input(), "-vf", "palettegen", "-frames:v", "1"]
                args += ["-update", "1", "-y", ffmpeg.file_url(palette)]
                ffmpeg.run(args, feed=self._input_stream(), cancelled=cancelled)
            args = self._arguments(source, streams, palette)
            ffmpeg.run(args, feed=self._input_stream(), on_progress=on_progress, cancelled=cancelled)
        finally:
            if palette:
                palette.unlink(missing_ok=True)
        with self.part.open("rb") as file:
            os.fsync(file.fileno())
        verify_output(self.part, *self.times, size=self.size, audio_streams=len(streams), cancelled=cancelled)

    def _input_stream(self) -> Iterator[bytes]:
        frames = png_stream.read_png_frames(self.frames, self.size, to_8_bits=not self.target.high_bit_depth)
        return png_stream.to_matroska(frames, self.size, *self.times) if self.clip.variable_rate else frames

    def _frame_input(self) -> list[str]:
        if self.clip.variable_rate:
            return [*ffmpeg.PROTOCOL_OPTIONS, "-f", "matroska", "-i", "pipe:0"]
        rate = f"{self.clip.rate.numerator}/{self.clip.rate.denominator}"
        return [*ffmpeg.PROTOCOL_OPTIONS, "-f", "image2pipe", "-framerate", rate, "-c:v", "png", "-i", "pipe:0"]

    def _arguments(
        self, source: ContainerInfo | None, streams: Sequence[AudioStream], palette: Path | None
    ) -> list[str]:
        video_delay, audio_delay = self._delays(source, streams)
        args = [*self.target.device_options, "-itsoffset", _seconds(video_delay), *self._frame_input()]
        if source is not None and self.target.kind is OutputKind.VIDEO:
            args += [*self._range_options(source), "-itsoffset", _seconds(audio_delay)]
            args += [*INPUT_OPTIONS, "-i", ffmpeg.file_url(self.clip.paths[0]), "-map", "0:v:0"]
            args += [word for stream in streams for word in ("-map", f"1:{stream.index}")]
            args += ["-map_metadata", "1", "-map_chapters", "1"]
            args += [word for tag in _CONTAINER_TAGS for word in ("-metadata", f"{tag}=")]
        if palette:
            args += [*ffmpeg.PROTOCOL_OPTIONS, "-f", "png_pipe", "-i", ffmpeg.file_url(palette)]
            args += ["-lavfi", "[0:v][1:v]paletteuse"]
        else:
            args += ["-vf", ",".join(self._filters(source))]
        args += ["-c:v", self.target.encoder, *self.target.options, *self._timing_options(video_delay)]
        if streams:
            args += audio.output_options(self.target.suffix, streams)
            args += ["-max_interleave_delta", str(self._max_interleave_microseconds())]
            if self.start:
                args += ["-copypriorss", "0"]  # copying would start at the source's key frame before the range
        return [*args, "-y", ffmpeg.file_url(self.part)]

    def _max_interleave_microseconds(self) -> int:
        """Return the microseconds by which audio may precede video before the muxer writes it out of order.

        ffmpeg's default of ten seconds is less than an encoder may buffer if frames last long; the order of packets
        would then depend on chance.
        """
        pts = self.clip.pts_seconds[self.start : self.end]
        buffered = max(later - at for at, later in zip(pts, pts[_MAX_BUFFERED_FRAMES:] or pts[-1:], strict=False))
        return max(_DEFAULT_INTERLEAVE_MICROSECONDS, math.ceil(buffered * 1_000_000))

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

    def _range_options(self, source: ContainerInfo) -> list[str]:
        """Return input options that cut the source's audio and chapters to the range."""
        range_start = self.clip.pts_seconds[self.start] - source.start_seconds if self.start else Fraction(0)
        options = ["-ss", _seconds(range_start)] if self.start else []
        if self.end < self.clip.frame_count:
            options += ["-t", _seconds(self.clip.pts_seconds[self.end] - source.start_seconds - range_start)]
        return options

    def _filters(self, source: ContainerInfo | None) -> list[str]:
        filters = [f"format={self.target.pixel_format}"]
        if self.target.yuv:
            matrix = _colour_matrix(self.clip, self.size[1])
            # Players assume BT.709 for untagged HD while ffmpeg converts with BT.601; `-colorspace` alone leaves
            # primaries and transfer unknown.
            filters = [f"scale=out_color_matrix={matrix}:out_range=tv:flags={_SCALER}", *filters]
            transfer = "bt709" if matrix == "bt709" else "smpte170m"
            filters += [f"setparams=colorspace={matrix}:color_primaries={matrix}:color_trc={transfer}:range=tv"]
        if source is not None and source.sample_aspect != 1:
            aspect = 1 / source.sample_aspect if source.rotation_degrees % 180 else source.sample_aspect
            filters += [f"setsar={aspect.numerator}/{aspect.denominator}"]
        return [*filters, *self.target.device_filters]

    def _timing_options(self, delay: Fraction) -> list[str]:
        """Return options that keep each frame's time stamp and duration."""
        if not self.clip.variable_rate:
            return ["-fps_mode", "passthrough"]
        pts, last = self.times
        options = ["-fps_mode", "passthrough", "-enc_time_base", "demux"]
        if self.target.suffix in (".mp4", ".m4v", ".mov"):
            options += ["-video_track_timescale", "90000"]
            # In these containers the packet that is stored last determines the duration of the last frame, and with
            # B-frames that packet is another frame's; a key frame at the end stores the last frame last.
            at = pts[-1] - pts[0] + delay - Fraction(1, 2000)
            options += ["-force_key_frames", _seconds(max(Fraction(0), at))]
            if self.target.encoder == "libx265":  # otherwise frames before a key frame may be stored after it
                options += ["-forced-idr", "1"]
        if self.target.codec == "av1":  # SVT-AV1 gives all packets the mean duration
            ticks = round(last * png_stream.TICKS_PER_SECOND)
            options += ["-bsf:v", f"setts=duration=if(eq(N\\,{len(pts) - 1})\\,{ticks}/1000000/TB\\,DURATION)"]
        if self.target.codec == "apng":
            options += ["-final_delay", f"{last.limit_denominator(1000)}"]
        return options


def _colour_matrix(clip: ClipInfo, height: int) -> str:
    """Return the YUV matrix of an output: the source's if it is one of SDR, else the default for `height`.

    Frames are RGB, converted from the source's matrix (BT.601 if untagged, as OpenCV does).
    """
    if clip.colour_matrix in _SDR_MATRICES:
        return str(clip.colour_matrix)
    return "bt709" if height >= _HIGH_DEFINITION_LINES else "smpte170m"


def _seconds(value: Fraction) -> str:
    """Format decimal seconds to a microsecond for ffmpeg."""
    return f"{round(value * 1_000_000) / 1_000_000:.6f}"
