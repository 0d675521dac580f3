"""What a file holds: complex signals by name, and the settings that it states.

A reader of a format returns `Contents`; `roles` decides which signal is the input and which the output. Samples are
loaded only for the signals that are used, so listing a large file costs nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.checks import check_finite
from dpdrun.data.formats._reading import joined
from dpdrun.data.names import QUADRATURE, words_of
from dpdrun.errors import DataError

MAX_CHANNELS = 8  # columns of a two-dimensional array that are taken for channels; more is not a record
MIN_SIGNAL = 2
MAX_SETTING = 16  # elements of an array by the name of a setting; it has one, or the file is wrong

MAX_HZ = 1e15
EXACT = 1e-6  # relative, of a stated rate

Samples = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Variable:
    """An array of a file, not yet loaded.

    Attributes:
        name: as the file has it.
        shape, dtype: as declared.
        load: returns the array, real or complex; raises DataError.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], NDArray[Any]]

    @property
    def is_complex(self) -> bool:
        """Whether its numbers are complex."""
        return self.dtype.startswith("complex")

    @property
    def length(self) -> int:
        """Samples, along the longer side."""
        return max(self.shape, default=1)


@dataclass(frozen=True, eq=False)
class Signal:
    """A complex record of a file, not yet loaded.

    Attributes:
        name: what to write for `--input-signal`; two real arrays as I and Q are `I_in,Q_in`.
        samples: how many.
        about: shape and type of the array, for messages.
        load: returns (N,) complex128, all finite; raises DataError.
    """

    name: str
    samples: int
    about: str
    load: Callable[[], Samples]


@dataclass(frozen=True, eq=False)
class Contents:
    """The signals of a file and what it states about them. None: not stated.

    Attributes:
        format: its name, for messages.
        signals: in the order of the file.
        variables: the arrays they were made of; two real ones that no rule combined can still be named as `a,b`.
        sample_rate_hz, bandwidth_hz, centre_hz: [Hz].
        rate_tolerance: how far, relatively, a rate may be off that was measured from a time column.
        others: what cannot be a signal, and why.
        warnings: what the reader noticed and did not refuse.
    """

    format: str
    signals: tuple[Signal, ...]
    variables: tuple[Variable, ...] = ()
    sample_rate_hz: float | None = None
    bandwidth_hz: float | None = None
    centre_hz: float | None = None
    rate_tolerance: float = EXACT
    others: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())


def contents_of(format_: str, variables: Iterable[Variable], where: str, **stated: Any) -> Contents:
    """Return the contents of a file of named arrays: signals, and the settings among its scalars.

    Args:
        format_: for messages.
        variables: all arrays of the file.
        where: the file, for messages.
        stated: further fields of `Contents`; what they state takes precedence over scalars.
    """
    arrays = tuple(variables)
    settings = settings_of((each for each in arrays if 0 < math.prod(each.shape) < MAX_SETTING), where)
    fields: dict[str, Any] = settings | {name: value for name, value in stated.items() if value is not None}
    records = tuple(each for each in arrays if each.length >= MIN_SIGNAL)
    spread = [part for each in records for part in _channels(each)]
    return Contents(format_, tuple(_signals(spread, where)), tuple(spread), **fields)


RATES = re.compile(
    r"(fs|sr|(sample|sampling|samp|iq)_?(rate|freq|frequency)(_?hz)?|samp_?rate|rate|f_?s(amp(le)?)?)\Z", re.I
)
PERIODS = re.compile(r"(ts|dt|xdelta|(sample|sampling)_?(time|period|interval)|t_?s(amp(le)?)?)\Z", re.I)
BANDWIDTHS = re.compile(r"(bw|bandwidth(_?hz)?|signal_?(bw|bandwidth)|input_signal_bw|bw_main_ch)\Z", re.I)
CENTRES = re.compile(r"(fc|f_?c(arrier)?|input_?center|(center|centre|carrier)_?(freq|frequency)(_?hz)?)\Z", re.I)


