"""Sources of captures: `load_capture` finds the format of `data.source`.

A relative path is taken from the current folder. `synthetic/` and `opendpd/` at the beginning are reserved; a folder of
that name is written `./synthetic/...`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dpdrun.data import synthetic
from dpdrun.data.assemble import assemble
from dpdrun.data.capture import Capture, SourceRecord
from dpdrun.data.checks import missing, suggestion
from dpdrun.data.formats import csv_text, numpy_pair, opendpd_folder, opendpd_wheel
from dpdrun.errors import DataError
from dpdrun.run.files import expand_user, is_there
from dpdrun.run.symlinks import escapes

if TYPE_CHECKING:
    from dpdrun.recipe.schema import DataSection

SYNTHETIC = "synthetic/"
OPENDPD = "opendpd/"
FILE_KINDS = "a .csv, .npz or .npy file, or a folder in OpenDPD's format"


@dataclass(frozen=True)
class SourceInfo:
    """A source that needs no file of the user.

    Attributes:
        name: what to write as `data.source`.
        kind: "synthetic" or "measured".
        description: one line.
        licence: of the data.
        ready: True if it loads without a download.
    """

    name: str
    kind: Literal["synthetic", "measured"]
    description: str
    licence: str
    ready: bool


def list_sources() -> list[SourceInfo]:
    """List all built-in sources, embedded ones first, without network access and without reading samples."""
    embedded = [
        SourceInfo(SYNTHETIC + name, "synthetic", preset.summary, synthetic.LICENCE, True)
        for name, preset in synthetic.PRESETS.items()
    ]
    have_wheel = opendpd_wheel.wheel_path().exists()
    in_wheel = [
        SourceInfo(OPENDPD + name, dataset.kind, dataset.summary, opendpd_wheel.LICENCE, have_wheel)
        for name, dataset in opendpd_wheel.DATASETS.items()
    ]
    return embedded + in_wheel


def load_capture(section: DataSection, *, recipe: Path | None = None) -> Capture:
    """Load the capture that a recipe's `data` section names.

    An `opendpd/` source is downloaded on first use (see `opendpd_wheel.fetch_wheel`).

    Args:
        section: `data` of a recipe.
        recipe: the file it is from, for the error when a relative path was meant to begin there.

    Raises:
        DataError: whatever is wrong with it, naming file, row and column where they are known.
    """
    return assemble(read_source(locate_source(section.source, recipe=recipe)), section)


def locate_source(source: str, *, recipe: Path | None = None) -> str:
    """Return `source` in a form that is valid from every folder: an absolute path, or the name of a built-in source.

    Raises:
        DataError: there is no such file in the current folder, but there is one next to `recipe`.
    """
    if source.startswith((SYNTHETIC, OPENDPD)):
        return source
    path = expand_user(source)
    if not is_there(path) and (name := _full_name(source)) is not None:
        return name
    if recipe is not None and not path.is_absolute() and not is_there(path):
        neighbour = recipe.parent / path
        if is_there(neighbour):
            raise DataError(
                f"{source}: no such file or folder in the current folder, {Path.cwd()}, where relative paths begin; "
                f"there is one next to the recipe: write data.source: {neighbour}, or an absolute path"
            )
    return str(path.absolute()) + ("/" if source.endswith("/") else "")


def _full_name(short: str) -> str | None:
    """Return the built-in source of this short name: `opendpd/APA_200MHz` of `APA_200MHz`."""
    if short in opendpd_wheel.DATASETS:
        return OPENDPD + short
    return SYNTHETIC + short if short in synthetic.PRESETS else None


def pull(name: str) -> Path:
    """Download a capture of `list_sources()` if necessary; return the file that holds it.

    Raises:
        DataError: no such capture, or it cannot be fetched.
    """
    short = name.removeprefix(OPENDPD)
    if name.startswith(SYNTHETIC):
        raise DataError(f"{name} is embedded: there is nothing to pull")
    if short not in opendpd_wheel.DATASETS:
        named = [OPENDPD + known for known in opendpd_wheel.DATASETS]
        hint = suggestion(OPENDPD + short, named)  # with the prefix also where it was left out
        raise DataError(f"{name}: no such capture to pull{hint}; there are: {', '.join(named)}")
    return opendpd_wheel.fetch_wheel()


def read_source(source: str) -> SourceRecord:
    """Read what the source itself states, before rate, bandwidth and split are settled."""
    if source.startswith(SYNTHETIC):
        return synthetic.read(source.removeprefix(SYNTHETIC), source)
    if source.startswith(OPENDPD):
        return opendpd_wheel.read(source.removeprefix(OPENDPD), source)
    path = expand_user(source)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        source = str(path.relative_to(Path.cwd()))  # to be shown: short where one is
    if not is_there(path):
        named = [info.name for info in list_sources()]
        hint = suggestion(source, named)
        raise DataError(f"{source}: no such source{hint}") if hint else missing(path, source)
    try:
        return _read_folder(path, source) if path.is_dir() else _read_file(path, source)
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror or error}") from None


def _read_file(path: Path, source: str) -> SourceRecord:
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return SourceRecord(
            name=source, records=(csv_text.parse_pair(path.read_bytes(), source),), note="One CSV record."
        )
    if suffix == ".npz":
        return numpy_pair.read_npz(path, source)
    if suffix == ".npy":
        return numpy_pair.read_npy_pair(path, source)
    raise DataError(
        f"{source}: {suffix or 'a file without a suffix'} is not supported; give {FILE_KINDS} (docs/data.md)"
    )


def _read_folder(path: Path, source: str) -> SourceRecord:
    names = sorted(p.name for p in path.iterdir() if not p.name.startswith("."))
    if opendpd_folder.SPEC in names or any(name in opendpd_folder.SPLIT_FILES for name in names):
        return opendpd_folder.read_folder(lambda name: _member(path, name), source.rstrip("/"))
    if "input.npy" in names and "output.npy" in names:
        for name in ("input.npy", "output.npy"):
            _require_inside(path, name)
        return numpy_pair.read_npy_pair(path / "input.npy", source)
    files = [name for name in names if Path(name).suffix.lower() in (".csv", ".npz", ".npy")]
    there = ", ".join(names[:12]) or "nothing"
    hint = f"; did you mean {source.rstrip('/')}/{files[0]}?" if files else f"; it has: {there}"
    raise DataError(
        f"{source}: this folder has neither {opendpd_folder.SPEC}, nor the six CSV files "
        f"(train_input.csv, ...), nor input.npy and output.npy{hint}"
    )


def _member(folder: Path, name: str) -> bytes | None:
    _require_inside(folder, name)
    path = folder / name
    return path.read_bytes() if path.is_file() else None


def _require_inside(folder: Path, name: str) -> None:
    path = folder / name
    if (target := escapes(path, folder)) is not None:
        raise DataError(f"{path}: a symlink out of this folder, to {target}; replace it with the file itself")
