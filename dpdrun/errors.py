"""The errors a user can meet. Each says what was wrong, where, and what to do; none is shown as a traceback.

Every error carries the exit code that the command line returns for it (see docs/ARCHITECTURE.md, "Exit codes").
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXIT_DONE = 0
EXIT_FINDINGS = 1
EXIT_BAD_INPUT = 2
EXIT_BUG = 70  # EX_SOFTWARE: an unexpected exception; the message names the file with its traceback
EXIT_STOPPED = 75  # EX_TEMPFAIL: stopped by a signal, or another process was lost; the message says how to continue
EXIT_INTERRUPTED = 130  # 128 + SIGINT

WRITE_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room on its disk"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "make its folder writable"),
    errno.ENOENT: "create its folder first",
    errno.ENOTDIR: "a part of its path is a file; use another path",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
}
_REMEDIES = {
    **WRITE_REMEDIES,
    **dict.fromkeys((errno.EACCES, errno.EPERM), "change its permissions, or use another path"),
    errno.EROFS: "its file system is read-only; use another path",
    errno.ENAMETOOLONG: "use a shorter path",
    errno.ELOOP: "its symbolic links refer to each other; remove them",
    errno.ENOENT: "check the path; it may have been moved or removed meanwhile",
    errno.ESTALE: "it was replaced on its server meanwhile; give the command again",
    errno.EIO: "its disk, network or terminal has failed",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "raise the limit on open files (ulimit -n)"),
    errno.ENOMEM: "free memory on this machine",
}
_NO_FOLDER = "set TMPDIR to a folder that can be written"  # what `tempfile` raises has no path
_OUT_OF_MEMORY = (  # parts of the messages of torch, CUDA and cuBLAS, in lower case
    "out of memory", "can't allocate memory", "not enough memory", "alloc_failed", "invalid buffer size",
    "storage size calculation overflowed",
    "failed to map segment", "cannot allocate memory",  # of the loader of shared libraries
)  # fmt: skip
_VARIABLE = re.compile(r"\b(?:TORCH|NCCL|GLOO|CUDA|PYTORCH|ACCELERATE|OMP|MKL)_[A-Z0-9_]+\b")
_LONGEST_REASON = 200  # characters of another program's message
_LONGEST_LINE = 1000  # characters of a line: names and values of others may have any number


# What the flags of messages are called from Python; "=" takes a value that follows, as in `--bandwidth-hz 200e6`.
_PYTHON_NAMES = {
    "--run-dir": "out=", "--resume": "resume=True", "--auto-resume": 'resume="auto"', "--data": "capture=",
    "--force": "force=True", "--fixed": "fixed=True", "--to": "to=", "--map": "maps=", "--set": "overrides",
    "--sample-rate-hz": "sample_rate_hz=", "--bandwidth-hz": "bandwidth_hz=", "--resample-to-hz": "resample_to_hz=",
    "--no-check-rates": 'check_rates="off"', "--input-signal": "input=", "--output-signal": "output=",
    "--columns": "columns=", "--through": "through=", "--plugin": "dpdrun.plugins.load_files",
}  # fmt: skip
_WORD = r"(?:'[^']*'|[^\s,;:'`()]+)"
_FLAGS = re.compile(
    rf"\bdpdrun train (?P<recipe>{_WORD}) --run-dir (?P<out>{_WORD})(?P<resume> --resume)?(?= |$)(?P<more>.*)"
    r"|`[^`\n]*`|\bdpdrun [a-z].*"  # another command stays one
    rf"|(?<![\w-])(?:(?P<quoting>--to|--map) (?P<word>{_WORD})|(?P<flag>--[a-z][a-z-]*)"
    rf"(?: (?P<file>{_WORD}\.py)| (?=(?P<value>[A-Z\d\"{{]|[a-z]+[.=])))?)",
    re.MULTILINE,
)
_command_lines = 0  # that are running in this process


@contextmanager
def command_line() -> Iterator[None]:
    """Word the messages of errors for the command line in a block; elsewhere they name the arguments of Python."""
    global _command_lines
    _command_lines += 1
    try:
        yield
    finally:
        _command_lines -= 1


def worded(text: str) -> str:
    """Return a message with flags as its reader gives them: outside of a command line, as arguments of Python."""
    return text if _command_lines else _FLAGS.sub(_in_python, text)


def _in_python(found: re.Match[str]) -> str:
    if found["recipe"]:
        recipe, out = (repr(shlex.split(found[name])[0]) for name in ("recipe", "out"))
        overrides = re.findall(r"--set (\S+)", found["more"])
        rest = [", resume=True"] * bool(found["resume"]) + [f", overrides={overrides}"] * bool(overrides)
        return f"dpdrun.train({recipe}, out={out}{''.join(rest)})"
    if found["quoting"]:
        return f'to="{found["word"]}"' if found["quoting"] == "--to" else f'maps=["{found["word"]}"]'
    name = _PYTHON_NAMES.get(found["flag"] or "")
    if name is None:
        return found[0]
    if found["file"]:
        return f'{name}(["{found["file"]}"])'
    return name if name.endswith("=") or not found["value"] else f"{name} "


def printable(text: str) -> str:
    """Escape what a terminal would obey instead of showing: control and invisible characters, but for line ends."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def shown(text: str) -> str:
    """Return a message as it is printed: control characters escaped, the middle of a line of thousands left out."""
    lines = printable(text).split("\n")
    half = _LONGEST_LINE // 2
    return "\n".join(line if len(line) <= _LONGEST_LINE else f"{line[:half]} ... {line[-half:]}" for line in lines)


