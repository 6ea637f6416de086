"""What becomes of the light, the windows and the headers of compositors' frames, EXR and DPX."""

from collections.abc import Iterator, Sequence

from vidnst.media.exr import REC709_CHROMATICITIES, ExrHeader
from vidnst.media.input.scene_survey import SceneSurvey
from vidnst.media.output.fates import Fate, FateRow, shown
from vidnst.media.scene_light import OCIO_PREFIX

_PRIMARIES_TOLERANCE = 0.002
_WELL_KNOWN_PRIMARIES = {
    "ACES2065-1": (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077),
    "ACEScg": (0.713, 0.293, 0.165, 0.830, 0.128, 0.044),
    "Linear Rec.2020": (0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    "Linear P3-D65": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
"""x and y of red, green and blue, by OpenColorIO's names of the colour spaces."""


def scene_rows(survey: SceneSurvey, transform: str) -> Iterator[FateRow]:
    """Yield the rows of what painting or an output does not keep; none if there is nothing of the kind.

    Args:
        transform: see `InputConfig.transform`.
    """
    if survey.above:
        value = f"{survey.share(survey.above)}, up to {survey.peak:.4g}"
        yield FateRow("values over white", value, Fate.CHANGED, "painted as white")
    if survey.below:
        yield FateRow("values under black", survey.share(survey.below), Fate.CHANGED, "painted as black")
    if survey.invalid:
        yield FateRow(
            "values that are no light", survey.share(survey.invalid), Fate.CHANGED, "painted as white or black"
        )
    if survey.glowing:
        yield FateRow("light without alpha", survey.share(survey.glowing), Fate.DROPPED, "it is fully transparent")
    if any(header.is_float for header in survey.exr_headers):
        yield FateRow("precision", "floats of 32 bits", Fate.CHANGED, "painted with 16 bits")
    yield from _window_rows(survey.exr_headers)
    if not transform.startswith(OCIO_PREFIX):
        yield from list(filter(None, map(_other_primaries, survey.exr_headers)))[:1]
    attributes = [header.attributes for header in survey.exr_headers]
    attributes += [header.attributes for header in survey.dpx_headers]
    names = [name for found in attributes for name in found]
    if names:
        yield FateRow("header", shown(", ".join(dict.fromkeys(names))), Fate.DROPPED, "the output gets none of it")


def _window_rows(headers: Sequence[ExrHeader]) -> Iterator[FateRow]:
    if any(header.crops for header in headers):
        why = "pixels outside of the display window are left out"
        yield FateRow("overscan", "", Fate.DROPPED, why)
    if most := max((header.unused for header in headers), default=0):
        yield FateRow("further channels", f"{most} in a frame", Fate.DROPPED, "the picture alone is painted")
    if aspect := next((header.pixel_aspect for header in headers if abs(header.pixel_aspect - 1) > 1e-3), None):
        why = "pictures are shown with square pixels; they look distorted"
        yield FateRow("pixel aspect", f"{aspect:.4g}", Fate.DROPPED, why)


def _other_primaries(header: ExrHeader) -> FateRow | None:
    """Return the row of the primaries of a file if they are not those of Rec. 709."""
    if header.chromaticities is None or _are_close(header.chromaticities[:6], REC709_CHROMATICITIES[:6]):
        return None
    known = (name for name, xy in _WELL_KNOWN_PRIMARIES.items() if _are_close(header.chromaticities[:6], xy))
    name = next(known, None)
    remedy = f'add --input-transform "{OCIO_PREFIX}{name}"' if name else "add --input-transform ocio:NAME"
    return FateRow(
        "primaries", name or "other than Rec. 709", Fate.CHANGED, f"taken for Rec. 709, so colours shift; {remedy}"
    )


def _are_close(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) < _PRIMARIES_TOLERANCE for a, b in zip(one, other, strict=True))