def settings_of(scalars: Iterable[Variable], where: str) -> dict[str, float]:
    """Return the rate, bandwidth and centre frequency among the scalars of a file [Hz].

    Raises:
        DataError: a rate or bandwidth that is not a positive number, or two that contradict each other.
    """
    found: dict[str, tuple[str, float]] = {}
    for each in scalars:
        name = each.name.rpartition(".")[2]
        for key, pattern in (
            ("sample_rate_hz", RATES),
            ("period", PERIODS),
            ("bandwidth_hz", BANDWIDTHS),
            ("centre_hz", CENTRES),
        ):
            if not pattern.match(name) or each.is_complex:
                continue
            values = np.asarray(each.load()).reshape(-1)
            value = float(values[0])
            if key == "period":
                key, value = "sample_rate_hz", 1.0 / value if value else 0.0
            if len(values) > 1 or not (0 < value < MAX_HZ or key == "centre_hz"):
                raise DataError(f"{where}, {each.name}: expected one positive number, not {values}")
            before = found.setdefault(key, (each.name, value))
            if key != "centre_hz" and not math.isclose(before[1], value, rel_tol=1e-6):
                field_, flag = f"data.{key}", f"--{key.replace('_', '-')}"
                raise DataError(
                    f"{where}: {before[0]} and {each.name} state {before[1]:g} Hz and {value:g} Hz; "
                    f"correct the file, or save it with one of them and give {flag} ({field_})"
                )
    return {key: value for key, (_, value) in found.items()}


def _channels(each: Variable) -> list[Variable]:
    """Return an array as one-dimensional variables.

    (N, 1) is what it is, real (N, 2) is I and Q of one signal, further columns are `name:1`, `name:2`, ...
    """
    shape = tuple(length for length in each.shape if length != 1)
    if len(shape) <= 1:
        return [each]
    if len(shape) > 2 or min(shape) > MAX_CHANNELS:
        return []
    axis = int(np.argmin(shape))

    def column(at: int) -> NDArray[Any]:
        return np.asarray(np.take(np.asarray(each.load()).reshape(shape), at, axis))

    if shape[axis] == 2 and not each.is_complex:
        return [Variable(each.name, each.shape, f"complex pairs of {each.dtype}", lambda: joined(column(0), column(1)))]
    return [
        Variable(f"{each.name}:{at + 1}", (max(shape),), each.dtype, partial(column, at)) for at in range(shape[axis])
    ]


def _signals(variables: Sequence[Variable], where: str) -> list[Signal]:
    """Return complex variables, and real ones combined to I and Q by their names."""
    found, used = [], set()
    partners = _quadratures([each for each in variables if not each.is_complex])
    for each in variables:
        if each.is_complex:
            found.append(complex_signal(each, where))
        elif each.name in partners and each.name not in used:
            other = partners[each.name]
            found.append(joined_signal(each, other, where))
            used.add(other.name)
    return found


def complex_signal(each: Variable, where: str) -> Signal:
    """Return a complex variable as a signal."""

    def load() -> Samples:
        return checked(np.asarray(each.load()).reshape(-1), f"{where}, {each.name}")

    return Signal(each.name, each.length, about(each), load)


def joined_signal(i: Variable, q: Variable, where: str) -> Signal:
    """Return two real variables as I and Q of one signal."""

    def load() -> Samples:
        pair = [np.asarray(part.load()).reshape(-1) for part in (i, q)]
        if len(pair[0]) != len(pair[1]):
            raise DataError(
                f"{where}: {i.name} has {len(pair[0]):,} samples and {q.name} has {len(pair[1]):,}; I and Q belong to "
                "the same instants"
            )
        return checked(joined(*pair), f"{where}, {i.name} and {q.name}")

    return Signal(f"{i.name},{q.name}", i.length, f"{about(i)}, twice", load)


def checked(array: NDArray[Any], where: str) -> Samples:
    """Return samples as complex128. Raises DataError at the first that is NaN or Inf."""
    with np.errstate(all="ignore"):  # what complex128 cannot hold becomes infinite, and is reported
        samples = np.ascontiguousarray(array, np.complex128)
    check_finite(samples.view(np.float64).reshape(-1, 2), where, ("I", "Q"), row_word="sample", first=0)
    return samples


def about(each: Variable) -> str:
    """Return shape and type of a variable."""
    return f"{' x '.join(f'{length:,}' for length in each.shape) or '1'} {each.dtype}"


def _quadratures(variables: Sequence[Variable]) -> dict[str, Variable]:
    """Return the Q of each I: real arrays of one length whose names differ in that word only."""
    by_words = {words_of(each.name): each for each in variables}
    found: dict[str, Variable] = {}
    for words, each in by_words.items():
        for at, word in enumerate(words):
            other = QUADRATURE.get(word)
            partner = by_words.get((*words[:at], other, *words[at + 1 :])) if other else None
            if partner is not None and partner.length == each.length:
                found[each.name] = partner
                break
    return found
