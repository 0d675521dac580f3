"""The journal in a database: the same as in the folder, and what is refused."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dpdrun.errors import RunError
from dpdrun.sweep import database
from dpdrun.sweep.database import Database, DatabaseJournal, DatabasePresence
from dpdrun.sweep.points import Point, Trial
from tests.commands_run import DPDRUN, ended, small_recipe, started

POINT = Point({"optim.lr": "1e-3"}, {"optim.lr": 1e-3}, (Trial("a", 0, ()), Trial("b", 1, ())), "sha")


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The tables in SQLite, which one process may use."""
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{tmp_path / 'tables.db'}")
    monkeypatch.setattr(database, "_connect", lambda url: engine)
    yield Database("any")
    engine.dispose()


def test_a_journal_in_tables_is_as_one_in_a_folder(tables: Database, tmp_path: Path) -> None:
    one, other = (DatabaseJournal(tmp_path / "journal.jsonl", tables, "sweep") for _ in range(2))
    assert not one.exists
    with one.transaction() as now:
        now.add("sweep", recipe="small")
        now.add("point", point=POINT.to_json())
    assert other.exists
    with other.transaction() as now:
        now.add("claim", id="a", worker="w")
    assert one.read().trials["a"].status == "running"
    with pytest.raises(KeyError), one.transaction() as now:
        _ = now.add("claim", id="b", worker="w"), {}["nothing"]
    assert one.read().count("pending") == 1
    with one.transaction() as now:
        now.add("finished", id="a", worker="w", report={"parameters": 3})
    assert other.read().trials["a"].report == {"parameters": 3}
    apart = DatabaseJournal(tmp_path / "journal.jsonl", tables, "another sweep")
    assert apart.read().trials == {}


def test_workers_of_another_host_are_known_by_the_table(
    tables: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (DatabasePresence(tmp_path / name, tables, "sweep") for name in ("here", "there"))
    monkeypatch.setattr(there, "_ages", lambda: {here.name: 3.0, "late": 41.0})
    assert [there.is_lost(name) for name in (here.name, "late", "gone")] == [False, True, True]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite:///sweep.db", "--storage sqlite: SQLite relies on file locks"),
        ("postgresql://nobody:secret@127.0.0.1:1/none", "--storage postgresql+psycopg://nobody:***@127.0.0.1:1/none: "),
        ("nonsense", "--storage: not the address of a database; write postgresql://"),
        ("nosuch://host/x", "--storage: not the address of a database; write postgresql://"),
    ],
)
def test_what_is_no_storage(url: str, why: str) -> None:
    with pytest.raises(RunError) as error:
        Database(url)
    assert str(error.value).startswith(why)
    assert "secret" not in str(error.value)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL of this test; gives its address."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin/postgres"), *filter(None, [shutil.which("postgres")])]
    if not found:
        pytest.skip("needs PostgreSQL")
    programs = Path(found[0]).resolve().parent
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name  # which root must not be
    try:
        pwd.getpwnam(user)
    except KeyError:
        pytest.skip("needs a user postgres")
    place = Path(f"/tmp/dpdrun-postgres-{os.getpid()}")  # its socket has a short path, and its user may enter it
    place.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(place, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    as_user = {"user": user} if os.geteuid() == 0 else {}
    data = place / "data"
    subprocess.run([programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres"], check=True, cwd="/",
                   capture_output=True, **as_user)  # fmt: skip
    process = subprocess.Popen(
        [programs / "postgres", "-D", data, "-p", str(port), "-k", place, "-c", "fsync=off"], cwd="/",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_user,
    )  # fmt: skip
    try:
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        time.sleep(1.0)
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.slow
def test_two_hosts_without_a_common_folder(server: str, tmp_path: Path) -> None:
    """Each has its own folder: every trial is run once, and the results of both hold all of them."""
    words = (*DPDRUN, "sweep", "small.yaml", "--over", "model.d_model=4,6,8,10", "--seeds", "2", "--worker",
             "--run-dir", "sweeps/one", "--storage", server)  # fmt: skip
    hosts = [tmp_path / name for name in ("left", "right")]
    for host in hosts:
        host.mkdir()
        small_recipe(host, steps=40, every=20)
    for each in [started(*words, cwd=host) for host in hosts]:
        code, out, err = ended(each)
        assert code == 0, out + err
    made = [{path.name for path in (host / "sweeps" / "one" / "trials").iterdir()} for host in hosts]
    assert made[0].isdisjoint(made[1])
    assert len(made[0] | made[1]) == 8
    assert all(made), "both have worked"
    show = (*DPDRUN, "sweep", "show", "sweeps/one", "--storage", server, "--format", "json")
    contents = [json.loads(ended(started(*show, cwd=host))[1]) for host in hosts]
    assert contents[0]["points"] == contents[1]["points"]
    assert contents[0]["trials"]["finished"] == 8
    assert all(each["test_db"] for each in contents[0]["points"] if each["on_front"])


@pytest.mark.slow
def test_a_killed_worker_is_noticed_by_the_other_host(server: str, tmp_path: Path) -> None:
    def poll(is_so: Callable[[], bool]) -> None:
        while not is_so():
            time.sleep(0.1)

    words = (*DPDRUN, "sweep", "small.yaml", "--over", "model.d_model=8", "--worker", "--storage", server,
             "--run-dir", "sweeps/killed")  # fmt: skip
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        small_recipe(tmp_path / name, steps=3000, every=1000)
    lost = started(*words, cwd=tmp_path / "left")
    trials = tmp_path / "left" / "sweeps" / "killed" / "trials"
    poll(lambda: any(path.stat().st_size for path in trials.glob("*/metrics.jsonl")))
    lost.kill()
    assert ended(lost)[0] == -signal.SIGKILL
    began = time.monotonic()
    other = started(*words, cwd=tmp_path / "right")
    poll(lambda: any((tmp_path / "right" / "sweeps" / "killed" / "trials").glob("*/plan.json")))
    print(f"given back after {time.monotonic() - began:.0f} s")
    assert len(list((tmp_path / "left" / "sweeps" / "killed" / "trials").iterdir())) == 1
    other.send_signal(signal.SIGTERM)
    assert ended(other)[0] == 75
