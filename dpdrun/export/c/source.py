"""Collect the parts of a generated C source: constant tables, members of the state, functions, and what they cost."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from dataclasses import dataclass, field
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.errors import RunError

WIDTH = 110  # characters of a generated line
BYTES = {"float": 4, "int8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4, "uint32_t": 4, "int64_t": 8}


@dataclass
class Source:
    """The parts of one model in C.

    Attributes:
        prefix: of all public names.
        number: the C type of samples, tables and state.
        tables: definitions of constant tables.
        members: declarations of the state.
        functions: definitions, callees first.
        step: statements of the step, from `x[2]` to `y[2]` with the state `s`; x and y may be the same array.
        reset: statements of the reset that are needed after all members are zero; they may use `int i`.
        units: of x and y.
        defines: public constants: name without the prefix, value, comment.
        notes: lines for the comment of the header.
        facts: what else the JSON description says.
        table_bytes: size of the tables.
        operations: per sample, by name: multiplications, divisions, square roots, ...
    """

    prefix: str
    number: str = "float"
    tables: list[str] = field(default_factory=list)
    members: list[tuple[str, str, tuple[int, ...], str]] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    step: list[str] = field(default_factory=list)
    reset: list[str] = field(default_factory=list)
    units: str = "in the units of the capture"
    defines: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    table_bytes: int = 0
    operations: Counter[str] = field(default_factory=Counter)

    def table(self, name: str, values: NDArray[Any], comment: str = "", *, ctype: str | None = None) -> None:
        """Add a constant table. Raises RunError for weights that are not finite."""
        ctype = ctype or self.number
        if ctype == "float" and not np.isfinite(float32(values)).all():
            raise RunError(f"weights {name}: not finite in float32; this run diverged, so it cannot be exported")
        shape = "".join(f"[{length}]" for length in values.shape)
        head = f"/* {comment} */\n" if comment else ""
        self.tables.append(f"{head}static const {ctype} {name}{shape} = {initializer(values, ctype)};")
        self.table_bytes += values.size * BYTES[ctype]

    def member(self, name: str, *shape: int, comment: str, ctype: str | None = None) -> None:
        """Add a member of the state. It is zero after a reset."""
        self.members.append((ctype or self.number, name, shape, comment))

    @property
    def state_bytes(self) -> int:
        """Size of the state: `declarations` are in an order that needs no padding but at the end."""
        used = sum(BYTES[ctype] * math.prod(shape) for ctype, _, shape, _ in self.members)
        alignment = max((BYTES[ctype] for ctype, *_ in self.members), default=1)
        return -(-used // alignment) * alignment

    @property
    def declarations(self) -> list[str]:
        """Members of the state, the largest types first."""
        ordered = sorted(self.members, key=lambda member: -BYTES[member[0]])
        return [
            f"{ctype} {name}{''.join(f'[{length}]' for length in shape)}; /* {comment} */"
            for ctype, name, shape, comment in ordered
        ]

    def function(self, template: str, **values: Any) -> None:
        """Add a function from a `string.Template`."""
        self.functions.append(fill(template, prefix=self.prefix, **values))

    def count(self, **operations: int) -> None:
        """Count operations of one sample."""
        self.operations.update(operations)


def fill(template: str, **values: Any) -> str:
    """Return a dedented `string.Template` with its `$names` replaced."""
    return Template(textwrap.dedent(template).strip("\n")).substitute(values)


def float32(values: Any) -> Any:
    """Return a number or an array in float32; what is beyond its range is infinite."""
    with np.errstate(over="ignore"):
        return np.float32(values)


def literal(value: float, ctype: str = "float") -> str:
    """Return a constant that C reads back to the same float32 or integer. Raises RunError beyond float32."""
    if ctype != "float":
        return str(int(value))
    number = float32(value)
    if not np.isfinite(number):
        raise RunError(f"{value:g} is no number of float32; this run diverged, so it cannot be exported")
    text = f"{number:.9g}"
    return (text if set(text) & set(".e") else f"{text}.0") + "f"


def initializer(values: NDArray[Any], ctype: str, indent: str = "    ") -> str:
    """Return the initial value of an array of any shape."""
    if values.ndim == 1:
        text = ", ".join(literal(value, ctype) for value in values.tolist())
        if len(text) + len(indent) < WIDTH - 6:
            return f"{{{text}}}"
        lines = textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
        return "{\n" + "\n".join(lines) + f"\n{indent[4:]}}}"
    rows = (initializer(row, ctype, indent + "    ") for row in values)
    return "{\n" + ",\n".join(f"{indent}{row}" for row in rows) + f"\n{indent[4:]}}}"
