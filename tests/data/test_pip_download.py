from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from dpdrun.data import pip_download
from dpdrun.errors import DataError, UnwritableError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-in for pip is a shell script")


def accept(path: Path) -> None:
    assert path.exists()


def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str) -> Path:
    """Put a script in the place of `python -P -m pip`; its arguments land in args.txt, `$dest` is the --dest folder."""
    script = tmp_path / "python"
    dest = 'while [ "$1" != "--dest" ]; do shift; done; dest="$2"'
    script.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/args.txt"\n{dest}\n{body}\n', encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(script))
    return tmp_path / "args.txt"


def download(target: Path, check: object = accept) -> None:
    pip_download.download("thing==1", "thing.whl", target, check=check, total_bytes=3, by_hand="DO THIS BY HAND")  # type: ignore[arg-type]


def test_the_file_arrives_and_nothing_else_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arguments = stand_in(monkeypatch, tmp_path, 'echo abc > "$TMPDIR/partial"; sleep 0.5; echo abc > "$dest/thing.whl"')
    target = tmp_path / "cache" / "deep" / "thing.whl"
    download(target)
    assert target.read_text(encoding="utf-8") == "abc\n"
    assert list(target.parent.iterdir()) == [target]
    given = arguments.read_text(encoding="utf-8").split()
    assert given[:4] == ["-P", "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary", ":all:", "thing==1"} <= set(given)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "echo 'ERROR: no route to host' >&2; exit 1",
            r"(?s)could not fetch thing==1.*no route to host.*DO THIS BY HAND",
        ),
        ("echo 'No module named pip' >&2; exit 1", r"(?s)No module named pip.*DO THIS BY HAND"),
        ('echo abc > "$dest/other.whl"', r"pip left other\.whl instead of thing\.whl"),
    ],
)
def test_failures_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, message: str) -> None:
    stand_in(monkeypatch, tmp_path, body)
    target = tmp_path / "cache" / "thing.whl"
    with pytest.raises(DataError, match=message):
        download(target)
    assert list(target.parent.iterdir()) == []


def test_a_file_that_fails_its_check_is_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(monkeypatch, tmp_path, 'echo abc > "$dest/thing.whl"')

    def refuse(path: Path) -> None:
        raise DataError("wrong hash")

    target = tmp_path / "cache" / "thing.whl"
    with pytest.raises(DataError, match="wrong hash"):
        download(target, refuse)
    assert list(target.parent.iterdir()) == []


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(monkeypatch, tmp_path, "exit 0")
    (tmp_path / "cache").write_text("a file, not a folder", encoding="utf-8")
    with pytest.raises(UnwritableError, match=r"thing\.whl: cannot write"):
        download(tmp_path / "cache" / "thing.whl")


def test_an_interrupt_ends_pip_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(monkeypatch, tmp_path, f'echo $$ > "{tmp_path}/pid"; exec sleep 60')

    def interrupt(folder: Path) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(pip_download, "_size", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download(tmp_path / "cache" / "thing.whl")
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
