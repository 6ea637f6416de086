"""The base class and the value types of all configuration sections."""

from fractions import Fraction
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

Rate = Annotated[Fraction, PlainSerializer(str, return_type=str)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

REGION_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
"""Pattern of the names that a region may have."""


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, and instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
