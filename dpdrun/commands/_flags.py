"""What `dpdrun recommend` is told by flags alone: the words they take, and the facts that they make."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, Any

from dpdrun.errors import RecipeError

if TYPE_CHECKING:
    from dpdrun.rules.facts.plan import PlanFacts

LONGEST_WINDOW = 65_536  # samples; scores of one head for one frame are then 32 GiB

# Flag -> recipe key; the flags also override a recipe that is given.
KEYS = {
    "model": "model.kind",
    "d_model": "model.d_model",
    "layers": "model.layers",
    "heads": "model.heads",
    "window": "model.window",
    "hidden": "model.hidden",
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "data": "data.source",
    "sample_rate_hz": "data.sample_rate_hz",
    "bandwidth_hz": "data.bandwidth_hz",
    "rules": "rules",
}


def overrides_of(given: dict[str, Any]) -> list[str]:
    """The flags as `key=value` for a recipe. Raises RecipeError on a window that none can have."""
    if "window" in given:
        window_of(given)
    return [f"{KEYS[name]}={value}" for name, value in given.items()]


def in_flags(error: RecipeError, given: dict[str, Any]) -> RecipeError:
    """The error of a recipe with the flags as the user typed them, where it names what they set."""
    text = str(error)
    for name, value in given.items():
        text = text.replace(f"--set {KEYS[name]}={value}:", f"--{name.replace('_', '-')} {value}:")
    return RecipeError(text)


def facts_of(given: dict[str, Any], samples: int | None, *, data: bool) -> PlanFacts:
    """The facts that flags make.

    Args:
        given: the flags that were given.
        samples: training frames in one pass.
        data: whether a look at data says how much there is, and the rules advise on sizes.

    Raises:
        RecipeError: a flag is missing, belongs to another model, or has a value that nobody can train.
    """
    from dpdrun.recipe.schema import MAX_EPOCHS, TransformerModel
    from dpdrun.rules.facts.plan import PlanFacts

    kind = given.get("model")
    note = given.get("rules") == "note"
    if not data or note:
        ask_for(
            {
                "--model": kind,
                "--d-model": given.get("d_model") if kind == "transformer" else True,
                "--hidden": given.get("hidden") if kind == "gru" else True,
                "--samples": True if data else samples,
            },
            "since the note says nothing of sizes" if data else "to recommend without a recipe",
            given | {"samples": samples},
        )
    _refuse_foreign(kind, given)
    epochs = given.get("epochs")
    if epochs is not None and not 0 < epochs <= MAX_EPOCHS:  # nan too
        raise RecipeError(f"--epochs {epochs:g}: expected a number greater than 0 and up to {MAX_EPOCHS:,}")
    sizes = {name: given.get(name) for name in ("d_model", "hidden", "layers", "heads", "epochs")}
    if kind == "transformer":
        fields = TransformerModel.model_fields
        sizes |= {name: fields[name].default for name in ("conv", "skip", "residual_init")}
    window = window_of(given)
    return PlanFacts(kind=str(kind), frames=samples, batch=given.get("batch_size"), window=window, **sizes)


def window_of(given: dict[str, Any]) -> float | None:
    """`--window` [samples]; inf for full attention, None where it was not given. Raises RecipeError."""
    window = given.get("window")
    if window is None:
        return None
    if window == "full":
        return math.inf
    if window.isdecimal() and 0 < int(window) <= LONGEST_WINDOW:
        return int(window)
    said = window or "(empty)"
    raise RecipeError(f"--window {said}: expected a number of samples from 1 to {LONGEST_WINDOW}, or full")


def refuse_longer(given: dict[str, Any], samples: int | None) -> None:
    """Refuse a window that is longer than the training part. Raises RecipeError."""
    window = window_of(given)
    if window is not None and samples is not None and samples < window < math.inf:
        raise RecipeError(
            f"--window {window:g} is longer than the training part ({samples} samples); give a shorter one, or full"
        )


def ask_for(needed: dict[str, Any], purpose: str, given: dict[str, Any], *, to_file: bool = False) -> None:
    """Refuse to go on where a value is None, naming its flag, with an example that works. Raises RecipeError.

    Args:
        needed: values by flag.
        purpose: what they are needed for.
        given: the flags that were typed, `samples` too.
        to_file: the example writes a recipe.
    """
    missing = [flag for flag, value in needed.items() if value is None]
    if missing:
        lines = [
            f"{purpose}, {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} needed",
            f"  for example: {_example(given, missing)}{' -o my.yaml' if to_file else ''}",
        ]
        if "data" in given or "--data" in missing:
            lines += ["  `dpdrun data list` has the sources; a file or folder of yours will do"]
        else:
            lines += [
                "  or give a recipe: dpdrun recommend recipes/quickstart.yaml",
                "  or data: dpdrun recommend --data synthetic/mild --model transformer",
            ]
        raise RecipeError("\n".join(lines))


def _example(given: dict[str, Any], missing: list[str]) -> str:
    """What was typed, with what is missing; --samples gives way to --data, which say how much there is."""
    from dpdrun.rules.plan.sizing import LAYERS, SHORTEST_WINDOW, heads_for

    width = int(given.get("d_model", 32))
    usual: dict[str, Any] = {
        "model": "transformer", "d_model": width, "layers": LAYERS["transformer"], "heads": heads_for(width),
        "window": SHORTEST_WINDOW, "hidden": 16, "samples": 10000, "epochs": 50, "data": "synthetic/mild",
    }  # fmt: skip
    words = {name: given.get(name) or (usual[name] if _flag(name) in missing else None) for name in (*usual, *given)}
    kind, data = words["model"], words["data"]
    if not data:
        words["d_model"] = words["d_model"] or (width if kind == "transformer" else None)
        words["epochs"] = words["epochs"] or usual["epochs"]
    else:
        words["samples"] = None
    flags = [f"{_flag(name)} {_word(value)}" for name, value in words.items() if value]
    return " ".join(["dpdrun recommend", *flags])


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else shlex.quote(str(value))


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _refuse_foreign(kind: Any, given: dict[str, Any]) -> None:
    foreign = ("hidden",) if kind == "transformer" else ("d_model", "heads", "window")
    for name in foreign:
        if name in given:
            raise RecipeError(f"--{name.replace('_', '-')} does not belong to --model {kind}; remove it")
