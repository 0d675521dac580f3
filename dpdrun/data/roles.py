"""Decide which signal of a file is the input and which the output: by name where that is certain, else by question."""

from __future__ import annotations

import numpy as np

from dpdrun.data.checks import MIN_SAMPLES, suggestion
from dpdrun.data.names import pairs_of, parts_of, role_of
from dpdrun.data.signals import Contents, Signal, joined_signal
from dpdrun.errors import DataError, visible

SHOWN = 12  # candidates in a message
LOADED = 1 << 26  # samples that are loaded for the levels in a message
FLAGS = {"input": "--input-signal NAME (data.input)", "output": "--output-signal NAME (data.output)"}

Pair = tuple[Signal, Signal]


def pair_in(contents: Contents, where: str, chosen: dict[str, str | None]) -> list[Pair]:
    """Return the input and the output in one file; three pairs where their names say train, val, test.

    Args:
        contents: of the file.
        where: the file, for messages.
        chosen: by role, the name that the user gave, or None.

    Raises:
        DataError: it is not certain which signals they are; the message lists what there is and the flags to give.
    """
    named = {role: find(contents, where, name, role) for role, name in chosen.items() if name is not None}
    if "input" in named and "output" in named:
        return [(named["input"], named["output"])]
    records = long_enough(contents)
    by_name = {signal.name: signal for signal in records}
    pairs = [
        (by_name[i], by_name[o], words)
        for i, o, words in pairs_of(by_name)
        if all(named.get(role, by_name[name]).name == name for role, name in (("input", i), ("output", o)))
    ]
    if len(pairs) > 1 and (parts := parts_of([(i.name, o.name, words) for i, o, words in pairs])) is not None:
        return [(by_name[parts[part][0]], by_name[parts[part][1]]) for part in ("train", "val", "test")]
    equal = [pair for pair in pairs if pair[0].samples == pair[1].samples]
    found = equal if len(pairs) > 1 else pairs
    if len(found) == 1:
        return [found[0][:2]]
    if not records:
        raise DataError(f"{where}: no record of I and Q in this {contents.format} file{_there(contents)}")
    if len(records) == 1:
        raise DataError(one_signal(contents, where))
    missing = [role for role in ("input", "output") if role not in named]
    ask = " and ".join(FLAGS[role] for role in missing)
    why = "several pairs fit" if len(found) > 1 else "their names do not say it"
    raise DataError(
        f"{where}: which signal is the {' and which the '.join(missing)}? {why}; give {ask}. There are:\n"
        + "\n".join(candidates(contents))
    )


def one_signal(contents: Contents, where: str) -> str:
    """Return the message for a file with one signal where two are needed."""
    (signal,) = long_enough(contents)
    return (
        f"{where}: holds one signal, {visible(signal.name)} ({signal.about}), but a capture is the input and the "
        f"output of the amplifier; name both files: data.source: {{input: FILE, output: FILE}}, on the command line "
        f"'{{input: {where}, output: FILE}}'" + ("\n" + "\n".join(rest) if (rest := _no_signals(contents)) else "")
    )


def single(contents: Contents, where: str, role: str, name: str | None) -> Signal:
    """Return the one signal of a file whose role is known: the one named, the only one, or the one of that role.

    Raises:
        DataError: there is none, or it is not certain which.
    """
    if name is not None:
        return find(contents, where, name, role)
    records = long_enough(contents) or contents.signals
    if len(records) == 1:
        return records[0]
    if not records:
        raise DataError(f"{where}: no record of I and Q in this {contents.format} file{_there(contents)}")
    of_role = [signal for signal in records if role_of(signal.name)[0] == role]
    not_of_other = [signal for signal in records if role_of(signal.name)[0] in (role, None)]
    for found in (of_role, not_of_other):  # I,Q next to I_out,Q_out is the input
        if len(found) == 1:
            return found[0]
    raise DataError(
        f"{where}: which signal is the {role}? Give --{role}-signal NAME (data.{role}). There are:\n"
        + "\n".join(candidates(contents))
    )


def find(contents: Contents, where: str, name: str, role: str) -> Signal:
    """Return the signal of a name; two names `a,b` are real arrays, or columns, as I and Q.

    Raises:
        DataError: there is none; the message lists what there is.
    """
    wanted = name.replace(" ", "")
    for signal in contents.signals:
        if signal.name.replace(" ", "") == wanted:
            return signal
    arrays = {each.name: each for each in contents.variables}
    if len(parts := wanted.split(",")) == 2 and all(part in arrays for part in parts):
        for each in (arrays[part] for part in parts):
            if each.is_complex:
                raise DataError(
                    f"{where}: --{role}-signal {name} (data.{role}): {each.name} is complex, I and Q in one; name it "
                    "alone"
                )
        return joined_signal(arrays[parts[0]], arrays[parts[1]], where)
    if wanted in arrays:
        raise DataError(
            f"{where}: --{role}-signal {name} (data.{role}): {name} is real, so it is no envelope; name two as I,Q: "
            f"--{role}-signal {name},OTHER"
        )
    names = [signal.name for signal in contents.signals] + list(arrays)
    there = "\n".join(candidates(contents))
    raise DataError(
        f"{where}: --{role}-signal {name} (data.{role}): no such signal{suggestion(name, names)}"
        + (f"; there are:\n{there}" if there else _there(contents))
    )


def candidates(contents: Contents) -> list[str]:
    """Return a line for each signal: name, shape and type, level; then the real arrays, and what is no signal."""
    signals = long_enough(contents)
    lines = [f"  {visible(each.name)}: {each.about}{_level(each)}" for each in signals[:SHOWN]]
    if len(signals) > SHOWN:
        lines.append(f"  ... {len(signals)} in all")
    return lines + _no_signals(contents)


def _no_signals(contents: Contents) -> list[str]:
    """Return lines on what is no signal by itself."""
    lines = []
    combined = {part for signal in contents.signals for part in signal.name.split(",")}
    real = [each for each in contents.variables if not each.is_complex and each.name not in combined]
    if real:
        names = ", ".join(visible(each.name) for each in real[:SHOWN]) + (", ..." if len(real) > SHOWN else "")
        lines.append(f"  real only, to be named in pairs as I,Q: {names}")
        if len(real) == 1:
            lines.append("  Q in a file of its own: {input: I.txt, input_q: Q.txt, output: I2.txt, output_q: Q2.txt}")
    lines += [f"  not a signal: {visible(other)}" for other in contents.others[:SHOWN]]
    return lines


def long_enough(contents: Contents) -> tuple[Signal, ...]:
    """Return the signals that are long enough to be a record; all where none is, so that the length is the message."""
    return tuple(each for each in contents.signals if each.samples >= MIN_SAMPLES) or contents.signals


def _level(signal: Signal) -> str:
    if signal.samples > LOADED:
        return ""
    try:
        samples = signal.load()
    except DataError:
        return ", not all finite"
    with np.errstate(over="ignore"):  # a damaged file may hold any number
        return f", rms {float(np.sqrt(np.mean(np.abs(samples) ** 2))):.4g}" if len(samples) else ""


def _there(contents: Contents) -> str:
    lines = candidates(contents)
    return "; it holds:\n" + "\n".join(lines) if lines else ""
