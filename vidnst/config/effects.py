"""What is done to pictures outside of the optimisation: colours, photographs, classical looks."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from vidnst.config.base import Section


class ColourConfig(Section):
    """Whose colours the result has."""

    keep: Literal["none", "luminance", "matched"] = "none"
    """luminance: the rendered frame's luma with the source's chroma; matched: also the style pictures are grey, with
    the source's mean and spread of luma (Gatys 2017)."""
    transfer: Literal["none", "histogram", "moments", "optimal"] = "none"
    """The style pictures get the source's colours first: each channel's histogram; mean and covariance of the three
    together (linear, Pitie 2007); or the whole distribution (iterative, Pitie 2005)."""

    @model_validator(mode="after")
    def _grey_has_no_colours(self) -> Self:
        if self.keep == "matched" and self.transfer != "none":
            raise ValueError(f"transfer {self.transfer} has no use with keep matched, which makes style pictures grey")
        return self


class PhotoConfig(Section):
    """The look of another photograph on the source's own edges: locally affine maps of colour."""

    enabled: bool = False
    cells: int = Field(16, ge=1, le=128)
    """Cells along the picture's longer side, each with maps of its own."""
    luma_bins: int = Field(8, ge=1, le=32)
    """Cells from dark to bright."""
    smoothness: float = Field(1.0, ge=0, le=8)
    """How far cells share what they see: standard deviation in cells."""
    steadiness: float = Field(0.8, ge=0, lt=1)
    """Share of a frame's maps that comes from the frame before, where the flow says what was there."""


class PaletteConfig(Section):
    """Few colours, the same throughout a shot."""

    kind: Literal["palette"] = "palette"
    colours: int = Field(12, ge=2, le=256)


class SuperpixelsConfig(Section):
    """Cells of average colour, which move with what they show."""

    kind: Literal["superpixels"] = "superpixels"
    cells: int = Field(400, ge=4, le=20_000)
    """How many fill the picture, more or less."""
    compactness: float = Field(10.0, gt=0, le=1000, allow_inf_nan=False)
    """Regular shapes against faithful edges: distance of colour, in CIELAB, that a cell's width is worth."""


_FIRST_NUMBER = {"palette": "colours", "superpixels": "cells"}


def _filter_of(value: Any) -> Any:
    """A text like `palette:12` as the mapping that it is short for."""
    if not isinstance(value, str):
        return value
    kind, colon, number = value.partition(":")
    if kind not in _FIRST_NUMBER:
        raise ValueError(f"no filter {kind!r}; there are {' and '.join(_FIRST_NUMBER)}")
    if colon and not number.isdecimal():
        raise ValueError(f"{value!r} is not {kind}:{_FIRST_NUMBER[kind].upper()}, a whole number")
    return {"kind": kind} | ({_FIRST_NUMBER[kind]: int(number)} if colon else {})


FilterConfig = Annotated[
    Annotated[PaletteConfig | SuperpixelsConfig, Field(discriminator="kind")], BeforeValidator(_filter_of)
]
"""One classical look; also written as a text, like `palette:12` or `superpixels:400`."""


class FiltersConfig(Section):
    """Classical looks, without a network; each list is applied in its order."""

    before: tuple[FilterConfig, ...] = ()
    """On the source frames, before they are rendered."""
    after: tuple[FilterConfig, ...] = ()
    """On the finished frames."""
