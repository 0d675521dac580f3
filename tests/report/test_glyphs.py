"""Output in encodings that lack our glyphs: readable, as wide as it was, and never a traceback."""

from __future__ import annotations

import codecs
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dpdrun.report.chart import AXIS, DASH, DOT
from dpdrun.report.glyphs import BLOCKS, ERRORS, STAND_INS, make_output_safe

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ascii_out(monkeypatch: pytest.MonkeyPatch) -> io.TextIOWrapper:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    make_output_safe()
    return out


def written(out: io.TextIOWrapper) -> bytes:
    out.flush()
    assert isinstance(out.buffer, io.BytesIO)
    return out.buffer.getvalue()


def test_every_glyph_has_one_ascii_character(ascii_out: io.TextIOWrapper) -> None:
    glyphs = DOT + DASH + AXIS + BLOCKS
    assert set(glyphs) <= STAND_INS.keys()
    assert all(len(stand_in) == 1 and stand_in.isascii() for stand_in in STAND_INS.values())
    ascii_out.write(glyphs + "\u03b1")
    assert written(ascii_out) == b"*-|_.-:=+*#?"


def test_bytes_of_a_file_name_come_out_as_they_are(ascii_out: io.TextIOWrapper) -> None:
    name = os.fsdecode(b"caf\xe9.csv")
    ascii_out.write(name)
    assert written(ascii_out) == name.encode("ascii", "surrogateescape")


def test_only_writing_is_handled() -> None:
    make_output_safe()
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", ERRORS)
    assert codecs.lookup_error(ERRORS)


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "latin-1"}]
)
def test_the_command_line_writes_anything_to_any_terminal(locale: dict[str, str]) -> None:
    code = (
        "import sys; from dpdrun import commands\n"
        "def show():\n"
        "    from rich.console import Console\n"
        "    from rich.panel import Panel\n"
        "    from dpdrun.report.chart import log_chart, sparkline\n"
        "    Console().print(Panel('\\n'.join([*log_chart([0.1, 1.0], [1, 2], line=0.3), sparkline([1, 2, 3], 3)])))\n"
        "commands.app.command('show')(show)\n"
        "sys.argv = ['dpdrun', 'show']\n"
        "commands.main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **locale},
        check=False,
    )
    assert result.stderr == b""
    assert result.returncode == 0
    assert b"*" in result.stdout
    assert b"_:#" in result.stdout
