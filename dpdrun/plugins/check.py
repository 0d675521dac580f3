"""Check plug-ins against the contract, each point in words: what passed, or what is wrong and where to look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dpdrun.data.checks import suggestion
from dpdrun.errors import DpdrunError, reason_of
from dpdrun.recipe import plugins
from dpdrun.recipe.plugins import GROUPS, Entry

STOP = ("section", "build", "shapes", "repeats")  # without these no later point can be tried
REST_ON = {  # points that another one, if it has failed, makes fail by the same cause: they are not tried
    "silence": {"gradients"}, "units": {"save and load"}, "stream": {"context", "state"},
}  # fmt: skip
Point = tuple[str, Callable[[], str]]  # what is checked; returns what was found, or raises FailedError


class FailedError(DpdrunError):
    """A plug-in does not keep one point of the contract; the message says how."""


@dataclass(frozen=True)
class Check:
    """One point of the contract.

    Attributes:
        group, name: of the plug-in.
        point: what was checked, in a few words.
        passed: whether it holds.
        message: what was found, or what is wrong.
    """

    group: str
    name: str
    point: str
    passed: bool
    message: str

    def __str__(self) -> str:
        return f"{'ok' if self.passed else 'FAILED':7} {self.point}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        """Return the stable machine-readable form."""
        return asdict(self)


def check_file(path: str | Path, settings: Sequence[str] = ()) -> list[Check]:
    """Check everything that a plug-in file brings.

    Args:
        path: the file; it is loaded.
        settings: `key=value` pairs for fields of its kinds without a default.

    Raises:
        PluginError: the file cannot be loaded.
    """
    [origin] = plugins.load_files([path])
    return [
        check for group in GROUPS for entry in plugins.entries(group) if entry.origin == origin
        for check in check_entry(entry, settings)
    ]  # fmt: skip


def check_name(name: str, settings: Sequence[str] = ()) -> list[Check]:
    """Check everything of one name, of ours too. Raises DpdrunError where there is nothing."""
    found = [entry for group in GROUPS if (entry := plugins.find(group, name)) is not None]
    if not found:
        known = dict.fromkeys(name for group in GROUPS for name in plugins.names(group))
        hint = suggestion(name, known) or f"; there is {', '.join(known)}"
        raise DpdrunError(f"no plug-in is called {name!r}{hint}; a file needs --plugin FILE.py")
    return [check for entry in found for check in check_entry(entry, settings)]


def check_entry(entry: Entry, settings: Sequence[str] = ()) -> list[Check]:
    """Check one plug-in; a point that raises has failed. What would only repeat its cause is not tried then.

    torch's random state is that of before at the end.
    """
    from dpdrun.models._random_state import random_state_preserved

    with random_state_preserved():
        return _checks_of(entry, settings)


def _checks_of(entry: Entry, settings: Sequence[str]) -> list[Check]:
    checks: list[Check] = []
    for point, run in _points(entry, settings):
        if REST_ON.get(point, set()) & {check.point for check in checks if not check.passed}:
            continue
        try:
            message, passed = run(), True
        except FailedError as failed:
            message, passed = str(failed), False
        except DpdrunError as error:
            blamed = None if error.__cause__ is None else plugins.blamed(error.__cause__)
            message, passed = str(blamed or error), False
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit() too
            blamed = plugins.blamed(error)
            message, passed = str(blamed) if blamed else f"{type(error).__name__}: {reason_of(error)}", False
        checks.append(Check(entry.group, entry.name, point, passed, message))
        if not passed and point in STOP:
            break
    return checks


def _points(entry: Entry, settings: Sequence[str]) -> Iterator[Point]:
    if entry.group == "models":
        from dpdrun.plugins.check_model import points_of_a_kind

        return points_of_a_kind(entry, settings)
    from dpdrun.plugins import check_others

    return iter(check_others.POINTS[entry.group](entry))
