"""The flags that describe a capture: declared here, once, for all commands that read one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpdrun.commands._options import (
    BandwidthOption,
    ChannelSpacingOption,
    ColumnsOption,
    OutputSignalOption,
    SampleRateOption,
    option,
    stated_rates,
)
from dpdrun.errors import DataError, RecipeError

if TYPE_CHECKING:
    from dpdrun.recipe.schema import DataSection

DATA_FIELDS = (  # of `data` in a recipe
    *("sample_rate_hz", "bandwidth_hz", "channel_spacing_hz"),
    *("input", "output", "columns", "check_rates"),
)


@dataclass(frozen=True)
class DataFlags:
    """What a user states about a capture: each attribute is a flag."""

    sample_rate_hz: SampleRateOption = None
    bandwidth_hz: BandwidthOption = None
    channel_spacing_hz: ChannelSpacingOption = None
    input: Annotated[
        str | None,
        option("--input-signal", metavar="NAME", help="Which signal of the file is the PA input: a variable, or I,Q."),
    ] = None
    output: OutputSignalOption = None
    columns: ColumnsOption = None
    no_check_rates: Annotated[
        bool,
        typer.Option("--no-check-rates", help="Accept rates, or an order of the signals, that look like a mistake."),
    ] = False

    def given(self) -> dict[str, Any]:
        """Return the fields of `data` that were stated. Raises RecipeError where a rate is not a positive number."""
        names = {"input": self.input, "output": self.output, "columns": self.columns}
        return {
            **stated_rates(
                sample_rate_hz=self.sample_rate_hz,
                bandwidth_hz=self.bandwidth_hz,
                channel_spacing_hz=self.channel_spacing_hz,
            ),
            **{field: name for field, name in names.items() if name is not None},
            **({"check_rates": "off"} if self.no_check_rates else {}),
        }

    def section(self, source: str) -> DataSection:
        """Return the `data` section of a source. Raises RecipeError or DataError where a flag is wrong."""
        return data_section(source, self.given())


NONE_GIVEN = DataFlags()


def takes_data_flags(command: Callable[..., None], *, omitted: tuple[str, ...] = ()) -> Callable[..., None]:
    """Return a command that has the flags of DataFlags in place of its parameter `flags`.

    Args:
        command: with a parameter `flags: DataFlags`.
        omitted: attributes that the command does not use.
    """
    hints = inspect.get_annotations(DataFlags, eval_str=True)
    declared = [
        inspect.Parameter(
            each.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=each.default, annotation=hints[each.name]
        )
        for each in fields(DataFlags)
        if each.name not in omitted
    ]
    names = {parameter.name for parameter in declared}

    @functools.wraps(command)
    def called(**values: Any) -> None:
        stated = {name: values.pop(name) for name in names & values.keys()}
        command(flags=DataFlags(**stated), **values)

    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        parameters += declared if parameter.name == "flags" else [parameter]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def flag_of(field: str) -> str:
    """Return the flag of a field of `data`."""
    if field == "check_rates":
        return "--no-check-rates"
    signal = "-signal" if field in ("input", "output") else ""
    return f"--{field.replace('_', '-')}{signal}"


def data_section(source: str, given: dict[str, Any]) -> DataSection:
    """Return the `data` section of a source, with the fields that flags state. Raises RecipeError or DataError."""
    from pydantic import ValidationError

    from dpdrun.recipe.loader import source_of
    from dpdrun.recipe.schema import DataSection

    try:
        return DataSection.model_validate({"source": source_of(source)} | given)
    except ValidationError as error:
        wrong = error.errors()[0]["loc"][0]
        if wrong == "source":
            raise DataError("name a source (see `dpdrun data list`) or your own file or folder") from None
        raise RecipeError(f"{flag_of(str(wrong))}: expected a name") from None
