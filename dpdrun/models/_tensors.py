"""Read and write tensors as safetensors with a hash of the complete file in the header.

safetensors checks lengths, offsets and shapes, but not the values. So the header holds the sha256 of the file, computed
with its own 64 digits as zeros: it covers names, dtypes, shapes, values and the header down to its padding. A second
entry states that there is a hash, so that a damaged first one is noticed. Older files without a hash are read too.

Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from dpdrun.errors import RunError
from dpdrun.run.files import replacing

HEADER = "dpdrun"  # the one key of the file's metadata: a JSON object of strings
FORMAT = "format"  # the entry that every header has
HASH, HASHED = "sha256", "sha256_of"
HASHED_WHOLE = "this file, these 64 digits as zeros"
ZEROS = "0" * 64
MAX_HEADER = 100_000_000  # bytes; as safetensors itself has it
_PLACE = re.compile(rb'\\"sha256\\": \\"([0-9a-f]{64})\\"')  # JSON in a string of JSON


def write(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write a file of tensors atomically. Equal content gives equal bytes.

    Args:
        path: replaced if it exists.
        tensors: by name, on any device.
        header: entries of the file's metadata.

    Raises:
        RunError: the disk is full or the folder cannot be written; an older file at `path` then survives.
    """
    # safetensors writes several keys of metadata in a random order, so there is only one
    text = json.dumps({**header, HASH: ZEROS, HASHED: HASHED_WHOLE}, sort_keys=True)
    values = {name: value.detach().contiguous() for name, value in tensors.items()}
    places = Counter(value.untyped_storage().data_ptr() for value in values.values())
    for name, value in values.items():
        if places[value.untyped_storage().data_ptr()] > 1:  # of layers that share weights: safetensors refuses them
            values[name] = value.clone()
    content = save(values, metadata={HEADER: text})
    place = _place(content)
    assert place is not None
    digest = _digest(content, place)
    with replacing(path) as temporary, temporary.open("wb") as handle:
        handle.write(content[: place[0]] + digest.encode())
        handle.write(memoryview(content)[place[1] :])


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors, on the CPU, and the header of a file from `write`; check its hash.

    Raises:
        RunError: it is missing, damaged, or another kind of file.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as exc:
        raise RunError(f"{path}: missing") from exc
    except OSError as exc:
        raise RunError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    try:
        header = _checked(content)
        return load(content), header
    # of a file without a hash: KeyError of a dtype that torch has not, the others of shapes that cannot be made
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, AssertionError) as exc:
        reason = str(exc) if isinstance(exc, SafetensorError | ValueError) else repr(exc)
        raise RunError(f"{path}: damaged or not a safetensors file ({reason})") from exc


def is_intact(path: Path) -> bool:
    """Return whether a file from `write` is there and undamaged."""
    try:
        read(path)
    except RunError:
        return False
    return True


def misfit(expected: Mapping[str, Tensor], actual: Mapping[str, Tensor]) -> str | None:
    """Describe the first tensor that is missing, unexpected, or of another shape or type; None if all fit."""
    for name, tensor in expected.items():
        if name not in actual:
            return f"it has no tensor {name}"
        if actual[name].shape != tensor.shape:
            return f"tensor {name} is {tuple(actual[name].shape)}, expected {tuple(tensor.shape)}"
        if actual[name].dtype != tensor.dtype:
            types = (str(each.dtype).removeprefix("torch.") for each in (actual[name], tensor))
            return "tensor {} is {}, expected {}".format(name, *types)
    return next((f"it has an unexpected tensor {name}" for name in actual if name not in expected), None)


def _checked(content: bytes) -> dict[str, str]:
    """Return the header. Raises ValueError if it is malformed, or its hash does not match."""
    metadata = _metadata(content)
    if HEADER not in metadata:
        if metadata and FORMAT not in metadata:
            raise ValueError("its header is not understood")
        return metadata  # a file of dpdrun before 0.1.0, or of another program
    header = _json(metadata[HEADER])
    if not isinstance(header, dict) or not all(isinstance(value, str) for value in header.values()):
        raise ValueError(f"metadata {HEADER} is not an object of strings")
    if HASH in header or HASHED in header:
        place = _place(content)
        if place is None or content[place[0] : place[1]].decode() != _digest(content, place):
            raise ValueError("its content does not match the hash in its header")
    return {key: value for key, value in header.items() if key not in (HASH, HASHED)}


def _metadata(content: bytes) -> dict[str, str]:
    if not content:
        raise ValueError("it is empty")
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or not 0 < length <= min(MAX_HEADER, len(content) - 8):
        raise ValueError(f"{len(content):,} bytes, too few for its header, or another format")
    parsed = _json(content[8 : 8 + length].decode())
    metadata = parsed.get("__metadata__", {}) if isinstance(parsed, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its header is not understood")
    return metadata


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None


def _place(content: bytes) -> tuple[int, int] | None:
    """Return where the digits of the hash begin and end."""
    match = _PLACE.search(content, 8, 8 + int.from_bytes(content[:8], "little"))
    return match and match.span(1)


def _digest(content: bytes, place: tuple[int, int]) -> str:
    view = memoryview(content)
    digest = hashlib.sha256(view[: place[0]])
    digest.update(ZEROS.encode())
    digest.update(view[place[1] :])
    return digest.hexdigest()
