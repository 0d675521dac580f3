"""SigMF recordings: a .sigmf-meta with a .sigmf-data next to it, both in a .sigmf archive, or a list of recordings.

From the specification, version 1.2 (https://sigmf.org): datatype, channels (interleaved sample by sample), sample rate,
hash. The name of the data file is never followed out of the folder.
"""

from __future__ import annotations

import hashlib
import json
import math
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from dpdrun.data.formats._reading import require_memory
from dpdrun.data.formats.raw import RawLayout, Samples, layout_of, to_samples
from dpdrun.data.signals import Contents, Signal
from dpdrun.errors import DataError, reading
from dpdrun.run.files import parse_json

META, DATA, ARCHIVE = ".sigmf-meta", ".sigmf-data", ".sigmf"
MAX_META = 16 << 20  # bytes
MAX_CHANNELS = 16

Opened = Callable[[], IO[bytes]]  # the data at their first byte


def read_sigmf(path: Path, where: str) -> Contents:
    """Return the channels of a recording, given its .sigmf-meta or .sigmf-data.

    Raises:
        DataError: no data file, damaged metadata, data that do not fit them.
    """
    meta_path = path.with_suffix(META)
    with reading(where, "SigMF"):
        if not meta_path.is_file():
            raise DataError(f"{where}: no {meta_path.name} next to it, which states what the samples are")
        if meta_path.stat().st_size > MAX_META:
            raise DataError(f"{where}: {meta_path.name} is larger than {MAX_META >> 20} MiB; this is no metadata")
        meta = _meta(meta_path.read_bytes(), where)
        name = meta["global"].get("core:dataset")
        data_path = meta_path.with_suffix(DATA)
        if name is not None:
            if not isinstance(name, str) or name != Path(name).name or name in ("", ".", ".."):
                raise DataError(f"{where}: core:dataset must be the name of a file in the same folder, not {name!r}")
            data_path = meta_path.with_name(name)
        if not data_path.is_file() or data_path.is_symlink():
            raise DataError(f"{where}: no file {data_path.name} next to it, which has the samples")
        return _recording(meta, lambda: data_path.open("rb"), data_path.stat().st_size, where)


def read_archive(path: Path, where: str) -> Contents:
    """Return the channels of the recordings in a .sigmf archive (a tar file, never unpacked to disk).

    Raises:
        DataError: no recording in it, or a damaged one.
    """
    with reading(where, "SigMF archive"), tarfile.open(path, "r:") as archive:
        members = {member.name: (member.offset_data, member.size) for member in archive if member.isreg()}
        metas = [name for name in members if name.endswith(META)]
        if not metas:
            raise DataError(f"{where}: this archive holds no {META} file")
        found: list[Contents] = []
        for name in metas:
            stem = name.removesuffix(META)
            if stem + DATA not in members:
                raise DataError(f"{where}: {name} has no {DATA} in the archive")
            if members[name][1] > MAX_META:
                raise DataError(f"{where}: {name} is larger than {MAX_META >> 20} MiB; this is no metadata")
            content = archive.extractfile(name)
            meta = _meta(content.read() if content is not None else b"", f"{where}, {name}")
            prefix = f"{Path(stem).name}" if len(metas) > 1 else ""
            offset, size = members[stem + DATA]
            opened = partial(_at, path, offset)
            found.append(_recording(meta, opened, size, f"{where}, {name}", prefix))
    return _together(found, where)


def read_collection(path: Path, where: str) -> Contents:
    """Return the channels of the recordings that a .sigmf-collection lists, which are next to it.

    Raises:
        DataError: no list, a recording that is missing, damaged, or another one than the list states the hash of.
    """
    with reading(where, "SigMF collection"):
        if path.stat().st_size > MAX_META:
            raise DataError(f"{where}: larger than {MAX_META >> 20} MiB; this is no list of recordings")
        content = _json(path.read_bytes(), where, "a .sigmf-collection")
        listed = content.get("collection") if isinstance(content, dict) else None
        streams = listed.get("core:streams") if isinstance(listed, dict) else None
        if not isinstance(streams, list) or not streams or len(streams) > MAX_CHANNELS:
            raise DataError(f"{where}: no list core:streams of 1 to {MAX_CHANNELS} recordings")
        found = []
        for stream in streams:
            name = stream.get("name") if isinstance(stream, dict) else None
            if not isinstance(name, str) or name != Path(name).name or name in ("", ".", ".."):
                raise DataError(f"{where}: a stream must have the name of a recording in the same folder, not {name!r}")
            meta_path = path.with_name(name + META)
            if not meta_path.is_file() or meta_path.is_symlink() or meta_path.stat().st_size > MAX_META:
                raise DataError(f"{where}: no recording {meta_path.name} next to it")
            stated = stream.get("hash")
            if stated is not None and hashlib.sha512(meta_path.read_bytes()).hexdigest() != str(stated).lower():
                raise DataError(f"{where}: {meta_path.name} does not have the hash of the list: it was changed")
            channels = read_sigmf(meta_path, str(Path(where).with_name(meta_path.name)))
            names = [name if len(channels.signals) == 1 else f"{name}:{each.name}" for each in channels.signals]
            signals = tuple(replace(each, name=new) for each, new in zip(channels.signals, names, strict=True))
            found.append(replace(channels, signals=signals))
    return _together(found, where)


