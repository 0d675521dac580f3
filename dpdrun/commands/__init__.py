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
import importlib
import inspect
import os
import pkgutil
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dpdrun.commands._output import say
from dpdrun.commands._renamed import current_spelling
from dpdrun.errors import EXIT_INTERRUPTED, DpdrunError, command_line, shown

ORDER = (
    "train", "auto", "sweep", "evaluate", "compare", "apply", "loop", "export", "recommend", "lint", "probe",
    "import", "diagnose", "explain", "data", "recipe", "runs", "plugins", "health",
)  # fmt: skip


ClickError: Any = typer.BadParameter.__mro__[2]  # Typer brings a click of its own, or uses the installed one


class _Group(TyperGroup):
    """The top-level group, with the one handler for errors that are meant for the user."""

    _OF_PYDANTIC = "Value error, "  # what Typer passes on of a value that is not one of the choices

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; what earlier versions called otherwise has its current name from here on."""
        return super().resolve_command(ctx, current_spelling(args))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:  # which a command that has something to save handles itself
            say(str(interrupt) or "interrupted", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except SystemExit as end:  # of a plug-in: it would pass for an exit code of ours
            plugins = sys.modules.get("dpdrun.recipe.plugins")
            if plugins is not None and (blamed := plugins.blamed(end)) is not None:
                raise blamed from None
            raise
        except ClickError as error:
            error.message = shown(error.message.removeprefix(self._OF_PYDANTIC))
            raise

    def main(self, *args: Any, **kwargs: Any) -> Any:
        with command_line():
            try:
                return super().main(*args, **kwargs)
            except Exception as error:
                try:
                    from dpdrun.commands._failures import show_failure

                    code = show_failure(error)
                except MemoryError:  # not even the code that shows an error can be loaded
                    sys.stderr.write(f"error: {error or 'out of memory'}\n")
                    code = getattr(error, "exit_code", DpdrunError.exit_code)
                sys.exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        from dpdrun import __version__

        say(f"dpdrun {__version__}")
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
    _join_lines(app)
    return app


def _join_lines(app: typer.Typer) -> None:
    """Let help texts fill the terminal; Typer breaks all paragraphs of a docstring but the first as the source does."""
    for command in app.registered_commands:
        paragraphs = (inspect.getdoc(command.callback) or "").split("\n\n")
        joined = "\n\n".join(each if "\n " in each else " ".join(each.split()) for each in paragraphs)
        command.help = command.help or joined
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _join_lines(group.typer_instance)


app = build_app()


def main() -> None:
    """Run the command line on `sys.argv`, with the exit codes of docs/ARCHITECTURE.md; never returns."""
    from dpdrun.report.streams import flush_streams, open_streams

    open_streams()
    _share_cores()
    try:
        app()
    except SystemExit as end:
        unwritten = flush_streams()
        if unwritten is not None and not end.code:
            from dpdrun.commands._failures import show_failure

            sys.exit(show_failure(unwritten))
        _leave_group(end)
        raise


def _share_cores() -> None:
    """Let idle threads sleep, and numpy compute in one thread; before either library is loaded, unless the user did.

    On a core that other programs use, a thread that spins while it waits for another makes a step many times slower
    (docs/results.md, "Threads"). The operations of numpy here are too small for several threads; those of torch get
    as many as `train.threads` says.

    Sources: gcc.gnu.org/onlinedocs/libgomp/OMP_005fWAIT_005fPOLICY.html,
    github.com/OpenMathLib/OpenBLAS#setting-the-number-of-threads-at-runtime
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if "OMP_NUM_THREADS" not in os.environ:  # which OpenBLAS follows as well
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _leave_group(end: SystemExit) -> None:
    """End a process of a group at once, its exit functions done; without a group, nothing.

    A thread of gloo lets go of its tensors a moment after an exchange. Where the interpreter is being taken down by
    then, that ends the process with SIGABRT ("terminate called without an active exception") instead of its own code.
    """
    from dpdrun.distributed.signal_handlers import RANK_VARIABLE

    if RANK_VARIABLE in os.environ and isinstance(end.code, int):
        atexit._run_exitfuncs()
        sys.stderr.flush()
        os._exit(end.code)
