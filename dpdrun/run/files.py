"""Files that appear complete or not at all, and JSON that carries non-finite numbers.

A file is written under a temporary name, flushed to disk, and renamed. Non-finite numbers are written as the strings
"nan", "inf", "-inf", so that every file is valid JSON.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dpdrun.errors import WRITE_REMEDIES, RunError, UnwritableError
from dpdrun.run.symlinks import is_special

PARTIAL = ".partial"  # suffix of the temporary names
Json = dict[str, Any]


def expand_user(text: str) -> Path:
    """Return the path, with `~` as the home folder; as a shell does, keep the name of an unknown user as it stands."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def is_there(path: Path) -> bool:
    """Return whether a path exists; False also for what no file can be called (too long, a NUL byte)."""
    with suppress(OSError, ValueError):
        return path.exists()
    return False


def unwritable(path: Path, exc: OSError) -> UnwritableError:
    """Return the error for a file that cannot be written: why, and what to do."""
    return UnwritableError(f"{path}: cannot write: {exc.strerror or exc}", WRITE_REMEDIES.get(exc.errno or 0, ""))


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, where they do not exist. Raises UnwritableError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise unwritable(folder, exc) from exc


def require_writable_folder(folder: Path) -> None:
    """Raise UnwritableError for a folder that `make_folder` could not make or nothing could be written to."""
    there = folder
    while not is_there(there) and there != there.parent:
        there = there.parent
    reason = errno.ENOTDIR if not there.is_dir() else 0 if os.access(there, os.W_OK | os.X_OK) else errno.EACCES
    if reason:
        raise unwritable(folder, OSError(reason, os.strerror(reason)))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name next to `path`; on success flush it to disk and rename it to `path`, else remove it.

    The file gets the mode that the umask gives to new files, whatever its writer chose.
    Raises UnwritableError when the disk is full or the folder cannot be written; `path` then keeps its content.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        refuse_special(path)
        _unfinished.add(temporary.absolute())
        temporary.unlink(missing_ok=True)  # of a killed process with this number, as each is 1 in a container
        with temporary.open("xb") as handle:  # never through a symlink placed there
            mode = os.fstat(handle.fileno()).st_mode & 0o777
        yield temporary
        temporary.chmod(mode)
        with temporary.open("r+b") as handle:  # Windows flushes only what is open for writing
            os.fsync(handle.fileno())
        temporary.replace(path)
        _written.add(path.absolute())
        sync_folder(path.parent)
    except OSError as exc:
        raise unwritable(path, exc) from exc
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        with suppress(OSError):  # of a current folder that is gone
            _unfinished.discard(temporary.absolute())


_unfinished: set[Path] = set()
_written: set[Path] = set()


def has_written() -> bool:
    """Return whether this process has given a file its name."""
    return bool(_written)


def remove_unfinished() -> None:
    """Remove what this process has under temporary names, as it is about to end without its `finally` blocks."""
    for temporary in [*_unfinished]:
        with suppress(OSError):
            temporary.unlink()


def refuse_special(path: Path) -> None:
    """Raise UnwritableError for a device, a pipe or /dev/stdout: the rename would put a file in its place, for good."""
    if is_special(path) or path.absolute().parent == Path("/dev"):
        raise UnwritableError(f"{path}: cannot write: not a regular file", "name a file")


def sync_folder(folder: Path) -> None:
    """Force the names in `folder` to the disk, where the file system can sync a folder."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file. Raises RunError when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as exc:
        raise RunError(f"{path}: cannot read: {exc.strerror}") from exc


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def encode_numbers(value: Any) -> Any:
    """Return the same nest of dicts and lists with non-finite floats as the strings "nan", "inf" and "-inf"."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: encode_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode_numbers(item) for item in value]
    return value


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        json.JSONDecodeError: it is not JSON, or has a number of more digits than Python converts, with its place.
        RecursionError: it is nested too deeply.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        digits = re.search(rf"\d{{{sys.get_int_max_str_digits() + 1},}}", text)
        raise json.JSONDecodeError("a number of too many digits", text, digits.start() if digits else 0) from None


def json_text(content: Json) -> str:
    """Return an object as JSON for a file or a program: indented, non-finite numbers as strings, no line end."""
    return json.dumps(encode_numbers(content), indent=2, allow_nan=False)


_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def decode_numbers(value: Any) -> Any:
    """Undo `encode_numbers`."""
    if isinstance(value, dict):
        return {key: decode_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode_numbers(item) for item in value]
    return _NON_FINITE.get(value, value) if isinstance(value, str) else value
