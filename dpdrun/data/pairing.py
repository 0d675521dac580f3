"""Read input and output from one file or two, whatever the format: the one place that opens a capture of the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dpdrun.data.capture import Part, SourceRecord
from dpdrun.data.checks import check_samples, make_part, missing
from dpdrun.data.formats.detect import open_contents
from dpdrun.data.names import partner_name
from dpdrun.data.roles import Pair, long_enough, one_signal, pair_in, single
from dpdrun.data.signals import Contents, Samples, Signal, joined_signal
from dpdrun.errors import DataError
from dpdrun.run.symlinks import escapes

ROLES = ("input", "output")
OWN_NAMES = {
    ("x", "y"),
    ("input", "output"),
    ("I_in,Q_in", "I_out,Q_out"),
}  # as docs/data.md has them: no choice to show


def read_file(path: Path, shown: str, given: Mapping[str, str]) -> SourceRecord:
    """Read a capture from one file; from two where the file holds one signal and its name says which.

    Args:
        path: a file, or a folder with input.* and output.*.
        shown: its name in messages.
        given: what the user said: `input`, `output`, `columns`.

    Raises:
        DataError: whatever is wrong; the message says what to write.
    """
    if path.is_dir():
        files = _files_of(path, shown)
        return read_files(files, tuple(str(Path(shown) / file.name) for file in files), given, None)
    channels = 2 if {"input", "output"} & set(given) else 1
    contents = open_contents(path, shown, columns=given.get("columns"), channels=channels)
    if len(long_enough(contents)) == 1 and not {"input", "output"} & set(given):
        partner = partner_name(path.name)
        if partner is None:
            raise DataError(one_signal(contents, shown))
        role, other = partner[0], path.with_name(partner[1])
        if not other.exists():
            raise missing(other)
        files = (path, other) if role == "input" else (other, path)
        return read_files(files, tuple(str(Path(shown).with_name(file.name)) for file in files), given, None)
    pairs = pair_in(contents, shown, {role: given.get(role) for role in ROLES})
    name = shown
    names = [(i.name, o.name) for i, o in pairs]
    if not set(ROLES) <= set(given) and not set(names) <= OWN_NAMES:
        name += f" ({'; '.join(f'input {i}, output {o}' for i, o in names)})"
    return _record(name, contents, [_part(pair, (shown, shown)) for pair in pairs], f"{contents.format}.")


def read_files(
    paths: Sequence[Path],
    shown: Sequence[str],
    given: Mapping[str, str],
    dtype: str | None,
    *,
    q: Sequence[tuple[Path, str] | None] = (None, None),
) -> SourceRecord:
    """Read the input from one file and the output from another; the same file twice has two channels.

    Args:
        paths, shown: of input and output.
        given: as in `read_file`; the names are looked for in the file of their role.
        dtype: of raw files.
        q: path and name in messages of the files that have Q of input and output, where the others have I alone.

    Raises:
        DataError: whatever is wrong, or the two files state different rates.
    """
    channels = 2 if paths[0] == paths[1] else 1
    columns = given.get("columns")
    both = [open_contents(path, name, dtype=dtype, columns=columns, channels=channels)
            for path, name in zip(paths, shown, strict=True)]  # fmt: skip
    both = [
        each if other is None else _with_q(each, name, open_contents(*other, columns=columns), other[1])
        for each, name, other in zip(both, shown, q, strict=True)
    ]
    if channels == 2 and q == (None, None):
        return read_file_pair(both[0], shown[0], given)
    pair = tuple(single(each, name, role, given.get(role)) for each, name, role in zip(both, shown, ROLES, strict=True))
    rates = [each.sample_rate_hz for each in both]
    if None not in rates and abs(rates[0] / rates[1] - 1) > max(each.rate_tolerance for each in both):  # type: ignore[operator]
        raise DataError(
            f"{shown[0]} states a sample rate of {rates[0]:g} Hz, but {shown[1]} of {rates[1]:g} Hz; resample one"
        )
    stated = min((each for each in both if each.sample_rate_hz is not None), default=both[0],
                 key=lambda each: each.rate_tolerance)  # fmt: skip
    note = f"{both[0].format}: {paths[0].name}, {paths[1].name}."
    warnings = both[0].warnings + both[1].warnings
    bandwidth_hz = both[0].bandwidth_hz or both[1].bandwidth_hz
    merged = replace(stated, bandwidth_hz=bandwidth_hz, warnings=warnings)
    return _record(_pair_name(shown), merged, [_part((pair[0], pair[1]), shown)], note)


def _with_q(i: Contents, shown_i: str, q: Contents, shown_q: str) -> Contents:
    """Return the one signal whose I is in a file and whose Q is in another."""
    sides = []
    for each, shown in ((i, shown_i), (q, shown_q)):
        real = [column for column in each.variables if not column.is_complex]
        if each.signals or len(real) != 1:
            raise DataError(f"{shown}: expected one column, I or Q alone, where the other is in a file of its own")
        sides.append(replace(real[0], name=Path(shown).name))
    signal = joined_signal(sides[0], sides[1], str(Path(shown_i).parent))
    return replace(i, signals=(signal,), variables=(), warnings=i.warnings + q.warnings)


def read_file_pair(contents: Contents, shown: str, given: Mapping[str, str]) -> SourceRecord:
    """Read both channels of one file that the user named twice."""
    pairs = pair_in(contents, shown, {role: given.get(role) for role in ROLES})
    return _record(shown, contents, [_part(pair, (shown, shown)) for pair in pairs], f"{contents.format}.")


def require_inside(folder: Path, name: str) -> None:
    """Raise DataError for a file of a folder that is a symlink to somewhere else."""
    path = folder / name
    if (target := escapes(path, folder)) is not None:
        raise DataError(f"{path}: a symlink out of this folder, to {target}; replace it with the file itself")


def _files_of(folder: Path, shown: str) -> tuple[Path, Path]:
    """Return input.* and output.* of a folder."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    for name in names:
        if Path(name).stem.lower() == "input" and (partner := partner_name(name)) and partner[1] in names:
            if name.endswith(".sigmf-data"):
                continue  # found by its .sigmf-meta
            require_inside(folder, name)
            require_inside(folder, partner[1])
            return folder / name, folder / partner[1]
    there = ", ".join(names[:12]) or "nothing"
    files = [name for name in names if (folder / name).is_file()]
    hint = f"; did you mean {shown.rstrip('/')}/{files[0]}?" if len(files) == 1 else f"; it has: {there}"
    raise DataError(
        f"{shown}: this folder has neither spec.json, nor the six CSV files (train_input.csv, ...), nor input.* and "
        f"output.*{hint}"
    )


def _part(pair: Pair, shown: Sequence[str]) -> Part:
    """Load a pair, checked."""
    x, y = (_load(signal, f"{where}, {signal.name}") for signal, where in zip(pair, shown, strict=True))
    return make_part(
        x, y, f"{shown[0]}, {pair[0].name}", f"{shown[1] + ', ' if shown[0] != shown[1] else ''}{pair[1].name}"
    )


def _load(signal: Signal, where: str) -> Samples:
    samples = signal.load()
    check_samples(samples, where, ("I", "Q"))
    return samples


def _pair_name(shown: Sequence[str]) -> str:
    return f"{shown[0]} and {Path(shown[1]).name if Path(shown[0]).parent == Path(shown[1]).parent else shown[1]}"


def _record(name: str, contents: Contents, parts: Sequence[Part], note: str) -> SourceRecord:
    records: tuple[Part] | tuple[Part, Part, Part]
    records = (parts[0],) if len(parts) == 1 else (parts[0], parts[1], parts[2])
    return SourceRecord(
        name=name,
        records=records,
        sample_rate_hz=contents.sample_rate_hz,
        bandwidth_hz=contents.bandwidth_hz,
        note=note,
        warnings=contents.warnings,
        rate_tolerance=contents.rate_tolerance,
    )
