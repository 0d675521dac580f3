"""What a disk holds after a power cut: the calls that shim.c recorded, up to a moment, and what may remain of them.

POSIX promises the bytes of a file after its fsync, and the names in a folder after an fsync of the folder. Of the rest
anything may be there: the old name or the new one, the bytes before or after, a part of them, or zeros. A rename is
atomic: a name is of the old file or of the new one.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SHIM = Path(__file__).with_name("shim.c")
REMAINS = ("least", "names", "zeros", "any")  # of what was not synced: nothing; names alone; zeros for bytes; by chance


def build(folder: Path) -> Path:
    """Compile the shim; gives the library to preload."""
    library = folder / "power_cut.so"
    flags = ["-std=gnu11", "-O1", "-fPIC", "-shared"]
    subprocess.run(["gcc", *flags, str(SHIM), "-o", str(library), "-ldl", "-lpthread"], check=True)
    return library


@dataclass(frozen=True)
class Call:
    """One recorded call."""

    operation: str
    number: int
    path: Path
    other: Path
    data: bytes


def calls_of(journal: bytes) -> Iterator[Call]:
    """Read what the shim wrote."""
    at = 0
    while at < len(journal):
        end = journal.index(b"\n", at)
        operation, size, number, path, other = journal[at:end].decode().split("\t")
        at = end + 1 + int(size)
        yield Call(operation, int(number), Path(path), Path(other), journal[end + 1 : at])


@dataclass
class Node:
    """A file, or a folder: its bytes and its names as they are, and as they were when it was last synced."""

    folder: bool = False
    bytes: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    names: dict[str, Node] = field(default_factory=dict)
    synced_names: dict[str, Node] = field(default_factory=dict)

    def sync(self) -> None:
        """An fsync of it."""
        self.synced, self.synced_names = bytes(self.bytes), dict(self.names)


class Disk:
    """The files below a root, which begins empty."""

    def __init__(self, root: Path) -> None:
        self._root, self._top = root, Node(folder=True)

    def do(self, call: Call) -> None:
        """Carry out a call."""
        names, name = self._at(call.path)
        match call.operation:
            case "open":
                node = names.setdefault(name, Node())
                if call.number:
                    node.bytes.clear()
            case "write":
                node = names.get(name, Node())  # of a file that has no name any more nothing remains
                node.bytes.extend(bytes(max(0, call.number - len(node.bytes))))
                node.bytes[call.number : call.number + len(call.data)] = call.data
            case "truncate":
                del names[name].bytes[call.number :]
            case "sync":
                (self._top if call.path == self._root else names.get(name, Node())).sync()
            case "rename":
                others, other = self._at(call.other)
                others[other] = names.pop(name)
            case "unlink":
                names.pop(name)
            case "mkdir":
                names[name] = Node(folder=True)

    def _at(self, path: Path) -> tuple[dict[str, Node], str]:
        node = self._top
        parts = path.relative_to(self._root).parts or ("",)
        for part in parts[:-1]:
            node = node.names[part]
        return node.names, parts[-1]

    def lay_out(self, folder: Path, remains: str, rng: Random) -> None:
        """Write into an empty folder what may be left of the files when the power is cut now."""
        self._lay_out(self._top, folder, remains, rng)

    def _lay_out(self, node: Node, path: Path, remains: str, rng: Random) -> None:
        if not node.folder:
            path.write_bytes(_bytes_left(node, remains, rng))
            return
        path.mkdir(exist_ok=True)
        for name in sorted({*node.names, *node.synced_names}):
            new, old = node.names.get(name), node.synced_names.get(name)
            left = old if remains == "least" else new if remains != "any" else rng.choice((old, new))
            if left is not None:
                self._lay_out(left, path / name, remains, rng)


def _bytes_left(node: Node, remains: str, rng: Random) -> bytes:
    new, old = bytes(node.bytes), node.synced
    if remains == "all":
        return new
    if remains in ("least", "names"):
        return old
    if new[: len(old)] != old:  # overwritten, not appended to
        return rng.choice((old, new))
    if remains == "zeros":
        return old + bytes(len(new) - len(old))
    return new[: rng.randint(len(old), len(new))]
