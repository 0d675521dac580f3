"""One file of a package index, downloaded by the user's pip, that appears complete or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dpdrun.errors import DataError
from dpdrun.run.files import unwritable

POLL_S = 0.2
SHOWN_LINES = 4


def download(
    requirement: str, file_name: str, target: Path, *, check: Callable[[Path], None], total_bytes: int, by_hand: str
) -> None:
    """Run `pip download` into a temporary folder next to `target`, verify the file, and move it into place.

    Args:
        requirement: exact, such as `opendpd==2.4.2`.
        file_name: the file that pip is expected to leave.
        target: final path; another process may have made it meanwhile.
        check: raises DataError if the file is not the right one.
        total_bytes: for the progress bar.
        by_hand: what to do without a network; ends the error message.

    Raises:
        DataError: no pip, no network, or not the expected file.
        UnwritableError: `target` cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as folder:
            _run_pip(requirement, Path(folder), total_bytes, by_hand)
            file = Path(folder) / file_name
            if not file.exists():
                there = ", ".join(sorted(p.name for p in Path(folder).glob("*.whl"))) or "nothing"
                raise DataError(f"pip left {there} instead of {file_name}; {by_hand}")
            check(file)
            file.replace(target)
    except OSError as error:
        raise unwritable(target, error) from None


def _run_pip(requirement: str, folder: Path, total_bytes: int, by_hand: str) -> None:
    # -P: a file of the user called pip.py or similar in the current folder must not be run instead.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--dest", str(folder), requirement]
    # pip downloads to the temporary folder first; there the progress can be watched, and it goes with the folder.
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    piped = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    )
    with piped as process, _progress(f"downloading {requirement}", total_bytes) as show:
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    show(_size(folder))
        except BaseException:  # Ctrl-C: do not leave pip running
            process.terminate()
            raise
    if process.returncode != 0:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        output = "\n    ".join(errors[-SHOWN_LINES:])
        raise DataError(f"pip could not fetch {requirement}:\n    {output}\n{by_hand}")


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # pip moves its files while we look
            continue
    return total


@contextmanager
def _progress(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr if it is a terminal, else one line."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"{text} ({total / 1e6:.0f} MB)", highlight=False)
        yield lambda _: None
        return
    with Progress(TextColumn(text), BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console) as progress:
        task = progress.add_task(text, total=total)
        yield lambda done: progress.update(task, completed=min(done, total))
        progress.update(task, completed=total)
