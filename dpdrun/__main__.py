"""The command `dpdrun`, also `python -m dpdrun`: it answers signals before it imports anything else."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress

from dpdrun.distributed.signal_handlers import EXIT_CODES, deafen, listen, raise_interrupts

EXIT_INCOMPLETE = 2


def main() -> None:
    """Run the command line on `sys.argv`; never returns."""
    listen()
    try:
        from dpdrun.commands import main as run
    except ImportError as error:
        sys.stderr.write(f"error: this installation of dpdrun is incomplete ({error}); install it again\n")
        sys.exit(EXIT_INCOMPLETE)
    try:
        raise_interrupts()
        run()
    except KeyboardInterrupt:
        _end_interrupted()
    except SystemExit as end:
        if end.code == EXIT_CODES[signal.SIGINT]:
            _end_interrupted()
        raise
    finally:
        deafen()


def _end_interrupted() -> None:
    """End with the exit code of Ctrl-C.

    `python -m` would end by SIGINT instead where Ctrl-C came inside of `exec` of a text, as imports use it: CPython
    takes it for unhandled, even if it was caught (`unhandled_keyboard_interrupt` in its Python/pythonrun.c).
    """
    deafen()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or a full disk
            stream.flush()
    os._exit(EXIT_CODES[signal.SIGINT])


if __name__ == "__main__":
    main()
