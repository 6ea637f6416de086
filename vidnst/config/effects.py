"""Sections for effects outside the optimisation: colours, photographic results, classical filters."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from vidnst.config.base import Section


class ColourConfig(Section):
    """Colour preservation and colour transfer."""

    keep: Literal["none", "luminance", "matched"] = "none"
    """luminance: the rendered frame's luma with the source's chroma. matched: in addition, style pictures are converted
    to grey, with the source's mean and standard deviation of luma (Gatys 2017)."""
    transfer: Literal["none", "histogram", "moments", "optimal"] = "none"
    """Give the style pictures the source's colours first. histogram: match each channel. moments: match the mean and
    covariance of the three channels (linear, Pitie 2007). optimal: match the whole distribution (iterative,
    Pitie 2005)."""

    @model_validator(mode="after")
    def _grey_has_no_colours(self) -> Self:
        if self.keep == "matched" and self.transfer != "none":
            raise ValueError(f"transfer {self.transfer} has no effect with keep matched: style pictures are grey")
        return self


class PhotoConfig(Section):
    """Photographic style transfer: locally affine colour maps that keep the source's edges."""

    enabled: bool = False
    cells: int = Field(16, ge=1, le=128)
    """Grid cells along the longer side, each with its own maps."""
    luma_bins: int = Field(8, ge=1, le=32)
    """Grid cells along luma, from dark to bright."""
    smoothness: float = Field(1.0, ge=0, le=8)
    """Smoothing across the grid: standard deviation in cells."""
    steadiness: float = Field(0.8, ge=0, lt=1)
    """Share of a frame's maps that is taken from the previous frame, warped along the flow."""


class PaletteConfig(Section):
    """Filter that reduces each shot to one palette."""

    kind: Literal["palette"] = "palette"
    colours: int = Field(12, ge=2, le=256)
    steadiness: float = Field(0.5, ge=0, le=1)
    """How far pixels keep the colour that they had, along the flow: 0 takes the nearest colour in every frame."""


class SuperpixelsConfig(Section):
    """Filter that paints cells of average colour, which move with the picture."""

    kind: Literal["superpixels"] = "superpixels"
    cells: int = Field(400, ge=4, le=20_000)
    """Approximate number of cells in the picture."""
    compactness: float = Field(10.0, gt=0, le=1000, allow_inf_nan=False)
    """Regular shapes (high) or faithful edges (low): the CIELAB distance that counts as much as a cell's width."""


_FIRST_NUMBER = {"palette": "colours", "superpixels": "cells"}


def _filter_of(value: Any) -> Any:
    """Expand a text such as `palette:12` into the mapping that it abbreviates."""
    if not isinstance(value, str):
        return value
    kind, colon, number = value.partition(":")
    if kind not in _FIRST_NUMBER:
        raise ValueError(f"unknown filter {kind!r}; known are {' and '.join(_FIRST_NUMBER)}")
    if colon and not number.isdecimal():
        raise ValueError(f"{value!r} is not {kind}:{_FIRST_NUMBER[kind].upper()} with a whole number")
    return {"kind": kind} | ({_FIRST_NUMBER[kind]: int(number)} if colon else {})


FilterConfig = Annotated[
    Annotated[PaletteConfig | SuperpixelsConfig, Field(discriminator="kind")], BeforeValidator(_filter_of)
]
"""A filter as a mapping, or in short as `palette:12` or `superpixels:400`."""


class FiltersConfig(Section):
    """Classical filters, without a network; each list is applied in order."""

    before: tuple[FilterConfig, ...] = ()
    """Filters on the source frames, before stylization."""
    after: tuple[FilterConfig, ...] = ()
    """Filters on the stylized frames."""