def _together(found: list[Contents], where: str) -> Contents:
    """Return the channels of recordings of one sample rate."""
    rates = {each.sample_rate_hz for each in found}
    if len(rates) > 1:
        raise DataError(f"{where}: its recordings have different sample rates; name two files")
    signals = tuple(signal for each in found for signal in each.signals)
    return Contents("SigMF", signals, sample_rate_hz=rates.pop(), centre_hz=found[0].centre_hz)


def _at(path: Path, offset: int) -> IO[bytes]:
    file = path.open("rb")
    file.seek(offset)
    return file


def _meta(text: bytes, where: str) -> dict[str, Any]:
    content = _json(text, where, "a .sigmf-meta")
    if not isinstance(content, dict) or not isinstance(content.get("global"), dict):
        raise DataError(f"{where}: not a .sigmf-meta: no object 'global'")
    return content


def _json(text: bytes, where: str, kind: str) -> Any:
    try:
        return parse_json(text.decode("utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{where}: not the JSON of {kind}: {error}") from None


def _recording(meta: dict[str, Any], opened: Opened, size: int, where: str, prefix: str = "") -> Contents:
    stated = meta["global"]
    name = stated.get("core:datatype")
    try:
        layout = layout_of(name)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError):
        raise DataError(f"{where}: core:datatype {name!r} is not one of SigMF") from None
    if layout.per_sample == 1:
        raise DataError(f"{where}: core:datatype {name}: a real signal, not a complex envelope; record I and Q")
    channels = stated.get("core:num_channels", 1)
    if not isinstance(channels, int) or not 1 <= channels <= MAX_CHANNELS:
        raise DataError(f"{where}: core:num_channels must be a number from 1 to {MAX_CHANNELS}, not {channels!r}")
    captures = meta.get("captures") or [{}]
    if not isinstance(captures, list) or not all(isinstance(each, dict) for each in captures):
        raise DataError(f"{where}: 'captures' must be a list of objects")
    if len(captures) > 1:
        raise DataError(
            f"{where}: {len(captures)} segments in 'captures': the receiver was retuned or stopped between them; "
            "export one"
        )
    header = captures[0].get("core:header_bytes", 0)
    trailing = stated.get("core:trailing_bytes", 0)
    if not all(isinstance(each, int) and 0 <= each <= size for each in (header, trailing)):
        raise DataError(f"{where}: core:header_bytes or core:trailing_bytes does not fit a file of {size:,} bytes")
    payload = size - header - trailing
    if payload % (layout.sample_bytes * channels) or payload <= 0:
        raise DataError(
            f"{where}: {payload:,} bytes of data are not a whole number of samples of {channels} x {name}: the data "
            "file is incomplete"
        )
    count = payload // (layout.sample_bytes * channels)
    check = stated.get("core:sha512")

    def load(channel: int) -> Samples:
        return _load(opened, where, layout, header, count, channels, channel, check)

    names = [f"{prefix}:channel{at + 1}" if prefix else f"channel{at + 1}" for at in range(channels)]
    if channels == 1:
        names = [prefix or "samples"]
    signals = [Signal(each, count, f"{count:,} {name}", partial(load, at)) for at, each in enumerate(names)]
    return Contents(
        "SigMF",
        tuple(signals),
        sample_rate_hz=_number(stated, "core:sample_rate", where, positive=True),
        centre_hz=_number(captures[0], "core:frequency", where),
    )


def _load(
    opened: Opened, where: str, layout: RawLayout, header: int, count: int, channels: int, channel: int, check: Any
) -> Samples:
    nbytes = count * channels * layout.sample_bytes
    require_memory(4 * nbytes, where)
    with reading(where, "SigMF"), opened() as file:
        data = file.read(header + nbytes)
    if check is not None and hashlib.sha512(data).hexdigest() != str(check).lower():
        raise DataError(f"{where}: the data do not have the core:sha512 of the metadata: they were changed or damaged")
    return to_samples(np.frombuffer(data, layout.dtype, offset=header), layout, where, count, channels, channel)


def _number(content: dict[str, Any], key: str, where: str, *, positive: bool = False) -> float | None:
    value = content.get(key)
    if value is None:
        return None
    bad = isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
    if bad or (positive and value <= 0):
        raise DataError(f"{where}: {key} must be a {'positive ' if positive else ''}number, not {value!r}")
    return float(value)
