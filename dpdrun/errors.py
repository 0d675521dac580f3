"""The errors a user can meet. Each says what was wrong, where, and what to do; none is shown as a traceback.

Every error carries the exit code that the command line returns for it (see docs/ARCHITECTURE.md, "Exit codes").
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_FINDINGS = 1
EXIT_BAD_INPUT = 2
EXIT_STOPPED = 75  # EX_TEMPFAIL: stopped by SIGTERM, or another process was lost; the message says how to continue
EXIT_INTERRUPTED = 130  # 128 + SIGINT


def printable(text: str) -> str:
    """Escape what a terminal would obey instead of showing: control and invisible characters, but for line ends."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


class DpdrunError(Exception):
    """Base of all errors meant for the user. The message is complete: it is printed as it is.

    Messages quote names and values from files of other people, so they are made safe to print here, for all of them.
    """

    exit_code: int = EXIT_BAD_INPUT

    def __str__(self) -> str:
        """Return the message, with control characters escaped."""
        return printable(super().__str__())


class RecipeError(DpdrunError):
    """The recipe (or a `--set` override) is wrong. The message lists every problem with `path:line:column`."""


class DataError(DpdrunError):
    """A capture cannot be read or makes no sense. The message names file, row and column where they are known."""


class RunError(DpdrunError):
    """A run folder, a checkpoint or the training itself is at fault."""


class UnwritableError(RunError):
    """A file cannot be written: a full disk, missing permission, a size limit. `remedy` says what to do about it."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.remedy = remedy


class DivergedError(RunError):
    """Training met numbers that are no longer numbers; the message says at which step."""


class FindingError(DpdrunError):
    """`train.on_finding: stop` ended a run at a finding of severity error; a checkpoint was written."""

    exit_code = EXIT_FINDINGS


class StoppedError(DpdrunError):
    """SIGTERM came; the message says whether there is a checkpoint for `--resume`."""

    exit_code = EXIT_STOPPED


class LostError(DpdrunError):
    """Another process of the same run has gone; the message says what there is to go on from."""

    exit_code = EXIT_STOPPED


class AuditError(RunError):
    """What a run did is not what its plan says; the message lists what differs."""

    exit_code = EXIT_FINDINGS


class FollowedError(DpdrunError):
    """Another process of the same run tells the user what happened; this one only ends with the same exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("")
        self.exit_code = exit_code
