"""Define the values of recipe fields besides numbers: the words `auto` and `off`, percentages, names of plug-ins.

`auto` leaves a value to the rules and `off` switches a feature off; there is no -1 and no null.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

AUTO: Literal["auto"] = "auto"
OFF: Literal["off"] = "off"

Auto = Literal["auto"]
Off = Literal["off"]

_PERCENT = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*%\s*\Z")


class Percent(float):
    """A share written as a percentage, held as a fraction: `Percent("7.5%") == 0.075`, and prints as `7.5%`."""

    def __new__(cls, value: str | float) -> Percent:
        """Parse `7.5%`, or take a fraction as it is. Raises ValueError."""
        if isinstance(value, str):
            match = _PERCENT.match(value)
            if match is None:
                raise ValueError(f"{value!r} is not a percentage such as 7.5%")
            return super().__new__(cls, float(match.group(1)) / 100.0)
        return super().__new__(cls, value)

    def __str__(self) -> str:
        return f"{float(self) * 100:.10g}%"

    __repr__ = __str__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def validate(value: Any) -> Percent:
            if isinstance(value, Percent):
                result = value
            elif isinstance(value, str) and _PERCENT.match(value):
                result = cls(value)
            else:
                raise PydanticCustomError("percent", "expected a percentage such as 7.5%")
            if result > 1.0:
                raise PydanticCustomError("percent", "expected a percentage from 0% to 100%")
            return result

        return core_schema.no_info_plain_validator_function(validate, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": r"^\s*([0-9]+(\.[0-9]*)?|\.[0-9]+)\s*%\s*$", "examples": ["7.5%"]}


class Registered:
    """Annotation of a field that takes a name of one group of plug-ins: one of ours, or of a plug-in that is there."""

    def __init__(self, group: str) -> None:
        self.group = group

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate a name; the plug-in of that name is loaded."""

        def validate(value: Any) -> str:
            from dpdrun.recipe import plugins  # which needs the schema itself

            if isinstance(value, str) and plugins.find(self.group, value) is not None:
                return value
            raise PydanticCustomError("name", "expected a name")

        return core_schema.no_info_plain_validator_function(validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the names as they are now, without that of what was passed from Python, which no recipe writes."""
        from dpdrun.recipe import plugins
        from dpdrun.recipe.schema import GIVEN

        names = [name for name in plugins.names(self.group) if name != GIVEN]
        return {"const": names[0], "type": "string"} if len(names) == 1 else {"enum": names, "type": "string"}
