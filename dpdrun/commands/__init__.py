"""The command line: one file a subcommand, each `parse -> one call -> render`.

How a subcommand is added: a file `dpdrun/commands/<name>.py` with one function

    def register(app: typer.Typer) -> None:
        app.command("train")(train)              # one command, or
        app.add_typer(data_app, name="data")     # a group such as `dpdrun data list`

No list is to be edited: every module of this folder whose name has no leading underscore is registered, in the order of
`ORDER` and then by name (`import_` is `dpdrun import`: Python reserves the word). All files are imported to answer
`dpdrun --help`, so at module level they import the standard library, typer, `dpdrun.errors`, each other and nothing
heavier (tests/test_architecture.py); everything else, pydantic, rich and numpy too, is imported inside the command's
function. Errors meant for the user (`DpdrunError`) are just raised: the group below prints them to stderr and exits
with their code, in `main()` and in `typer.testing.CliRunner` alike.
"""

from __future__ import annotations

import atexit
import errno
import importlib
import os
import pkgutil
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dpdrun.errors import DpdrunError

ORDER = (
    "train", "evaluate", "compare", "apply", "export", "recommend", "lint", "probe", "import", "diagnose", "explain",
    "data", "recipe", "health",
)  # fmt: skip
MOVED = {  # (command, option of an earlier version) -> what to type now
    ("recommend", "--from-command"): "dpdrun import COMMAND|SCRIPT",
    ("recommend", "--pick"): "dpdrun import SCRIPT --pick N",
    ("recommend", "--probe"): "dpdrun probe RECIPE --time 60s",
    ("recommend", "--fix"): "dpdrun lint RECIPE --fix",
    ("recommend", "--diff"): "dpdrun lint RECIPE --diff",
    ("recommend", "--unsafe-fixes"): "dpdrun lint RECIPE --fix --unsafe-fixes",
    ("recipe check", "--lint"): "dpdrun lint RECIPE...",
}
_OF_THE_PATH = (errno.ENAMETOOLONG, errno.ELOOP)  # what Path.exists() raises of a path that somebody typed
EXIT_BROKEN_PIPE = 1  # what Typer and rich exit with when the reader of our output goes away


def show_error(error: DpdrunError) -> None:
    """Print an error to stderr: its message as it is, coloured where stderr is a terminal."""
    from rich.console import Console
    from rich.text import Text

    message = Text(str(error))
    message.highlight_regex(r"(?m)^\S+:\d+:\d+:", "bold")
    message.highlight_regex(r"(?m)^ +\| +\^~*$", "bold red")
    message.highlight_regex(r"(?m)^ +\d* \| ", "dim")
    line = Text.assemble(("error:", "bold red"), "\n" if "\n" in str(error) else " ", message)
    Console(stderr=True, highlight=False).print(line, soft_wrap=True)


class _Group(TyperGroup):
    """The top-level group, with the one handler for errors that are meant for the user."""

    _OF_PYDANTIC = "Value error, "  # what Typer passes on of a value that is not one of the choices

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; an option that moved to another one is answered with its new place."""
        options = {arg.partition("=")[0] for arg in args}
        for (command, option), now in MOVED.items():
            if option in options and " ".join(args).startswith(f"{command} "):
                raise DpdrunError(f"`dpdrun {command} {option}` is now a separate command: {now}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix(self._OF_PYDANTIC)
            raise
        except DpdrunError as error:
            sys.stdout.flush()
            if str(error):  # empty: another process of the run tells it
                show_error(error)
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            of_stdout = error.errno == errno.ENOSPC and error.filename is None
            if error.errno not in _OF_THE_PATH and not of_stdout:
                raise
            if of_stdout:
                _discard_stdout()
            show_error(DpdrunError(f"{error.filename or 'standard output'}: {error.strerror}"))
            raise typer.Exit(DpdrunError.exit_code) from None


def _version(wanted: bool) -> None:
    if wanted:
        from dpdrun import __version__

        typer.echo(f"dpdrun {__version__}")
        raise typer.Exit


def _callback(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Train Transformers for RF power-amplifier modelling and predistortion, with advice based on measurements."""


def build_app() -> typer.Typer:
    """The whole command line, from the files of this folder."""
    app = typer.Typer(
        name="dpdrun",
        cls=_Group,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_callback)
    modules = {m.name.rstrip("_"): m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")}
    for name in (*(n for n in ORDER if n in modules), *sorted(set(modules).difference(ORDER))):
        importlib.import_module(f"{__name__}.{modules[name]}").register(app)
    return app


app = build_app()


def main() -> None:
    """Run the command line on `sys.argv`, with the exit codes of docs/ARCHITECTURE.md; never returns."""
    from dpdrun.report.glyphs import make_output_safe

    make_output_safe()
    if os.getpid() == 1:  # of a container: the kernel drops a signal that has no handler there, see pid_namespaces(7)
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, so that a closed pipe is met inside the try
    except BrokenPipeError:
        _discard_stdout()
        sys.exit(EXIT_BROKEN_PIPE)
    except SystemExit as end:
        _leave_group(end)
        raise


def _discard_stdout() -> None:
    """Send what is still in the buffer nowhere: the interpreter would complain about stdout at exit.

    Source: https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave_group(end: SystemExit) -> None:
    """End a process of a group at once, its exit functions done; without a group, nothing.

    A thread of gloo lets go of its tensors a moment after an exchange. Where the interpreter is being taken down by
    then, that ends the process with SIGABRT ("terminate called without an active exception") instead of its own code.
    """
    from dpdrun.distributed.launcher import RANK_VARIABLE

    if RANK_VARIABLE in os.environ and isinstance(end.code, int):
        atexit._run_exitfuncs()
        sys.stderr.flush()
        os._exit(end.code)
