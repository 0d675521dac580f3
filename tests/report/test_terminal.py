"""The console that prints: what it shows instead of sending it to the terminal."""

from __future__ import annotations

import io

from rich.table import Table
from rich.text import Text

from dpdrun.report.terminal import Terminal

HOSTILE = "\x1b[2J\x1b]8;;http://x\x07k\u202egnp\x9b31m"


def printed(content: object, **options: object) -> str:
    out = io.StringIO()
    Terminal(file=out, width=200, force_terminal=True, color_system="truecolor", **options).print(content)  # type: ignore[arg-type]
    return out.getvalue()


def test_control_characters_are_shown_and_colours_are_sent() -> None:
    text = printed(Text(HOSTILE, "red"))
    assert text.startswith("\x1b[31m")
    assert text.count("\x1b") == 2  # red, and its end
    assert "\\x1b[2J\\x1b]8;;http://xk\\u202egnp\\x9b31m" in text  # rich itself drops BEL


def test_they_are_shown_inside_of_a_table_too() -> None:
    table = Table()
    table.add_column(HOSTILE)
    table.add_row(Text(HOSTILE))
    assert not {"\u202e", "\x9b", "\x07"} & set(printed(table))
