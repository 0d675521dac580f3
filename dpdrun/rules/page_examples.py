"""The example on the page of a rule: the verdict of the rule on the facts that it declares, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from dpdrun.recipe.describe import text_of
from dpdrun.rules.engine import Finding, Rule, evaluate_rules, plain
from dpdrun.rules.facts.plan import KEY_OF, OTHER_KEY_OF, SIZE_KEY_OF, as_recipe_value

FIX = {"safe": "safe: does not change what is trained", "unsafe": "unsafe: changes what is trained"}
KEYS = {**OTHER_KEY_OF, **SIZE_KEY_OF, **KEY_OF}
STEPS = 400  # of `example_run`
SHOWN = (0.0, 0.25, 0.5, 0.75, 1.0)  # of a curve over the progress of a run


def example_of(rule: Rule) -> Finding:
    """Return the finding of a rule on its own example."""
    return evaluate_rules([rule], rule.fires())[0].findings[0]


def example_text(rule: Rule) -> str:
    """The example of a rule: a recipe before and after, or the facts of a run that matter, with the real message."""
    finding = example_of(rule)
    if rule.purpose == "derive":
        lines = [_recipe(rule.example, finding.patch, finding.message)]
    elif rule.purpose == "check":
        lines = [_recipe(rule.example, {}), _message(finding)]
        if finding.patch:
            lines += [f"With the {_fix(finding)}:", _recipe({}, finding.patch)]
    else:
        lines = [_run(rule.example), _message(finding)]
        if finding.patch:
            lines += [f"The {_fix(finding)}:", _recipe({}, finding.patch)]
    return "\n\n".join([*lines, _silent(rule)])


def _fix(finding: Finding) -> str:
    return f"fix ({FIX[finding.fix]})" if finding.fix in FIX else "change that it advises"


def _message(finding: Finding) -> str:
    return f"> {finding.severity}: {finding.message}\n>\n> {finding.advice}"


def _silent(rule: Rule) -> str:
    """Return what is different where the rule is silent."""
    if rule.purpose == "diagnose":
        run = _run(rule.counterexample, rule.example)
        return f"No finding for {run[0].lower()}{run[1:]}"
    nothing = "Does not apply" if rule.purpose == "derive" else "No finding"
    changed = {name: value for name, value in rule.counterexample.items() if rule.example.get(name) != value}
    shown = [f"`{KEYS.get(name, name)}: {_value(name, value)}`" for name, value in changed.items()]
    gone = [f"`{KEYS.get(name, name)}`" for name in rule.example if name not in rule.counterexample]
    if shown:
        return f"{nothing} with {' and '.join(shown)}."
    return f"{nothing} if {' and '.join(gone)} {'is' if len(gone) == 1 else 'are'} unknown."


def _value(name: str, value: Any) -> str:
    return text_of(plain("off" if name == "dropout" and value == 0 else as_recipe_value(name, value)))


def _recipe(facts: Mapping[str, Any], patch: Mapping[str, Any], why: str = "") -> str:
    """Return facts and a patch as lines of a recipe; what no recipe states is a comment."""
    tree: dict[str, Any] = {}
    for name, value in facts.items():
        if name in KEYS:
            _put(tree, KEYS[name], _value(name, value))
    for key, value in patch.items():
        _put(tree, key, text_of(plain(value)) + (f"  # {why}" if why else ""))
    others = [f"# {name}: {text_of(value)}" for name, value in facts.items() if name not in KEYS]
    return "\n".join(["```yaml", *others, *_lines(tree), "```"])


def _put(tree: dict[str, Any], key: str, text: str) -> None:
    *sections, leaf = key.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    tree[leaf] = text


def _lines(tree: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in tree.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {value}")
    return lines


def _run(facts: Mapping[str, Any], other: Mapping[str, Any] | None = None) -> str:
    """The facts that make an example, or those that differ from another: `A run with `norm` 3 and `clip_norm` 1.`."""
    known = _flat(other or {})
    shown = [f"`{name}` {_short(value)}" for name, value in _flat(facts).items() if known.get(name) != value]
    listed = " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    subject = "prediction" if "signal" in facts else "run of two processes" if "ranks" in facts else "run"
    return f"A {subject} with {listed}." if listed else f"A healthy {subject}."


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        flat |= value if name in ("parts", "ranks", "signal") else {name: value}
    return flat


def _short(value: Any) -> str:
    if callable(value):
        return _curve(value)
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_short(each)}" for name, each in value.items())
    if isinstance(value, list | tuple | range):
        texts = [" to ".join(map(_short, each)) if isinstance(each, tuple) else _short(each) for each in value]
        return ", ".join(texts if len(texts) <= 6 else [*texts[:3], "...", texts[-1]]) or "not logged"
    return f"{value:.3g}" if type(value) is float else str(value)


def _curve(curve: Callable[[float], float]) -> str:
    """Return a curve over the progress of a run: how often each of two levels, else its value at some places."""
    counts = Counter(f"{curve(step / STEPS):.3g}" for step in range(1, STEPS + 1)).most_common()
    if len(counts) == 2:
        (level, _), (other, times) = counts
        return f"{level} ({other} in {times} of {STEPS} steps)"
    levels = [f"{curve(t):.3g}" for t in SHOWN]
    return f"{', '.join(levels)} (at 0, 25, 50, 75 and 100 % of the run)"
