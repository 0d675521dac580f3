"""dpdrun's own launcher, with processes that only say what they were told; tests/test_launchers.py trains for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dpdrun.commands import app
from dpdrun.distributed import launcher as launching
from dpdrun.distributed.launcher import Hosts, is_distributed, is_silenced, launch, rank_and_world_size
from dpdrun.errors import RunError

ROOT = Path(__file__).parents[2]
TOLD = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
WAIT_S = 600  # for what takes a second: ends a hang, however slow the machine

# `launch` with CODE as the program, in which `rank` is known and `ready()` tells the test to continue. A process
# that is slow to start gets no SIGTERM because another has failed: that is for tests/test_launch_ends.py.
DRIVER = """
import sys
from dpdrun.distributed import launcher as launch
launch.PROGRAM = (sys.executable, "-c", sys.argv[2])
launch.NOTICE_S, launch.GRACE_S = 1000.0, float(sys.argv[4])
sys.exit(launch.launch(launch.Hosts(int(sys.argv[1])), [sys.argv[3]]))
"""
HEAD = """
import os, pathlib, signal, sys, time
rank = int(os.environ["RANK"])
def ready():
    (pathlib.Path(sys.argv[1]) / str(rank)).touch()
"""


def start(code: str, folder: Path, *, processes: int = 2, grace_s: float = WAIT_S) -> subprocess.Popen[str]:
    program = [sys.executable, "-c", DRIVER, str(processes), HEAD + code, str(folder), str(grace_s)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


def wait_until(told: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not told():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it does not get ready"
        time.sleep(0.01)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code and output."""
    try:
        out, err = process.communicate(timeout=WAIT_S)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("where", "why"),
    [
        (Hosts(1, 2, 2, "a:1"), "--rank 2: with --hosts 2 the ranks are 0 to 1"),
        (Hosts(1, 1, 1), "--rank 1: with --hosts 1"),
        (Hosts(1, 2), "--hosts 2 needs --rendezvous HOST:PORT"),
        *((Hosts(1, 2, 0, bad), f"--rendezvous {bad}: expected HOST:PORT") for bad in ("a", "a:", ":1", "a:0", "a:x")),
        (Hosts(1, 2, 0, "10.0.0.1:65536"), "expected HOST:PORT"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_places_that_cannot_be_meant_are_refused(where: Hosts, why: str) -> None:
    with pytest.raises(RunError, match=why):
        where.check()


def test_where_to_meet(tmp_path: Path) -> None:
    assert Hosts(2, 2, 1, "[fd00::1]:29500").meeting(tmp_path) == {"MASTER_ADDR": "fd00::1", "MASTER_PORT": "29500"}
    assert Hosts(2).meeting(tmp_path)[launching.STORE_VARIABLE] == str(tmp_path / "store")


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"WORLD_SIZE": "2"}, "RANK, MASTER_ADDR, MASTER_PORT is not set"),
        ({"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "below the number of processes"),
        ({"WORLD_SIZE": "two", "RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "below the number of processes"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["train", "dry run"])
def test_half_an_environment_is_refused(variables: dict[str, str], why: str, dry: list[str]) -> None:
    result = CliRunner().invoke(app, ["train", "none.yaml", *dry], env=variables)
    assert result.exit_code == 2
    assert why in " ".join(result.stderr.split())


VALID = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("RANK", "\u00b2"), ("RANK", "9" * 5000), ("WORLD_SIZE", "x"), ("WORLD_SIZE", "-1"), ("MASTER_PORT", "99999"),
     ("MASTER_PORT", "http")],
)  # fmt: skip
def test_variables_of_a_launcher_are_checked(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, text in (VALID | {name: value}).items():
        monkeypatch.setenv(variable, text)
    with pytest.raises(RunError, match=name):
        rank_and_world_size()


@pytest.mark.parametrize("text", ["abc", "nan", "inf", "1e300", "-1", "0", ""])
def test_a_timeout_is_a_time(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match="--timeout is"):
        launching.timeout_s(text)
    monkeypatch.setenv(launching.TIMEOUT_VARIABLE, text)
    with pytest.raises(RunError, match=launching.TIMEOUT_VARIABLE):
        launching.timeout_s()


def test_whole_numbers_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launching.whole_of("LOCAL_WORLD_SIZE_OF_A_TEST", 3) == 3
    for text in ("x", "\u00b2", "-1", "1.5", "9" * 5000, ""):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", text)
        with pytest.raises(RunError, match="LOCAL_WORLD_SIZE is"):
            launching.whole_of("LOCAL_WORLD_SIZE", 1)


def test_the_place_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (rank_and_world_size(), is_distributed(), is_silenced()) == ((0, 1), False, False)
    for name, value in {"WORLD_SIZE": "3", "RANK": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert (rank_and_world_size(), is_distributed(), is_silenced()) == ((2, 3), True, True)
    monkeypatch.setenv("WORLD_SIZE", "1")  # as torchrun --nproc-per-node 1
    assert (is_distributed(), is_silenced()) == (False, False)


def test_each_process_gets_its_rank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import os, pathlib, sys; folder, *names = sys.argv[1:]; "
        "pathlib.Path(folder, os.environ['RANK']).write_text(' '.join(os.environ[n] for n in names)); print('said')"
    )
    monkeypatch.setattr(launching, "PROGRAM", (sys.executable, "-c", code))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert launch(Hosts(2, 2, 1, "10.0.0.1:29500"), [str(tmp_path), *TOLD]) == 0
    told = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert told == {"2": "2 0 4 2 10.0.0.1 29500 3", "3": "3 1 4 2 10.0.0.1 29500 3"}
    assert capfd.readouterr().out == "host 1 of 2: the output is on 10.0.0.1:29500\n"  # and nothing of its processes


def test_only_the_first_process_talks(tmp_path: Path) -> None:
    code, out, err = ended(start("print(rank); print('oh', rank, file=sys.stderr)", tmp_path))
    assert (code, out, err) == (0, "0\n", "oh 0\n")


@pytest.mark.parametrize(
    ("codes", "wanted"), [((0, 0), 0), ((2, 2), 2), ((0, 2), 2), ((75, 1), 75), ((0, -9), 75), ((75, -9), 75)], ids=str
)
def test_the_exit_code_is_that_of_the_run(codes: tuple[int, int], wanted: int, tmp_path: Path) -> None:
    """A negative code: killed by that signal."""
    own = f"code = {codes}[rank]; os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)"
    found, _, err = ended(start(own, tmp_path))
    assert found == wanted
    assert ("error: process 1 on this host was killed by SIGKILL" in err) is (codes[1] == -9)


def test_what_the_first_that_fails_says_is_shown(tmp_path: Path) -> None:
    code, out, err = ended(start("sys.exit('no such file') if rank else time.sleep(600)", tmp_path, grace_s=0.1))
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "no such file",
        "error: process 0 on this host was still running 0.1 s after another failed, and was killed",
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_every_process_and_all_have_time_to_save(number: signal.Signals, tmp_path: Path) -> None:
    code = """
def save(number, frame):
    (pathlib.Path(sys.argv[1]) / f"{rank} saved").write_text(str(number))
    sys.exit({signal.SIGTERM: 75, signal.SIGINT: 130}[number])
signal.signal(signal.SIGTERM, save); signal.signal(signal.SIGINT, save)
ready()
while True: time.sleep(1)
"""
    process = start(code, tmp_path)
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2, process)
    process.send_signal(number)
    assert ended(process) == ({signal.SIGTERM: 75, signal.SIGINT: 130}[number], "", "")
    assert [(tmp_path / f"{rank} saved").read_text() for rank in (0, 1)] == [str(int(number))] * 2


@pytest.mark.parametrize(("number", "wanted"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_before_anybody_listens_ends_the_run_as_one_that_was_heard(
    number: signal.Signals, wanted: int, tmp_path: Path
) -> None:
    code = "signal.signal(signal.SIGINT, signal.SIG_DFL); ready()\nwhile True: time.sleep(1)"
    process = start(code, tmp_path)
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2, process)
    process.send_signal(number)
    found, _, err = ended(process)
    assert found == wanted
    assert err.splitlines() == [
        f"process {k} on this host was ended by {number.name} outside the training" for k in (0, 1)
    ]


def test_a_process_gets_the_signals_that_came_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "PROGRAM", (sys.executable, "-c", "import time; time.sleep(600)"))
    workers = launching._Workers(tmp_path, 1)
    workers.forward(signal.SIGTERM, None)
    workers.start([], dict(os.environ), inherits_stdio=True)
    assert workers.wait() == 75


def test_processes_that_crash_were_lost_and_have_no_findings(tmp_path: Path) -> None:
    code, _, err = ended(start("os.kill(os.getpid(), signal.SIGSEGV)", tmp_path))
    assert code == 75
    assert "error: process 0 on this host was killed by SIGSEGV\n" in err


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_when_the_launcher_is_killed_its_processes_get_sigterm(tmp_path: Path) -> None:
    code = """
def save(number, frame):
    (pathlib.Path(sys.argv[1]) / f"{rank} saved").touch()
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
from dpdrun.distributed.launcher import follow_launcher
follow_launcher()
ready()
while True: time.sleep(1)
"""
    process = start(code, tmp_path)
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2, process)
    process.kill()
    ended(process)
    saved = [tmp_path / f"{rank} saved" for rank in (0, 1)]
    deadline = time.monotonic() + WAIT_S
    while not all(path.exists() for path in saved):
        assert time.monotonic() < deadline, "they go on"
        time.sleep(0.01)


def test_a_reader_that_goes_away_stops_nothing(tmp_path: Path) -> None:
    code = """
ready()
while not (pathlib.Path(sys.argv[1]) / "closed").exists(): time.sleep(0.01)
try: print("x" * 100_000, flush=True)
except BrokenPipeError: os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
"""
    process = start(code, tmp_path)
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2, process)
    assert process.stdout is not None
    process.stdout.close()
    (tmp_path / "closed").touch()
    process.stdout = None
    assert ended(process)[0] == 0


def test_the_launcher_loads_no_torch(recipe: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from dpdrun.distributed import launcher; launcher.PROGRAM = (sys.executable, '-c', ''); "
        "from dpdrun.commands import app; app(standalone_mode=False); assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "train", str(recipe), "--processes", "2", "--run-dir", str(tmp_path / "run")],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture
def recipe() -> Path:
    return ROOT / "recipes" / "quickstart.yaml"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--hosts", "2"], "--hosts 2 needs --rendezvous HOST:PORT"),
        (["--hosts", "2", "--rank", "2", "--rendezvous", "a:1"], "with --hosts 2 the ranks are 0 to 1"),
        (["--hosts", "2", "--rendezvous", "10.0.0.1"], "expected HOST:PORT"),
        (["--rank", "-1"], "greater than or equal to 0"),
        (["--processes", "0"], "greater than or equal to 1"),
        (["--timeout", "0"], "greater than or equal to 1"),
        (["--processes", "3", "--dry-run"], "does not divide evenly by 3 processes; nearest that do: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_flags_that_cannot_be_meant_exit_2(
    arguments: Any, why: str, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["train", str(recipe), *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert why in result.stderr
    assert list(tmp_path.iterdir()) == []
