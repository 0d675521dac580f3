"""Rohde & Schwarz .iq.tar: an XML description and a binary file of samples in one tar file, never unpacked to disk.

From the R&S FSV/A3000 I/Q Analyzer manual (1178.8536.02), annex "I/Q data file format (iq-tar)": channels are
interleaved sample by sample, and a value times ScalingFactor is in volts.
"""

from __future__ import annotations

import tarfile
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from dpdrun.data.formats._reading import joined, require_memory
from dpdrun.data.signals import Contents, Samples, Signal, checked
from dpdrun.errors import DataError, reading

ROOT = "RS_IQ_TAR_FileFormat"
MAX_XML = 16 << 20  # bytes
MAX_CHANNELS = 16
DTYPES = {"int8": "i1", "int16": "<i2", "int32": "<i4", "float32": "<f4", "float64": "<f8"}
PER_SAMPLE = {"complex": 2, "polar": 2, "real": 1}


def is_iq_tar(names: list[str]) -> bool:
    """Whether a tar file with these members is an .iq.tar."""
    return any(name.lower().endswith(".xml") for name in names)


def read_iq_tar(path: Path, where: str) -> Contents:
    """Return the channels of an .iq.tar.

    Raises:
        DataError: damaged, real samples, or a description that does not fit the samples.
    """
    with reading(where, "R&S .iq.tar"), tarfile.open(path, "r:") as archive:
        members = {member.name: member for member in archive if member.isreg() and not member.issparse()}
        xml = next(name for name in members if name.lower().endswith(".xml"))
        if members[xml].size > MAX_XML:
            raise DataError(f"{where}: {xml} is larger than {MAX_XML >> 20} MiB; this is no description")
        content = archive.extractfile(xml)
        text = content.read() if content is not None else b""
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise DataError(f"{where}: {xml} declares a DOCTYPE, which is not read")
        root = ElementTree.fromstring(text)
        if root.tag != ROOT:
            raise DataError(f"{where}: {xml} is no description of I/Q data (no {ROOT})")
        kind, dtype = _text(root, "Format", where), _text(root, "DataType", where)
        if kind not in PER_SAMPLE or dtype not in DTYPES:
            raise DataError(f"{where}: samples of Format {kind!r} and DataType {dtype!r} are not known")
        if kind == "real":
            raise DataError(f"{where}: real samples, not a complex envelope; record I and Q")
        channels = int(root.findtext("NumberOfChannels") or 1)
        count = int(_text(root, "Samples", where))
        name = _text(root, "DataFilename", where)
        member = members.get(name) or members.get(f"./{name}")
        if member is None:
            raise DataError(f"{where}: no member {name!r} with the samples in this archive")
        if not 1 <= channels <= MAX_CHANNELS or count < 1:
            raise DataError(f"{where}: {channels} channels of {count:,} samples are stated")
        item = np.dtype(DTYPES[dtype])
        if count * channels * PER_SAMPLE[kind] * item.itemsize > member.size:
            raise DataError(
                f"{where}: {count:,} samples are stated, but {name} ends after "
                f"{member.size // (channels * PER_SAMPLE[kind] * item.itemsize):,}: it is incomplete; copy it again"
            )
        scale = float(root.findtext("ScalingFactor") or 1.0)
        rate = float(root.findtext("Clock") or 0.0)
        centre = _number(root.findtext(".//CenterFrequency"))
        offset = member.offset_data
    if not (0 < rate < 1e15 and np.isfinite(scale) and scale != 0):
        raise DataError(
            f"{where}: Clock must be a positive number and ScalingFactor not zero, not {rate:g} and {scale:g}"
        )
    load = partial(_load, path, where, offset, item, count, channels, scale, kind == "polar")
    signals = tuple(
        Signal(f"channel{at + 1}" if channels > 1 else "samples", count, f"{count:,} {kind} {dtype}", partial(load, at))
        for at in range(channels)
    )
    return Contents("R&S .iq.tar", signals, sample_rate_hz=rate, centre_hz=centre)


def _load(
    path: Path,
    where: str,
    offset: int,
    item: np.dtype[np.generic],
    count: int,
    channels: int,
    scale: float,
    polar: bool,
    channel: int,
) -> Samples:
    require_memory(48 * count * channels, where)
    with reading(where, "R&S .iq.tar"), path.open("rb") as file:
        file.seek(offset)
        table = np.fromfile(file, item, 2 * count * channels).reshape(count, channels, 2)[:, channel].astype(np.float64)
    if polar:  # magnitude and phase [rad]; only the magnitude is scaled
        with np.errstate(all="ignore"):
            return checked(scale * table[:, 0] * np.exp(1j * table[:, 1]), where)
    return checked(joined(scale * table[:, 0], scale * table[:, 1]), where)


def _text(root: ElementTree.Element, tag: str, where: str) -> str:
    text = root.findtext(tag)
    if text is None or not text.strip():
        raise DataError(f"{where}: its description lacks {tag}")
    return text.strip()


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if np.isfinite(value) else None
