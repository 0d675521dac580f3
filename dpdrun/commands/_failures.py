"""What a user sees of an exception, of whatever command: one message on stderr and an exit code, never a traceback."""

from __future__ import annotations

import sys
from contextlib import suppress

from dpdrun.errors import EXIT_BUG, DpdrunError, explained, printable

EXIT_BROKEN_PIPE = 1  # what Typer and rich exit with when the reader of our output goes away


def show_failure(error: Exception) -> int:
    """Show an exception that ended the command, and return the exit code."""
    from dpdrun.report.streams import flush_streams

    with suppress(OSError, ValueError):
        sys.stdout.flush()
    if isinstance(error, BrokenPipeError):  # the reader has seen enough
        return EXIT_BROKEN_PIPE
    shown = explained(error) or _of_plugin(error) or _bug(error)
    if str(shown):  # empty: another process of the run tells it
        try:
            show_error(shown)
        except (Exception, SystemExit):  # a full stderr, one without a reader, or an installation that has lost rich
            with suppress(OSError, ValueError):
                sys.stderr.write(f"error: {shown}\n")
    flush_streams()
    return shown.exit_code


def show_error(error: DpdrunError) -> None:
    """Print an error to stderr: its message as it is, coloured where stderr is a terminal."""
    from rich.text import Text

    from dpdrun.report.terminal import Terminal

    message = Text(str(error))
    message.highlight_regex(r"(?m)^\S+:\d+:\d+:", "bold")
    message.highlight_regex(r"(?m)^ +\| +\^~*$", "bold red")
    message.highlight_regex(r"(?m)^ +\d* \| ", "dim")
    first, *more = str(error).split("\n")
    joint = " " if not more or first.endswith(":") else "\n"  # a place, "file:line:column:", begins its line
    line = Text.assemble(("error:", "bold red"), joint, message)
    Terminal(stderr=True, highlight=False).print(line, soft_wrap=True)


def _of_plugin(error: Exception) -> DpdrunError | None:
    """Return what is shown of an exception that arose in a plug-in."""
    plugins = sys.modules.get("dpdrun.recipe.plugins")
    return None if plugins is None else plugins.blamed(error)


class _BugError(DpdrunError):
    exit_code = EXIT_BUG


def _bug(error: Exception) -> DpdrunError:
    """Write the traceback of a bug of ours to a file, and return the message that names it."""
    what = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
    try:
        where = f"; its traceback is in {_write_trace(error)}: please report it with that file (SECURITY.md says where)"
    except OSError as unwritten:
        where = f"; its traceback cannot be written ({unwritten.strerror}): please report it (SECURITY.md says where)"
    return _BugError(f"a bug in dpdrun: {what}{where}")


def _write_trace(error: Exception) -> str:
    import platform
    import tempfile
    import traceback

    from dpdrun import __version__

    head = f"dpdrun {__version__}, Python {platform.python_version()}, {platform.platform()}\n{sys.argv!r}\n\n"
    text = head + "".join(traceback.format_exception(error))
    with tempfile.NamedTemporaryFile(
        "w", prefix="dpdrun-bug-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        file.write(printable(text))
    return file.name
