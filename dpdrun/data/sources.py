"""Sources of captures: `load_capture` finds the format of `data.source`.

A relative path is taken from the current folder. `synthetic/` and `opendpd/` at the beginning are reserved; a folder of
that name is written `./synthetic/...`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from dpdrun.data import synthetic
from dpdrun.data.assemble import assemble
from dpdrun.data.capture import Capture, SourceRecord
from dpdrun.data.checks import missing, suggestion
from dpdrun.data.formats import opendpd_folder, opendpd_wheel
from dpdrun.data.formats.detect import kind_of
from dpdrun.data.pairing import read_file, read_files, require_inside
from dpdrun.errors import DataError
from dpdrun.recipe import plugins
from dpdrun.recipe.fields import AUTO, OFF
from dpdrun.recipe.schema import GIVEN
from dpdrun.run.files import expand_user, is_there

if TYPE_CHECKING:
    from dpdrun.recipe.schema import DataSection, SourceFiles

SYNTHETIC = "synthetic/"
OPENDPD = "opendpd/"
MOST_KEPT = 4  # captures of `captures_kept`; the largest have some 10 MB


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
    have_wheel = False
    with suppress(DataError):  # the home folder is unknown: there is none in it
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
    located = section.model_copy(update={"source": locate_source(section.source, recipe=recipe)})
    kept = _kept.get()
    if kept is None:
        return capture_of_record(read_source(located), located)
    key = f"{located.model_dump_json()} {_stamp(located)}"
    if key not in kept:
        kept[key] = capture_of_record(read_source(located), located)
        for oldest in list(kept)[:-MOST_KEPT]:
            del kept[oldest]
    return kept[key]


@contextmanager
def captures_kept() -> Iterator[None]:
    """Keep the last captures that are loaded in this block, for many runs on the same ones in one process.

    A file that has changed, by its size and time, is read again.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


_kept: ContextVar[dict[str, Capture] | None] = ContextVar("captures", default=None)


def _stamp(section: DataSection) -> list[tuple[str, int, int]]:
    """Return name, size and time of the files of a source; nothing for a built-in one, which does not change."""
    source = section.source
    paths = [Path(file) for file in ([source] if isinstance(source, str) else source.files.values())]
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return [(str(file), (found := file.stat()).st_size, found.st_mtime_ns) for file in files if file.is_file()]


def capture_of_record(reading: SourceRecord, section: DataSection) -> Capture:
    """Align and resample what was read, if the section asks for it, and split it. Raises DataError."""
    alignment = resampling = None
    described = section
    if section.align != OFF:
        from dpdrun.data.align.record import align

        reading, alignment = align(reading, section)
    if section.resample_to_hz != OFF:
        from dpdrun.data.resampling import resampled

        identity = alignment.identity if alignment is not None and alignment.changes else None
        reading, described, resampling = resampled(reading, section, identity)
    return replace(assemble(reading, described), alignment=alignment, resampling=resampling, section=section)


@overload
def locate_source(source: str, *, recipe: Path | None = None) -> str: ...
@overload
def locate_source(source: str | SourceFiles, *, recipe: Path | None = None) -> str | SourceFiles: ...
def locate_source(source: str | SourceFiles, *, recipe: Path | None = None) -> str | SourceFiles:
    """Return `source` in a form that is valid from every folder: absolute paths, or the name of a built-in source.

    Raises:
        DataError: there is no such file in the current folder, but there is one next to `recipe`; or the source is a
            capture that is passed from Python, where none was.
    """
    if source == GIVEN:
        raise DataError(
            "data.source: given: this capture is passed from Python: dpdrun.train(recipe, capture); "
            "write ./given for a file of that name"
        )
    if not isinstance(source, str):
        return source.model_copy(
            update={role: locate_source(f"./{file}" if _is_built_in(file) else file, recipe=recipe)
                    for role, file in source.files.items()}
        )  # fmt: skip
    if _is_built_in(source):
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


def _is_built_in(source: str) -> bool:
    return source.startswith((SYNTHETIC, OPENDPD))


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


def read_source(section: DataSection) -> SourceRecord:
    """Read what the source itself states, before rate, bandwidth and split are settled."""
    source = section.source
    chosen = {"input": section.input, "output": section.output, "columns": section.columns}
    given = {name: value for name, value in chosen.items() if value != AUTO}
    if isinstance(source, str) and _is_built_in(source):
        _refuse_choice(given, source)
        if source.startswith(SYNTHETIC):
            return synthetic.read(source.removeprefix(SYNTHETIC), source)
        return opendpd_wheel.read(source.removeprefix(OPENDPD), source)
    try:
        if isinstance(source, str):
            path, shown = _existing(source, built_in=True)
            if path.is_dir() and opendpd_folder.is_folder(path):
                _refuse_choice(given, shown)
                return opendpd_folder.read_folder(lambda name: _member(path, name), shown.rstrip("/"))
            return read_file(path, shown, given)
        files = {name: _existing(file) for name, file in source.files.items()}
        dtype = None if source.dtype == AUTO else source.dtype
        (input_path, input_shown), (output_path, output_shown) = files["input"], files["output"]
        q = files.get("input_q"), files.get("output_q")
        return read_files((input_path, output_path), (input_shown, output_shown), given, dtype, q=q)
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror or error}") from None


def foreign_formats(source: str | SourceFiles) -> list[str]:
    """Return the formats of plug-ins that the files of a source are in."""
    names = {entry.name for entry in plugins.foreign("formats")}
    files = [source] if isinstance(source, str) else source.files.values()
    paths = [Path(file) for file in files if names and not _is_built_in(file)]
    return sorted({kind_of(path, str(path)) for path in paths if path.is_file()} & names)


def _existing(source: str, *, built_in: bool = False) -> tuple[Path, str]:
    """Return the path of a source that exists, and how to show it. Raises DataError where there is none."""
    path = expand_user(source)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        source = str(path.relative_to(Path.cwd()))  # to be shown: short where one is
    if not is_there(path):
        hint = suggestion(source, [info.name for info in list_sources()]) if built_in else ""
        raise DataError(f"{source}: no such source{hint}") if hint else missing(path, source)
    return path, source


def _refuse_choice(given: dict[str, str], source: str) -> None:
    if given:
        names = " and ".join(f"data.{name}" for name in given)
        raise DataError(f"{source}: its input and output are known; remove {names}")


def _member(folder: Path, name: str) -> bytes | None:
    require_inside(folder, name)
    path = folder / name
    return path.read_bytes() if path.is_file() else None
