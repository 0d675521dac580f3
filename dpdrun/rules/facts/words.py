"""What a fact is called where a user reads of it: a part of the declaration of the fact, so that none can miss it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from functools import cached_property
from typing import Any, TypeVar

T = TypeVar("T")

PLUG_IN = "plug-in"  # the kind of a model that a plug-in brings


def fact(words: str, default: Callable[[], Any] | None = None) -> Any:
    """Declare a fact, None or what `default` makes where it is unknown."""
    return field(default_factory=default or (lambda: None), metadata={"words": words})


def needed(words: str) -> Any:
    """Declare a fact that is always known."""
    return field(metadata={"words": words})


def computed(words: str, *of: str) -> Callable[[T], T]:
    """Declare a property to be a fact, and the facts that it follows from; stands under `@property`."""

    def declare(function: T) -> T:
        function.words, function.of = words, of  # type: ignore[attr-defined]
        return function

    return declare


def words_of(facts: type, name: str) -> str:
    """Return what a fact is called, of a dataclass of facts. Raises AttributeError where it declares no words."""
    declared = getattr(facts, "__dataclass_fields__", {}).get(name)
    words: str = declared.metadata["words"] if declared is not None else _function(facts, name).words
    return words


def computed_from(facts: type, name: str) -> tuple[str, ...]:
    """Return the facts that a computed one follows from; none for one that is given."""
    of: tuple[str, ...] = () if name in getattr(facts, "__dataclass_fields__", {}) else _function(facts, name).of
    return of


def _function(facts: type, name: str) -> Any:
    declared = facts.__dict__[name]
    return declared.func if isinstance(declared, cached_property) else declared.fget
