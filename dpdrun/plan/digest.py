"""What of a plan.json decides the weights: its digest, and the keys in which two of them differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Set
from typing import Any

from dpdrun.recipe.schema import QuantizationSection, SourceFiles

# Keys that decide no weight; the hashes of the samples and of the PA model's tensors stand for where they are from.
# Threads change rounding alone, as the processor does; a resumed run keeps its number.
UNCOUNTED = frozenset(
    {
        *("checkpoint_every", "train.checkpoint_every", "train.threads", "train.device", "pa"),
        "train.init_from",
        *("data.source", *(f"data.source.{name}" for name in SourceFiles.model_fields)),
        *("data.input", "data.output", "data.columns", "data.check_rates"),
        *("quantization", *(f"quantization.{name}" for name in QuantizationSection.model_fields)),
    }
)
# Keys of plan.json on the side of a plan: reasons, and what it was made with.
REMARKS = frozenset({"provenance", "warnings", "plugins", "environment"})


def digest_of(content: Mapping[str, Any], data_sha256: str) -> str:
    """Return `Plan.digest` of the content of a plan.json as it stands, which an older schema may have written."""
    kept = {key: value for key, value in content.items() if key not in REMARKS}
    text = json.dumps({**_without(kept, _free_keys(content)), "data": data_sha256}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys of two contents of plan.json that have other values, and that digests count."""
    free = _free_keys(before) & _free_keys(after)
    return [key for key in differing_keys(before, after) if key not in free]


def _free_keys(content: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys of a plan.json that decide no weight: paths, and when to write, warn or stop."""
    adapts = content.get("recipe", {}).get("train", {}).get("on_finding") == "adapt"
    return UNCOUNTED if adapts else UNCOUNTED | {"train.on_finding"}


def _without(content: Mapping[str, Any], keys: Set[str], prefix: str = "") -> dict[str, Any]:
    """Return the content of a plan.json without some of its keys, as `differing_keys` names them."""
    return {
        key: _without(value, keys, "" if not prefix and key == "recipe" else f"{prefix}{key}.")
        if isinstance(value, Mapping) else value
        for key, value in content.items() if f"{prefix}{key}" not in keys
    }  # fmt: skip


def differing_keys(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted keys of two contents of plan.json that have other values, reasons for values left out."""
    found: list[str] = []
    for key in {**before, **after}:
        if not prefix and key in REMARKS:
            continue
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differing_keys(old, new, f"{prefix}{key}.")
        elif old != new or (key in before) != (key in after):
            found.append(f"{prefix}{key}".removeprefix("recipe."))
    return found
