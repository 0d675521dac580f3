"""Read back what a run was made of, wherever its folder, its capture and its PA run are now.

A run is known by the hash of its samples and its settings, never by a path: plan.json says where things were when the
run began. What is no longer there is looked for around the run folder, then under the current folder, and taken only if
the hash agrees.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpdrun.data.capture import Capture
from dpdrun.data.sources import load_capture, locate_source
from dpdrun.errors import DataError
from dpdrun.plan.plan import Plan
from dpdrun.plan.prepare import names_a_run
from dpdrun.recipe.loader import source_of
from dpdrun.recipe.plugins import MissingPluginError
from dpdrun.recipe.schema import DataSection, SourceFiles
from dpdrun.run.files import is_there, sha256_of
from dpdrun.run.folder import RunFolder

SURROUNDING = 2  # folders above a run folder that belong to it: runs/, and the project around that
SHOWN = 12  # digits of a hash


def plan_of(run: RunFolder, *, only_to_show: bool = False) -> Plan:
    """Return the plan of a run, with its capture and its PA run where they are now; what is not found keeps its path.

    Args:
        run: the run folder.
        only_to_show: as `Plan.from_json`.

    Raises:
        RunError: plan.json cannot be read, or a plug-in that it names is missing.
    """
    try:
        plan = Plan.from_json(run.read_json(run.plan), only_to_show=only_to_show)
    except MissingPluginError as error:
        raise MissingPluginError(f"{run.path}: {error}") from None
    source = plan.recipe.data.source
    if isinstance(source, str):
        source = _found(source, run)
    else:
        source = source.model_copy(update={name: _found(file, run) for name, file in source.files.items()})
    return plan.at(data_source=source, pa=_pa_run(plan, run) if names_a_run(plan.recipe) else plan.recipe.pa)


def capture_section(run: RunFolder, plan: Plan, data: str | None = None) -> DataSection:
    """Return the `data` section of a run with its `source` as it is now.

    Args:
        run: the run folder.
        plan: from `plan_of`.
        data: where the capture is, as the user says.

    Raises:
        DataError: it is not there.
    """
    section = plan.recipe.data
    if data is not None:
        return section.model_copy(update={"source": locate_source(_renamed(section.source, data))})
    if gone := [path for path in paths_of(section.source) if Path(path).is_absolute() and not is_there(Path(path))]:
        raise DataError(
            f"{gone[0]}: this capture, on which {run.path} was trained, is no longer there; give its new "
            "location: --data PATH"
        )
    return section


def require_own_samples(run: RunFolder, section: DataSection, capture: Capture, *, named: bool = False) -> None:
    """Refuse a capture that was found elsewhere than the run was trained from, and holds other samples.

    Args:
        run: the run folder.
        section: where the capture was found, from `capture_section`.
        capture: what is there.
        named: the user named it, so that it is compared wherever it is.

    Raises:
        DataError: with both hashes.
    """
    written: dict[str, Any] = run.read_json(run.plan)
    sha256 = written.get("data_sha256")
    elsewhere = named or section.model_dump(mode="json")["source"] != written["recipe"]["data"]["source"]
    if elsewhere and sha256 is not None and sha256 != capture.sha256:
        raise DataError(
            f"{section.source}: not the capture that {run.path} was trained on: the sha256 of its samples is "
            f"{capture.sha256[:SHOWN]}, but the run has {sha256[:SHOWN]}; give --data PATH"
        )


def capture_of(run: RunFolder, plan: Plan, data: str | None = None) -> Capture:
    """Load the capture that a run was trained on; arguments and errors as `capture_section`.

    Raises:
        DataError: also where it cannot be read, or holds other samples and is not where the run was trained from.
    """
    section = capture_section(run, plan, data)
    capture = load_capture(section)
    require_own_samples(run, section, capture, named=data is not None)
    return capture


def paths_of(source: str | SourceFiles) -> tuple[str, ...]:
    """Return the file or files that a source names."""
    return (source,) if isinstance(source, str) else tuple(source.files.values())


def _found(source: str, run: RunFolder) -> str:
    """Return where a recorded file is now, or its recorded path."""
    if not Path(source).is_absolute():
        return source
    return next((str(path) for path in _places(source, run) if is_there(path)), source)


def _renamed(source: str | SourceFiles, data: str) -> str | SourceFiles:
    """Return the source at the location that the user gives: of two files, the folder that has them, or both."""
    given = source_of(data)
    if isinstance(source, str) or not isinstance(given, str):
        return given
    folder = Path(given)
    return source.model_copy(update={name: str(folder / Path(file).name) for name, file in source.files.items()})


def _pa_run(plan: Plan, run: RunFolder) -> str:
    """Return the path of the PA run with the tensors that a predistorter was made for, else of one that is there."""
    pinned = None if plan.predistortion is None else plan.predistortion.pa_sha256
    there = [RunFolder(path) for path in _places(plan.recipe.pa, run) if is_there(path / "plan.json")]
    same = (each for each in there if each.model.is_file() and sha256_of(each.model) == pinned)
    found = next(same, there[0] if there else RunFolder(Path(plan.recipe.pa)))
    return str(found.path)


def _places(recorded: str, run: RunFolder) -> Iterator[Path]:
    """Yield where something may be that was at `recorded`: there, or at an end of that path around the run folder."""
    path = Path(recorded)
    yield path
    here = run.path.absolute()
    for folder in (here, *here.parents[:SURROUNDING], Path.cwd()):
        for start in range(1, len(path.parts)):
            yield folder.joinpath(*path.parts[start:])
