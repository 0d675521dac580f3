"""Rohde & Schwarz .wv: what a vector signal generator plays, int16 I,Q with tags in braces.

From the R&S SMBV100A operating manual (1407.6062.32-08), "Waveform and list format": full scale is 32767, the length
in WAVEFORM-L counts the `#`, and the data may contain braces, so they are found by that tag alone.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from dpdrun.data.formats.raw import RawLayout, layout_of, load_raw
from dpdrun.data.signals import Contents, Signal
from dpdrun.errors import DataError, reading

FULL_SCALE = 32767.0
CHECKSUM_START = 0xA50F74FF
MAX_TAGS = 1 << 20  # bytes before the data
LAYOUT = RawLayout(layout_of("ci16").dtype, FULL_SCALE)
_TAG = re.compile(rb"\{([A-Z0-9 _-]+):\s*([^{}]*)\}")
_DATA = re.compile(rb"\{WAVEFORM-([0-9]+):\s*#")


def read_wv(path: Path, where: str) -> Contents:
    """Return the waveform of a .wv file; its level is in the tags, not in the samples.

    Raises:
        DataError: encrypted, several segments, damaged.
    """
    with reading(where, "R&S .wv"):
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(MAX_TAGS)
        if head.startswith(b"{WWAVEFORM"):
            raise DataError(f"{where}: an encrypted waveform, which only the generator can read")
        found = _DATA.search(head)
        tags = {name.decode().strip(): value.decode("latin-1").strip() for name, value in _TAG.findall(
            head[: found.start()] if found else head
        )}  # fmt: skip
        kind = tags.get("TYPE", "").partition(",")[0].strip()
        if kind == "SMU-MWV":
            raise DataError(f"{where}: a waveform of several segments (SMU-MWV); export one segment (SMU-WV)")
        if found is None:
            raise DataError(f"{where}: no tag WAVEFORM, so no samples: the file is incomplete, or not a waveform")
        nbytes = int(found[1]) - 1
        if nbytes <= 0 or nbytes % 4:
            raise DataError(f"{where}: WAVEFORM-{int(found[1])} is not a whole number of int16 I,Q pairs")
        if found.end() + nbytes > size:
            raise DataError(
                f"{where}: {nbytes // 4:,} samples are stated, but the file ends after "
                f"{max(size - found.end(), 0) // 4:,}: it is incomplete; copy it again"
            )
    count = nbytes // 4
    stated = tags.get("SAMPLES", "")
    if stated.isdecimal() and int(stated) != count:
        raise DataError(f"{where}: the tag SAMPLES says {int(stated):,}, but the data have {count:,}: damaged")
    rate = _number(tags.get("CLOCK", ""), "CLOCK", where)
    signal = Signal(
        "waveform", count, f"{count:,} int16 I,Q", partial(load_raw, path, where, LAYOUT, found.end(), count)
    )
    warnings = _checksum_warning(path, where, tags, found.end(), nbytes)
    return Contents("R&S .wv", (signal,), sample_rate_hz=rate, warnings=warnings)


def checksum(data: bytes) -> int:
    """Return R&S's checksum: the exclusive or of the 32-bit words (little-endian) of the samples."""
    import numpy as np

    words = np.frombuffer(data[: len(data) // 4 * 4], "<u4")
    return int(np.bitwise_xor.reduce(words, initial=np.uint32(CHECKSUM_START)))


def _checksum_warning(path: Path, where: str, tags: dict[str, str], offset: int, nbytes: int) -> tuple[str, ...]:
    """Return a warning where the checksum is wrong. Some writers begin from another value, so it refuses nothing."""
    stated = tags["TYPE"].partition(",")[2].strip()
    if not stated.isdecimal() or int(stated) == 0:
        return ()
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(nbytes)
    if int(stated) in (checksum(data), (checksum(data) + 1) & 0xFFFFFFFF):
        return ()
    return (f"{where}: its checksum does not match: the samples may be damaged, or its writer computes it otherwise",)


def _number(text: str, tag: str, where: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e15:
        raise DataError(f"{where}: the tag {tag} must be a positive number, not {text!r}")
    return value
