"""Where a rule is valid: the annotations of its parameters, and `where=` for facts that it does not take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, TypeVar

T = TypeVar("T")
Box = Mapping[str, tuple[float, float] | tuple[str, ...]]


@dataclass(frozen=True)
class Within:
    """A number between two others, both included."""

    low: float
    high: float = math.inf


class OneOf:
    """One of these words."""

    def __init__(self, *words: str) -> None:
        self.words = words


class Presence(Enum):
    """Of a fact in `where=` that has no box."""

    KNOWN = "needed"
    USED = "used where it is known"


Condition = Within | OneOf | Presence


@dataclass(frozen=True)
class Otherwise:
    """Why a rule is skipped where a fact is unknown; without a reason, an unknown fact means that all is well."""

    reason: str | None = None


Found = Annotated[T, Otherwise()]  # a fact that stays unknown where there is nothing to find: the rule is then silent


@dataclass(frozen=True)
class Parameter:
    """One fact that a rule takes, as its function declares it."""

    name: str
    box: Within | OneOf | None
    otherwise: Otherwise | None
    optional: bool

    @property
    def needed(self) -> bool:
        """Whether the rule is skipped, with the words of the fact, where it is unknown."""
        return not self.optional and self.otherwise is None

    @classmethod
    def of(cls, name: str, hint: Any, *, optional: bool) -> Parameter:
        """Read an annotation with its metadata."""
        metadata = getattr(hint, "__metadata__", ())
        box = next((each for each in metadata if isinstance(each, Within | OneOf)), None)
        return cls(name, box, next((each for each in metadata if isinstance(each, Otherwise)), None), optional)


def inside(value: Any, allowed: tuple[Any, ...]) -> bool:
    """Return whether a value lies in one side of a validity box."""
    if isinstance(allowed[0], str):
        return value in allowed
    return bool(allowed[0] <= value <= allowed[1])


def box_text(allowed: tuple[Any, ...]) -> str:
    """Return one side of a validity box in words: `64 to 511`, `512 and above`, `transformer`."""
    if isinstance(allowed[0], str):
        return " or ".join(allowed)
    low, high = allowed
    if low == high:
        return f"{low:g}"
    return f"{low:g} and above" if high == float("inf") else f"{low:g} to {high:g}"
