"""Measures an encoded output as it decodes: encoders change small strokes from frame to frame."""

from dataclasses import replace

from vidnst.events import Cancelled, Event, Stage
from vidnst.media.input.capture import as_shown
from vidnst.media.input.probe import probe
from vidnst.media.output.formats import OutputFormat, OutputKind, choose_format
from vidnst.media.scene_light import written_transform
from vidnst.rendering.measure_output import render_pair
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.report.measure.measurement import FileSteadiness
from vidnst.report.measure.meter import Meter

_EXACT_CODECS = frozenset({"apng"})


def measure_file(render: PreparedRender, cancelled: Cancelled | None = None) -> FileSteadiness | None:
    """Measure how steady neighbouring frames of a render's output are, as a viewer decodes it.

    None where the output holds the frames exactly, so that it is as steady as they are, and where it has other frames
    than the render: an animation leaves out those that browsers do not show.

    Raises:
        CancelledError: `cancelled` said so.
        VidnstError: the output cannot be read.
    """
    width, height = render.size
    output, settings = render.request.output, render.config.output
    target = choose_format(output, settings, frames=render.frames, width=width, height=height)
    if target.kind not in (OutputKind.VIDEO, OutputKind.ANIMATION) or _is_exact(target):
        return None
    clip = probe(output, transform=written_transform(render.config.input.transform))
    if clip.frame_count != render.frames:
        return None

    def report(event: Event) -> None:
        render.recorder(replace(event, stage="measuring file") if isinstance(event, Stage) else event)

    meter = Meter(render.shots, gaps=(1,))
    found = render_pair(render, as_shown(clip)).measure(meter, on_event=report, cancelled=cancelled)
    return FileSteadiness(found.error(), found.flicker)


def _is_exact(target: OutputFormat) -> bool:
    """Return True if an output holds the bytes of its frames."""
    return target.codec in _EXACT_CODECS or (target.codec == "ffv1" and not target.yuv)
