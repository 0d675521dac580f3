"""The logs: numbers only, in the format that their program writes, each with its source and a label with its reason.

A label was made from the numbers before any tool was run on the log. Rules and readers are tuned on the half "tune";
"heldout" has logs of other repositories, and is scored once, before anybody who works on rules has seen it. The logs
that were held out before are in "tune" now, with `scored_blind` in their labels: those of repositories whose name has a
SHA-256 with an odd first byte were first scored when rules had only seen the others, and again with an odd second byte
when rules had seen some of these as well; the third scoring was of 365 logs that others had collected.

    python -m benchmarks.public_logs.corpus add FOLDER --as heldout     new logs, not seen by those who work on rules
    python -m benchmarks.public_logs.corpus open fifth                  after their scoring: tune on them

A label.json has:

    name, source, path, commit   where the log is from
    program, file                which program wrote it, and its file here
    every, excerpt               every how many records were kept, and which part; None: all
    loss                         what the loss is, as far as the source says
    label                        healthy: nothing calls for action; sick: a good engineer would change something before
                                 the next run; undecidable: neither is clear
    kinds, reason                what is wrong, and the numbers that show it
    scored_blind                 "first" to "eighth": the scoring before which nobody had looked at it; or absent
"""

from __future__ import annotations

import argparse
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
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


def add(source: Path, half: str) -> int:
    """Add the logs of a folder, each a folder with a label.json, to a half of the archive; return how many.

    Raises:
        SystemExit: a label without its file, or a name that the corpus has.
    """
    with tempfile.TemporaryDirectory(prefix="public-logs-") as folder:
        staged = Path(folder) / "new"
        shutil.copytree(source, staged / half)
        new = [log.name for log in read(staged, half)]
        with unpacked() as logs:
            known = {log.name for log in logs}
        if double := sorted(known & set(new)):
            raise SystemExit(f"already in the corpus: {', '.join(double)}")
        _rewrite(lambda root: shutil.copytree(source, root / half, dirs_exist_ok=True))
    return len(new)


def open_held_out(scoring: str) -> None:
    """Move the logs that were held out to those that rules are tuned on, and enter their scoring in their labels."""

    def move(root: Path) -> None:
        (root / "tune").mkdir(exist_ok=True)
        for label in sorted((root / "heldout").glob("*/label.json")):
            known = json.loads(label.read_text(encoding="utf-8")) | {"scored_blind": scoring}
            label.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            label.parent.rename(root / "tune" / label.parent.name)

    _rewrite(move)


def _rewrite(change: Callable[[Path], object]) -> None:
    """Unpack the archive, change its folders, and pack them again."""
    with tempfile.TemporaryDirectory(prefix="public-logs-") as folder:
        root = Path(folder)
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(root, filter="data")
        change(root)
        pack(root)


def main() -> None:
    """Add a folder of logs, or open those that are held out."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("add", help="add a folder of logs, each a folder with a label.json")
    adding.add_argument("folder", type=Path)
    adding.add_argument("--as", dest="half", choices=HALVES, required=True)
    opening = commands.add_parser("open", help="move what is held out to the half that rules are tuned on")
    opening.add_argument("scoring", help="which blind scoring it was, such as third: `scored_blind` of the labels")
    asked = parser.parse_args()
    if asked.command == "add":
        print(f"{add(asked.folder, asked.half)} logs added as {asked.half}")
    else:
        open_held_out(asked.scoring)
    with unpacked() as found:
        print(f"{len(found)} logs in {ARCHIVE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
