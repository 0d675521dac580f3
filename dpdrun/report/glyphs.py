"""Output on terminals that are not UTF-8: ASCII in place of dots, blocks and borders, instead of a traceback."""

from __future__ import annotations

import codecs
import sys

ERRORS = "dpdrun-ascii"  # name of the error handler, as in `str.encode(errors=...)`
BLOCKS = "".join(map(chr, range(0x2581, 0x2589)))  # of a sparkline: lower one eighth block to full block
STAND_INS = {
    **dict(zip(BLOCKS, "_.-:=+*#", strict=True)),
    "\u2022": "*",  # bullet
    "\u00b7": ".",  # middle dot
    "\u2026": ".",  # ellipsis: one character for one, so that columns stay
    "\u2192": ">",  # arrow
    "\u2500": "-",
    "\u2501": "=",
    "\u2578": "=",
    "\u257a": "=",
    "\u2502": "|",
    **dict.fromkeys("\u250c\u2510\u2514\u2518\u256d\u256e\u256f\u2570", "+"),
}


def _stand_in(error: UnicodeError) -> tuple[str | bytes, int]:
    """Handle an encoding error: one ASCII character for each that cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    if all(0xDC80 <= ord(c) <= 0xDCFF for c in wrong):  # bytes of a file name that is not UTF-8: as they were
        return wrong.encode("ascii", "surrogateescape"), error.end
    return "".join(STAND_INS.get(character, "?") for character in wrong), error.end


def make_output_safe() -> None:
    """Let stdout and stderr write every text, whatever their encoding."""
    codecs.register_error(ERRORS, _stand_in)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # missing where a test or a notebook replaced the stream
        if reconfigure is not None:
            reconfigure(errors=ERRORS)
