"""The base class and the value types of all configuration sections."""

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _ModelType
else:
    _ModelType = type(BaseModel)

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


def shaped(pattern: str, expected: str) -> AfterValidator:
    """A check that a text has the shape of a pattern; its error says in words what is expected."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"it should be {expected}")
        return value

    return AfterValidator(check)


REGION_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
"""Pattern of the names that a region may have."""


class _Explained(_ModelType):
    """Has what Python code builds with wrong keys or values refused in a sentence, too."""

    def __call__(self, *arguments: Any, **values: Any) -> Any:
        try:
            return super().__call__(*arguments, **values)
        except ValidationError as error:
            from vidnst.config.explanations import explain  # it knows all sections

            raise explain(error, cast(type[BaseModel], self)) from error


class Section(BaseModel, metaclass=_Explained):
    """Base of all sections: unknown keys are errors, and instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
