"""A model or a loss that is passed from Python: `model.kind: given`, `train.loss: given`.

A recipe cannot hold a module, only its name and what is known of it. So the kind and the loss exist from the moment
that one is passed, or that a run which was made with one is read: its log and its scores need no module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from dpdrun.recipe import plugins
from dpdrun.recipe.schema import GIVEN, Section, Text

UNLIMITED: Literal["unlimited"] = "unlimited"


class GivenModel(Section):
    """A torch module that was passed from Python."""

    kind: Literal["given"] = Field(description="a module passed from Python")
    module: Text = Field(description="name of its class")
    sha256: Text = Field(description="of its tensors when training began")
    context: Annotated[int, Field(ge=0)] | Literal["unlimited"] = Field(
        UNLIMITED, description="past samples that an output depends on [samples]"
    )
    look_ahead: Annotated[int, Field(ge=0)] = Field(0, description="future samples that an output depends on [samples]")

    @property
    def key(self) -> tuple[str, str]:
        """What identifies a module: two classes may begin with the same tensors."""
        return self.module, self.sha256


def enter_model() -> None:
    """Let recipes have `model.kind: given`."""
    if GIVEN not in plugins.names("models"):
        plugins.add("models", GIVEN, plugins.Kind(GivenModel, "dpdrun.models._given:build_given"))


def enter_loss() -> None:
    """Let recipes have `train.loss: given`."""
    if GIVEN not in plugins.names("losses"):
        plugins.add("losses", GIVEN, "dpdrun.training.loss:given_loss")


def enter_of(plan: Mapping[str, Any]) -> None:
    """Enter what the run of a plan.json was made with."""
    if _of(plan, "recipe", "model").get("kind") == GIVEN:
        enter_model()
    if _of(plan, "recipe", "train").get("loss") == GIVEN:
        enter_loss()


def _of(content: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Return what is inside nested mappings, an empty one where a part of the path is missing."""
    for name in path:
        inner = content.get(name)
        content = inner if isinstance(inner, Mapping) else {}
    return content
