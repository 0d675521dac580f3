"""The command `dpdrun`, also `python -m dpdrun`: it answers signals before it imports anything else."""

from __future__ import annotations

import signal
import sys

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
        sys.exit(EXIT_CODES[signal.SIGINT])
    finally:
        deafen()


if __name__ == "__main__":
    main()
