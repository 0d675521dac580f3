"""The logs: numbers only, in the format that their program writes, each with its source and a label with its reason.

A label was made from the numbers before any tool was run on the log. Rules and readers are tuned on the half "tune";
"heldout" has logs of other repositories, and was scored once, before anybody who works on rules had seen it. The logs
that were held out before are in "tune" now, with `scored_blind` in their labels: those of repositories whose name has a
SHA-256 with an odd first byte were first scored when rules had only seen the others, and again with an odd second byte
when rules had seen some of these as well. A label.json has:

    name, source, path, commit   where the log is from
    program, file                which program wrote it, and its file here
    every, excerpt               every how many records were kept, and which part; None: all
    loss                         what the loss is, as far as the source says
    label                        healthy: nothing calls for action; sick: a good engineer would change something before
                                 the next run; undecidable: neither is clear
    kinds, reason                what is wrong, and the numbers that show it
    scored_blind                 "first", "second": the scorings before which nobody had looked at it; else absent
"""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ARCHIVE = Path(__file__).parent / "logs.tar.xz"
HALVES = ("tune", "heldout")


@dataclass(frozen=True)
class PublicLog:
    """One log: its half, its file, and its label."""

    half: str
    name: str
    path: Path
    source: str
    program: str
    label: str
    kinds: tuple[str, ...]
    reason: str


@contextmanager
def unpacked() -> Iterator[list[PublicLog]]:
    """Unpack the archive into a temporary folder; give its logs, by half and name."""
    with tempfile.TemporaryDirectory(prefix="public-logs-") as folder:
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(folder, filter="data")
        yield [log for half in HALVES for log in read(Path(folder), half)]


def read(folder: Path, half: str) -> list[PublicLog]:
    """Return the logs of a half, by name."""
    logs = []
    for label in sorted((folder / half).glob("*/label.json")):
        known = json.loads(label.read_text(encoding="utf-8"))
        path = label.parent / known["file"]
        if not path.is_file():
            raise SystemExit(f"{label}: there is no {known['file']}")
        logs.append(
            PublicLog(
                half,
                label.parent.name,
                path,
                known["source"],
                known["program"],
                known["label"],
                tuple(known["kinds"]),
                known["reason"],
            )
        )
    return logs


def pack(folder: Path) -> None:
    """Write the archive from a folder of halves: the same bytes of the same files."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o644
        return entry

    with tarfile.open(ARCHIVE, "w:xz", preset=9) as archive:
        for half in HALVES:
            for path in sorted((folder / half).rglob("*")):
                if path.is_file():
                    archive.add(path, path.relative_to(folder).as_posix(), filter=plain)


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
    with unpacked() as found:
        print(f"{len(found)} logs in {ARCHIVE.stat().st_size:,} bytes")
