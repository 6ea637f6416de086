"""The base class and the value types of all configuration sections."""

from fractions import Fraction
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

Rate = Annotated[Fraction, PlainSerializer(str, return_type=str)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("it should be a text")
    return value


PathText = Annotated[str, PlainValidator(_text)]
"""A path as a text. In contrast to pydantic's texts it may hold bytes that are not UTF-8, as lone surrogates (PEP 383);
so values with it are written by `json`, not by pydantic."""

REGION_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
"""Pattern of the names that a region may have."""


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, and instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