def visible(name: str) -> str:
    """Return a name from a file of somebody else on one line, its control characters and line ends escaped."""
    return name if name.isprintable() else printable(name).replace("\n", "\\n")


class DpdrunError(Exception):
    """Base of all errors meant for the user. The message is complete: it is printed as it is.

    Messages quote names and values from files of other people, so they are made safe to print here, for all of them.
    """

    exit_code: int = EXIT_BAD_INPUT

    def __str__(self) -> str:
        """Return the message as it is printed (`shown`), in the words of its reader (`worded`)."""
        return shown(worded(super().__str__()))


class RecipeError(DpdrunError):
    """The recipe (or a `--set` override) is wrong. The message lists every problem with `path:line:column`.

    `problems` holds them as `recipe.problems.Problem`, where they are known one by one.
    """

    problems: tuple[Any, ...] = ()


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
    """Another process of the same run reports the error; this one only ends with the same exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("")
        self.exit_code = exit_code


def out_of_memory(error: BaseException) -> str | None:
    """Return what could not be allocated, as the library that asked for it says; None for any other error."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return text[:_LONGEST_REASON] or "an object could not be allocated"
    is_memory = any(sign in text.lower() for sign in _OUT_OF_MEMORY)
    return text[:_LONGEST_REASON] if is_memory and isinstance(error, RuntimeError | ImportError) else None


def explained(error: BaseException) -> DpdrunError | None:
    """Return what a user is shown of an exception; None where it is a bug of ours.

    This alone decides: an error of ours is shown as it is, one of the operating system with its path and a remedy,
    memory that runs out with what was asked for and by whom.
    """
    if isinstance(error, DpdrunError):
        return error
    if (reason := out_of_memory(error)) is not None:
        return RunError(f"out of memory{_asked_in(error)}: {reason}; use a smaller input or model, or more memory")
    if isinstance(error, OSError):
        if not error.strerror:  # of a library, in its own words
            return DpdrunError(str(error) or type(error).__name__)
        paths = " to ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        remedy = _REMEDIES.get(error.errno or 0) if paths else _NO_FOLDER if error.errno == errno.ENOENT else ""
        return DpdrunError(f"{paths or 'operating system'}: {error.strerror}" + (f"; {remedy}" if remedy else ""))
    if isinstance(error, ValueError | RuntimeError):  # of a library that names a variable which it does not understand
        for name in filter(os.environ.__contains__, _VARIABLE.findall(str(error))):
            return RunError(f"environment variable {name}: {reason_of(error)}; correct or unset it")
    return None


def reason_of(error: BaseException) -> str:
    """Return the message of another package's exception on one line, not too long for a message of ours."""
    try:
        reason = " ".join(str(error).split()) or type(error).__name__
    except Exception:  # of a plug-in, whose exceptions may fail to say what they are
        reason = type(error).__name__
    return reason if len(reason) <= _LONGEST_REASON else reason[: _LONGEST_REASON - 3] + "..."


@contextmanager
def reading(where: object, kind: str, error: type[DpdrunError] = DataError) -> Iterator[None]:
    """Turn any exception of a parser on a user's file into one message that names the file.

    Put it around what turns bytes into values, and no more: parsers of other packages raise anything at all.

    Args:
        where: the file.
        kind: what it should be, as ".npz".
        error: to raise.
    """
    try:
        yield
    except DpdrunError:
        raise
    except RecursionError:
        raise error(f"{where}: cannot be read as {kind}: nested too deeply") from None
    except Exception as raised:
        system = isinstance(raised, OSError) and raised.strerror
        hint = "" if system else "; is the file damaged or incomplete?"
        raise error(f"{where}: cannot be read as {kind}: {system or reason_of(raised)}{hint}") from None


def _asked_in(error: BaseException) -> str:
    """Return the innermost function of this package in a traceback, as " in reading.load_arrays"."""
    home = str(Path(__file__).parent)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(home)]
    return f" in {Path(own[-1].filename).stem}.{own[-1].name}" if own else ""
