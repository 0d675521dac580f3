"""How a rule is declared: `@derive`, `@check`, `@diagnose`, `constant`, and what their functions return.

    @check("OP101", about=("optim.beta2", "train.max_steps"), fix="unsafe", source=ADAM_SETTLES, evidence="cited",
           fires=dict(kind="transformer", beta2=0.999, max_steps=500), silent=dict(beta2=0.95, max_steps=500))
    def run_shorter_than_adams_memory(beta2: Annotated[float, Within(0, 1)], total_steps: Steps) -> Verdict:
        '''One line that says what the rule is about.  (then the headings of WRITTEN)'''

A parameter is a fact: it has to be known and to lie within its annotation, unless it has a default. `facts` (of a plan)
and `run` hold all of them.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Required, TypedDict, TypeVar, Unpack

from dpdrun.rules.conditions import Condition, Presence, Within
from dpdrun.rules.engine import Choice, Evidence, Finding, Fix, Patch, Profile, Rule, Severity, Verdict, enter, plain
from dpdrun.rules.facts.words import PLUG_IN

Function = TypeVar("Function", bound=Callable[..., Choice | Verdict])
Premise = Callable[[Any], str | None]

NETWORKS = ("transformer", "gru")
TRAINED = (*NETWORKS, PLUG_IN)  # by an optimizer, in steps
Steps = Annotated[int, Within(1)]


def known(*names: str) -> dict[str, Condition]:
    """For `where=`: facts that have to be known, whatever their value."""
    return dict.fromkeys(names, Presence.KNOWN)


def used(*names: str) -> dict[str, Condition]:
    """For `where=`: facts that the function reads from `facts` where they are known."""
    return dict.fromkeys(names, Presence.USED)


class Shared(TypedDict, total=False):
    """What every declaration may give; see `Rule`."""

    source: Required[str]
    evidence: Required[Evidence]
    profile: Profile
    kinds: tuple[str, ...]
    where: Mapping[str, Condition]
    requires: tuple[str, ...]
    premise: Premise
    results: str


class Examples(Shared):
    """With the facts on which the rule fires, and on which it is silent."""

    fires: Required[Mapping[str, Any]]
    silent: Required[Mapping[str, Any]]


@dataclass(frozen=True)
class Family:
    """What rules share, stated once: `after_loss = Family(requires=("LS201",))`, then `@after_loss.diagnose(...)`.

    See `Rule` for what the arguments mean; those of a rule come after those of its family.
    """

    kinds: tuple[str, ...] = ()
    where: Mapping[str, Condition] = field(default_factory=dict)
    requires: tuple[str, ...] = ()

    def derive(self, code: str, *, sets: str, **declared: Unpack[Examples]) -> Callable[[Function], Function]:
        """Enter a function that sets a recipe value; it returns a `Choice`."""
        return self._entering(code, sets=sets, **declared)

    def check(
        self, code: str, *, about: tuple[str, ...], fix: Fix = "none", **declared: Unpack[Examples]
    ) -> Callable[[Function], Function]:
        """Enter a function that judges a plan: a line of the linter."""
        return self._entering(code, about=about, fix=fix, **declared)

    def diagnose(self, code: str, *, fix: Fix = "none", **declared: Unpack[Examples]) -> Callable[[Function], Function]:
        """Enter a function that judges a run; the examples are arguments of `examples.example_run`."""
        return self._entering(code, fix=fix, **declared)

    def constant(
        self, code: str, slug: str, sets: str, value: Any, *, summary: str, why: str, limits: str, page: str = "",
        fires: Mapping[str, Any] | None = None, silent: Mapping[str, Any] | None = None, **declared: Unpack[Shared],
    ) -> Rule:  # fmt: skip
        """Enter a rule that sets one value wherever it is valid.

        Args:
            why: the reason that a plan shows; on the page `page` follows it.
            limits: under `Known limits`.
            fires, silent: default to a model of `kinds`, and to a GMP.
        """

        def chosen() -> Choice:
            return Choice(value, why)

        caller = sys._getframe(1)
        reason, known_limits = inspect.cleandoc(page) or f"{why[0].upper()}{why[1:]}.", inspect.cleandoc(limits)
        return self._entered(
            chosen, code, slug=slug, location=f"{caller.f_globals['__name__']}:{caller.f_lineno}", sets=sets,
            doc=f"{summary}\n\n## Why\n{reason}\n\n## Known limits\n{known_limits}",
            fires=fires or {"kind": (declared.get("kinds") or self.kinds)[0]}, silent=silent or {"kind": "gmp"},
            **declared,
        )  # fmt: skip

    def _entering(self, code: str, **declared: Any) -> Callable[[Function], Function]:
        def entering(function: Function) -> Function:
            location = f"{function.__module__}:{function.__code__.co_firstlineno}"
            doc = inspect.getdoc(function) or ""
            self._entered(function, code, slug=function.__name__, doc=doc, location=location, **declared)
            return function

        return entering

    def _entered(
        self, function: Callable[..., Choice | Verdict], code: str, *, fires: Mapping[str, Any],
        silent: Mapping[str, Any], kinds: tuple[str, ...] = (), where: Mapping[str, Condition] | None = None,
        requires: tuple[str, ...] = (), **declared: Any,
    ) -> Rule:  # fmt: skip
        rule = Rule(
            code=code, function=function, example=fires, counterexample=silent, kinds=kinds or self.kinds,
            where={**self.where, **(where or {})}, requires=(*self.requires, *requires), **declared,
        )  # fmt: skip
        return enter(rule)


_ALONE = Family()
derive, check, diagnose, constant = _ALONE.derive, _ALONE.check, _ALONE.diagnose, _ALONE.constant


def finding(
    severity: Severity,
    message: str,
    *,
    patch: Patch | None = None,
    step: int | None = None,
    advice: str = "",
    also: str = "",
    **evidence: Any,
) -> Finding:
    """Return a verdict of a severity that the rule computes; see `info`, `warning`, `error` for a fixed one.

    Args:
        advice: what to do; left out, it is generated from the patch: `set optim.lr to 0.001`.
        also: what follows the generated advice.
        evidence: the numbers behind it: value, threshold, n, p, ...
    """
    return Finding(message, patch or {}, severity, step, evidence, (advice or set_to(patch or {})) + also)


def info(message: str, **details: Any) -> Finding:
    """Return a finding that never changes a verdict; arguments as `finding`."""
    return finding("info", message, **details)


def warning(message: str, **details: Any) -> Finding:
    """Return a finding that costs decibels; arguments as `finding`."""
    return finding("warning", message, **details)


def error(message: str, **details: Any) -> Finding:
    """Return a finding with which training cannot work, or has not worked; arguments as `finding`."""
    return finding("error", message, **details)


def set_to(patch: Patch) -> str:
    """Return a patch as advice: `set train.frame to 256 and train.burn_in to 65`."""
    return "set " + " and ".join(f"{key} to {_shown(value)}" for key, value in patch.items()) if patch else ""


def moved(key: str, now: float, then: float) -> str:
    """Return a number that goes down or up, as advice: `lower optim.lr from 0.01 to 0.005`."""
    return f"{'lower' if then < now else 'raise'} {key} from {now:g} to {then:g}"


def _shown(value: Any) -> str:
    return f"{value:g}" if type(value) is float else str(plain(value))
