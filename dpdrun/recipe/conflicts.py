"""Find combinations of values that are each right and together impossible.

Each check names the keys it looks at and runs only where all of them are concrete: neither `auto` nor `off`, nor
missing because something else is wrong with them. So the same checks serve a recipe as written, after `--set`, and
after the rules have filled in every `auto`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, get_args

from dpdrun.recipe.describe import field_docs
from dpdrun.recipe.fields import AUTO, OFF, Percent
from dpdrun.recipe.schema import KINDS, Recipe, Section

Conflict = tuple[str, str]  # dotted key, message

_SPLIT_TOLERANCE = 1e-9  # three percentages that were typed sum to 1 up to rounding


_OUR_KINDS = tuple(str(get_args(section.model_fields["kind"].annotation)[0]) for section in KINDS)
_CHECKS: list[tuple[tuple[str, ...], Callable[..., str | None]]] = []  # the keys that a check looks at, and the check


def _check(*keys: str) -> Callable[[Callable[..., str | None]], Callable[..., str | None]]:
    def add(find: Callable[..., str | None]) -> Callable[..., str | None]:
        _CHECKS.append((keys, find))
        return find

    return add


def conflicts(recipe: Recipe, given: Collection[str] | None = None) -> list[Conflict]:
    """Return every impossible combination of a recipe, as (dotted key, message).

    Args:
        recipe: as written, or with its autos filled in.
        given: dotted keys that the user wrote (`Loaded.given`); a few checks refuse a setting that can have no effect,
            and only the user's own are worth refusing. Default: the fields that the recipe was built with.
    """
    return conflicts_among(values_of(recipe), given_in(recipe) if given is None else given)


def check_length(recipe: Recipe, train_samples: int) -> list[Conflict]:
    """Return what of a recipe does not fit a training split of `train_samples` samples."""
    values = values_of(recipe)
    found = []
    for key in ("train.frame", "model.window", "model.conv", "model.lookahead"):
        length = values.get(key)
        if isinstance(length, int) and length > train_samples:
            message = f"{key} {length} is longer than the training split, which has {train_samples} samples"
            found.append((key, f"{message}; shorten it or record more"))
    return found


def model_conflicts(model: Section) -> list[Conflict]:
    """Return every impossible combination within the model section alone."""
    return conflicts_among(dict(_flat(model, "model.", given_only=False)), ())


def conflicts_among(values: Mapping[str, Any], given: Collection[str]) -> list[Conflict]:
    """Return the impossible combinations of flat values by dotted key, of which any may be missing."""
    if values.get("model.kind") not in (None, *_OUR_KINDS):  # fields of a plug-in are its own, whatever their names
        values = {key: value for key, value in values.items() if key == "model.kind" or not key.startswith("model.")}
    concrete = {key: value for key, value in values.items() if value not in (AUTO, OFF)}
    found = []
    for keys, find in _CHECKS:
        if all(key in concrete for key in keys) and (message := find(*(concrete[key] for key in keys))) is not None:
            found.append((keys[0], message))
    found += _of_the_lookahead(values) + _of_the_task(values, given)
    found += _of_the_finish(values) + _of_the_start(values)
    return found + _without_effect(concrete, given)


def values_of(recipe: Recipe) -> dict[str, Any]:
    """Return every value of a recipe by its dotted key."""
    return dict(_flat(recipe, "", given_only=False))


def given_in(recipe: Recipe) -> frozenset[str]:
    """Return the dotted keys that a recipe was built with."""
    return frozenset(key for key, _ in _flat(recipe, "", given_only=True))


def _flat(section: Section, prefix: str, *, given_only: bool) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name in type(section).model_fields:
        if given_only and name not in section.model_fields_set:
            continue
        value = getattr(section, name)
        if isinstance(value, Section):
            found.extend(_flat(value, f"{prefix}{name}.", given_only=given_only))
        else:
            found.append((prefix + name, value))
    return found


@_check("model.heads", "model.d_model")
def _heads_divide(heads: int, d_model: int) -> str | None:
    if d_model % heads == 0:
        return None
    near = sorted({max(heads, d_model // heads * heads), (d_model // heads + 1) * heads})
    return (
        f"model.heads {heads} does not divide model.d_model {d_model}; "
        f"try d_model {' or '.join(map(str, near))}, or heads {_divisor_near(d_model, heads)}"
    )


def _divisor_near(number: int, wanted: int) -> int:
    return max(d for d in range(1, min(number, wanted) + 1) if number % d == 0)


@_check("model.positions", "model.window")
def _positions_are_known(positions: str, window: int | str) -> str | None:
    if positions != "relative" or window != "full":
        return None
    return "model.positions relative needs a model.window in samples; with window full use sinusoidal or none"


@_check("model.lookahead", "model.window")
def _lookahead_has_a_window(lookahead: int, window: int | str) -> str | None:
    if not lookahead or window != "full":
        return None
    return f"model.lookahead {lookahead} needs a model.window in samples; window full sees the complete future already"


@_check("model.window", "train.frame")
def _window_fits(window: int | str, frame: int) -> str | None:
    if isinstance(window, str) or window <= frame:
        return None
    return (
        f"model.window {window} is longer than train.frame {frame}: attention could never fill it in training; "
        f"use a window of at most {frame} or a frame of at least {window}"
    )


@_check("train.burn_in", "train.frame")
def _burn_in_leaves_loss(burn_in: int, frame: int) -> str | None:
    if burn_in < frame:
        return None
    return f"train.burn_in {burn_in} leaves no sample of a frame of {frame} for the loss; use at most {frame - 1}"


@_check("train.accumulate", "train.batch_size")
def _accumulate_divides(accumulate: int, batch_size: int) -> str | None:
    if batch_size % accumulate == 0:
        return None
    return (
        f"train.accumulate {accumulate} does not divide train.batch_size {batch_size}; "
        f"try accumulate {_divisor_near(batch_size, accumulate)}"
    )


@_check("train.max_steps", "train.epochs")
def _one_length(max_steps: int, epochs: float) -> str | None:
    return f"train.max_steps {max_steps} and train.epochs {epochs:g} both set the length; set one of them to auto"


@_check("optim.warmup", "train.max_steps")
def _warmup_fits(warmup: int | Percent, max_steps: int) -> str | None:
    if isinstance(warmup, Percent) or warmup <= max_steps:
        return None
    return f"optim.warmup {warmup} is longer than train.max_steps {max_steps}; the peak lr would never be reached"


@_check("data.split.train", "data.split.val", "data.split.test")
def _shares_sum(train: Percent, val: Percent, test: Percent) -> str | None:
    total = float(train) + float(val) + float(test)
    if abs(total - 1.0) > _SPLIT_TOLERANCE:
        return f"data.split adds up to {Percent(total)} ({train} + {val} + {test}); it must be 100%"
    empty = [name for name, share in (("train", train), ("val", val), ("test", test)) if share <= 0.0]
    return f"data.split.{empty[0]} is 0%; each split needs samples" if empty else None


@_check("data.bandwidth_hz", "data.sample_rate_hz")
def _bandwidth_fits(bandwidth: float, rate: float) -> str | None:
    if bandwidth <= rate:
        return None
    return (
        f"data.bandwidth_hz {bandwidth:g} is wider than data.sample_rate_hz {rate:g}, "
        "the largest bandwidth of complex samples at this rate"
    )


@_check("train.loss.in_band", "train.loss.out_of_band")
def _loss_weighs_something(in_band: float, out_of_band: float) -> str | None:
    return (
        None
        if in_band or out_of_band
        else "train.loss.in_band and out_of_band are both 0: the loss would be zero; give one of them a weight"
    )


def _of_the_lookahead(values: Mapping[str, Any]) -> list[Conflict]:
    """Refuse a lookahead without the linear path. Looks at `skip: off` too, unlike the checks above."""
    key = "model.lookahead"
    if not values.get(key) or values.get("model.skip") != "off":
        return []
    return [(key, f"{key} has no effect without model.skip: look-ahead is in the linear path; write skip: on")]


def _of_the_task(values: Mapping[str, Any], given: Collection[str]) -> list[Conflict]:
    """Refuse what only the other task can use. Looks at `pa: off` too."""
    task, pa, kind = (values.get(key) for key in ("task", "pa", "model.kind"))
    if task == "pa":
        keys = [key for key in _changed(values, given) if key == "pa" or key.startswith("dpd.")]
        return [(key, f"{key} has no effect with task pa; write task: dpd or remove it") for key in keys]
    if task != "dpd":
        return []
    found = []
    chosen = values.get("dpd.learning")
    learning = "direct" if chosen is None and "dpd.learning" not in given else chosen  # None: reported already
    if pa == OFF and learning in ("direct", "ilc"):
        why = f"dpd.learning {learning} needs a PA model: write pa: runs/<name>, a finished run"
        found.append(("pa" if "pa" in given else "task", f"{why}; or use learning: indirect, which needs none"))
    if values.get("dpd.augment") == "on" and learning in ("direct", "indirect"):
        why = "only iterative learning control finds the ideal input for a signal that was never measured"
        found.append(("dpd.augment", f"dpd.augment on needs learning: ilc: {why}"))
    if kind == "gmp" and learning == "direct":
        message = "dpd.learning direct: a gmp is fitted by least squares, which cannot learn through a PA model"
        found.append(("dpd.learning", f"{message}; write learning: ilc or indirect"))
    return found


def _of_the_finish(values: Mapping[str, Any]) -> list[Conflict]:
    """Refuse what `optim.refine: lm` cannot work on: it needs the derivative of each sample by each parameter."""
    if values.get("optim.refine") != "lm":
        return []
    kind, key, found = values.get("model.kind"), "optim.refine", []
    if kind not in (None, "transformer", "gmp"):
        found.append((key, "optim.refine lm needs a model with finite memory: kind transformer"))
    if kind == "transformer" and values.get("model.window") == "full":
        found.append((key, "optim.refine lm needs a model.window in samples; window full sees the complete record"))
    if values.get("model.positions") == "sinusoidal":
        found.append(
            (key, "optim.refine lm needs outputs that do not depend on absolute time: positions relative or none")
        )
    if values.get("train.loss", "time") not in ("time", None):
        found.append((key, f"optim.refine lm minimizes squares; train.loss {values['train.loss']} is another loss"))
    if values.get("task") == "dpd" and values.get("dpd.learning") == "direct":
        found.append(
            (key, "optim.refine lm cannot differentiate through the PA model; write dpd.learning: ilc or indirect")
        )
    return found


def _of_the_start(values: Mapping[str, Any]) -> list[Conflict]:
    """Refuse frozen parts that nothing has trained, or that a refinement would train."""
    key, found = "train.freeze", []
    if values.get(key, OFF) == OFF:
        return []
    if values.get("train.init_from") == OFF:
        found.append((key, f"{key} needs train.init_from: a frozen part keeps the weights of another run"))
    if values.get("optim.refine") == "lm":
        found.append((key, f"{key} cannot be combined with optim.refine: lm, which trains all parameters"))
    return found


def _changed(values: Mapping[str, Any], given: Collection[str]) -> list[str]:
    """Return the keys that the user wrote and that are not at their default, sorted."""
    docs = field_docs() if given else ()  # they take a while
    return sorted({doc.key for doc in docs if doc.key in given and values.get(doc.key, doc.default) != doc.default})


def _without_effect(values: Mapping[str, Any], given: Collection[str]) -> list[Conflict]:
    """Refuse settings of the user that nothing would read: they were meant to do something."""
    found = []
    kind, schedule = values.get("model.kind"), values.get("optim.schedule")
    for key in _changed(values, given):
        if kind == "gmp" and key.startswith(("optim.", "train.")) and key != "train.seed":
            found.append((key, f"{key} has no effect: kind gmp is fitted by least squares, without steps; remove it"))
        elif key == "optim.refine_iterations" and values.get("optim.refine") is None:
            found.append((key, f"{key} has no effect without optim.refine: lm"))
        elif schedule is not None and schedule != "plateau" and key.startswith("optim.plateau."):
            found.append((key, f"{key} has no effect with schedule {schedule}; write schedule: plateau or remove it"))
        elif schedule in ("constant", "inverse_sqrt") and key == "optim.lr_end":
            found.append((key, f"{key} has no effect with schedule {schedule}; use cosine or linear, or remove it"))
    return found
