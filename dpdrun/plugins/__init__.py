"""What a plug-in is written with (docs/plugins.md), and checked: imports any room but commands, torch when needed.

from dpdrun.plugins import BehaviouralModel, Count, Field, Section, Switch, check_file
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dpdrun.recipe.schema import Count, Section, Switch

if TYPE_CHECKING:
    from dpdrun.models._base import BehaviouralModel
    from dpdrun.models._features import features
    from dpdrun.plugins.check import check_file
    from dpdrun.recipe.plugins import load_files

__all__ = ["BehaviouralModel", "Count", "Field", "Section", "Switch", "check_file", "features", "load_files"]

_HOME = {
    "BehaviouralModel": "dpdrun.models._base",
    "check_file": "dpdrun.plugins.check",
    "features": "dpdrun.models._features",
    "load_files": "dpdrun.recipe.plugins",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
