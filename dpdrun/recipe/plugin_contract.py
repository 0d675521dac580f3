"""What plug-ins must keep where they are loaded: how their functions are called, defaults and context of a `Config`."""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import Any, get_args

from pydantic import ValidationError

from dpdrun.errors import DpdrunError
from dpdrun.recipe.schema import Section

RATES = {"lr": 1e-3, "betas": (0.9, 0.95), "eps": 1e-8}
CALLED: dict[str, tuple[tuple[str, tuple[str, ...], dict[str, Any]], ...]] = {  # name, arguments, keywords
    "losses": (("__call__", ("prediction", "target"), {}),),
    "optimizers": (("__call__", ("groups",), RATES),),
    "formats": (("matches", ("path", "head"), {}), ("read", ("path",), {})),
}


class PluginError(DpdrunError):
    """A plug-in cannot be loaded, or does not hold what it must. The message names its file, and the line if known."""


def usable(group: str, name: str, value: Any, where: str) -> Any:
    """Return what a plug-in offers, of a class of formats an object. Raises PluginError where it cannot be called."""
    shown, call = f"{where}{group}: {name}", "its class is called without arguments"
    try:
        if group == "formats" and isinstance(value, type):
            value = value()
        for member, arguments, keywords in CALLED.get(group, ()):
            call = f"{member} is called with ({', '.join([*arguments, *(f'{key}=' for key in keywords)])})"
            function = value if member == "__call__" else getattr(value, member, None)
            if not callable(function):
                raise PluginError(f"{shown} has no {member}, so it is none (docs/plugins.md)")
            with suppress(ValueError):  # code that is not written in Python does not tell its arguments
                inspect.signature(function).bind(*arguments, **keywords)
    except TypeError as error:
        raise PluginError(f"{shown}: {call}: {error} (docs/plugins.md)") from None
    return value


def wrong_samples(owner: object) -> str | None:
    """Say which of `context` and `look_ahead` of a section or a module is no number of samples; None if both are."""
    for name in ("context", "look_ahead"):
        value = getattr(owner, name, None)
        if value is not None and (not isinstance(value, int) or value < 0):
            return f"{name} is {value!r}; it is a number of samples, at least 0"
    return None


def require_defaults(config: type[Section], shown: str) -> None:
    """Raise PluginError unless the defaults of a kind are values that a recipe could have."""
    strict = {"__module__": __name__, "model_config": {"validate_default": True}}
    checked: Any = type(config.__name__, (config,), strict)
    try:
        section = checked.model_validate({"kind": get_args(config.model_fields["kind"].annotation)[0]})
    except ValidationError as error:
        for each in error.errors():
            if each["type"] != "missing":  # a field without a default
                field = ".".join(["", *map(str, each["loc"])])
                raise PluginError(
                    f"{shown}{field}: its default is not valid: {each['msg']}; got {each['input']!r}"
                ) from None
        return
    if wrong := wrong_samples(section):
        raise PluginError(f"{shown}.{wrong}")
