"""Arguments of the calls from Python: a recipe of any form, a capture."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dpdrun.data.capture import Capture
from dpdrun.errors import DataError, DpdrunError, RecipeError, RunError, reason_of
from dpdrun.recipe.given import enter_loss
from dpdrun.recipe.loader import Loaded, load_recipe, load_text, overrides_of
from dpdrun.recipe.schema import GIVEN, Section

PathLike = str | os.PathLike[str]
RecipeLike = Mapping[str, Any] | str | os.PathLike[str] | Loaded
Overrides = Sequence[str] | Mapping[str, Any]


def require_capture(capture: Capture) -> Capture:
    """Return a capture. Raises DataError for anything else."""
    if isinstance(capture, Capture):
        return capture
    raise DataError(
        f"capture: expected a Capture, not a {type(capture).__name__}; make one with dpdrun.Capture.from_arrays or "
        "dpdrun.Capture.load, and give the folder of a run as out="
    )


def loaded_from(
    recipe: RecipeLike, overrides: Overrides, capture: Capture | None, *, model: Section | None = None,
    loss: object = None,
) -> Loaded:  # fmt: skip
    """Return a recipe of any form, with a model and a loss that were passed. Raises RecipeError."""
    if capture is not None:
        require_capture(capture)
    pairs = overrides_of(overrides)
    if loss is not None:
        if not callable(loss):
            raise RecipeError(f"loss: expected a function of (prediction, target), not a {type(loss).__name__}")
        enter_loss()
        pairs.append(f"train.loss={GIVEN}")
    if isinstance(recipe, Loaded):
        loaded = load_text(recipe.text, recipe.path, [*recipe.overrides, *pairs]) if pairs else recipe
    elif isinstance(recipe, Mapping):
        data = {} if capture is None or "data" in recipe else {"data": {"source": GIVEN}}
        loaded = load_recipe({**recipe, **data, **({} if model is None else {"model": model})}, pairs)
    elif isinstance(recipe, str | os.PathLike):
        loaded = load_recipe(recipe, pairs)
    else:
        raise RecipeError(
            f"recipe: expected a dict, a path, a name or what load_recipe returns, not a {type(recipe).__name__}"
        )
    return loaded if model is None else loaded.with_model(model)


@contextmanager
def blamed_on(*passed: object) -> Iterator[None]:
    """Name the code that was passed from Python, its file and line, in an exception that arose in it."""
    try:
        yield
    except (DpdrunError, KeyboardInterrupt):
        raise
    except Exception as error:
        files = {file for each in passed if each is not None and (file := _file_of(each)) is not None}
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
        if not frames:
            raise
        place = f"{frames[-1].filename}:{frames[-1].lineno}"
        raise RunError(f"{place}: {type(error).__name__}: {reason_of(error)}; in {frames[-1].name}") from error


def _file_of(passed: object) -> str | None:
    """Return the file, or the cell of a notebook, that an object's code is from."""
    code = getattr(getattr(type(passed), "forward", passed), "__code__", None)
    return getattr(code, "co_filename", None)
