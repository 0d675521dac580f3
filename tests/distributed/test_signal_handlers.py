"""Handlers that are put in place of others, and taken back."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dpdrun.distributed.signal_handlers import handling


def test_a_signal_is_ours_inside_the_block_and_whose_it_was_after_it() -> None:
    before, came = signal.getsignal(signal.SIGTERM), []
    with pytest.raises(KeyError), handling({signal.SIGTERM: lambda number, _: came.append(number)}):  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        raise KeyError
    assert came == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with handling({signal.SIGTERM: lambda *_: pytest.fail("heard")}):
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_nothing_is_changed() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with handling({signal.SIGTERM: lambda *_: None}):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGTERM")
@pytest.mark.parametrize("complete", [False, True])
def test_a_command_that_ends_at_once_leaves_no_part_of_a_file(complete: bool, tmp_path: Path) -> None:
    code = f"""
import signal
from pathlib import Path
from dpdrun.distributed.signal_handlers import listen
from dpdrun.run.files import replacing, write_text
listen()
if {complete}:
    write_text(Path("first"), "all of it")
with replacing(Path("second")) as temporary:
    temporary.write_text("half of it")
    signal.raise_signal(signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 75
    assert [path.name for path in tmp_path.iterdir()] == ["first"] * complete
    what = "some files were written, each of them complete" if complete else "nothing was written"
    assert done.stderr == f"stopped by SIGTERM; {what}; give the same command again\n"
