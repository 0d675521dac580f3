"""Options of earlier versions: those with another name keep working, those that have moved are answered."""

from __future__ import annotations

from pathlib import Path

from dpdrun.errors import DpdrunError

MOVED = {  # (command, option of an earlier version) -> what to type now
    ("recommend", "--from-command"): "dpdrun import COMMAND|SCRIPT",
    ("recommend", "--pick"): "dpdrun import SCRIPT --pick N",
    ("recommend", "--probe"): "dpdrun probe RECIPE --time 60s",
    ("recommend", "--fix"): "dpdrun lint RECIPE --fix",
    ("recommend", "--diff"): "dpdrun lint RECIPE --diff",
    ("recommend", "--unsafe-fixes"): "dpdrun lint RECIPE --fix --unsafe-fixes",
    ("recipe check", "--lint"): "dpdrun lint RECIPE...",
}

RENAMED = {"--out": "--output", "--save": "--output"}
FORMATS = {"table": "text", "rich": "text"}  # of --format
OF_SIGNALS = ("recommend", "data inspect", "data align", "data convert", "apply")  # where --input named a signal
TO_A_FILE = ("recommend", "data align")  # those of them where --output is a file now


def current_spelling(args: list[str]) -> list[str]:
    """Return the words of a command line with the current names of options and formats.

    Raises:
        DpdrunError: an option has moved to another command, or --output names a signal where it is a file now.
    """
    typed = " ".join(args)
    commands = [*args[:1], " ".join(args[:2])]
    spelled: list[str] = []
    for index, arg in enumerate(args):
        if arg == "--":
            return spelled + args[index:]
        option, equals, value = arg.partition("=")
        for command in commands:
            if (command, option) in MOVED:
                now = MOVED[command, option]
                raise DpdrunError(f"`dpdrun {command} {option}` is now a separate command: {now}")
        if any(command in OF_SIGNALS for command in commands):
            option = _of_signals(option, value if equals else " ".join(args[index + 1 : index + 2]), typed)
        option = RENAMED.get(option, option)
        if option == "--format" and equals:
            value = FORMATS.get(value, value)
        elif spelled and spelled[-1] == "--format":
            option = FORMATS.get(option, option)
        spelled.append(f"{option}{equals}{value}")
    return spelled


def _of_signals(option: str, value: str, typed: str) -> str:
    """Return the name of an option that earlier versions called --input or --output, and that names a signal."""
    if option == "--input":
        return "--input-signal"
    if option != "--output":
        return option
    if not typed.startswith(TO_A_FILE):
        return "--output-signal"
    if not Path(value).suffix:  # no file that these commands write
        raise DpdrunError(f"--output {value}: names the file to write, which has a suffix; a signal: --output-signal")
    return option
