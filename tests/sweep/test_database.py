"""The journal in a database: the same as in the folder, and what is refused."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dpdrun.errors import RunError, UnwritableError
from dpdrun.sweep import database
from dpdrun.sweep.database import Database, DatabaseJournal, DatabasePresence
from dpdrun.sweep.points import Point, Trial
from tests.commands_run import DPDRUN, ended, small_recipe, started
from tests.postgres import postgres

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
def server() -> Iterator[str]:
    """The address of a PostgreSQL."""
    with postgres() as address:
        yield address


@pytest.mark.slow
def test_a_host_that_is_lost_in_a_transaction_does_not_block_the_others(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOST_AFTER_S", 1)
    databases = [Database(server) for _ in range(2)]
    lost, other = (DatabaseJournal(tmp_path / "journal.jsonl", each, "blocked") for each in databases)

    def both() -> None:
        with lost.transaction() as held:
            held.add("sweep", recipe="lost")
            with other.transaction() as now:  # waits until the server ends the session of the first
                now.add("sweep", recipe="other")

    with pytest.raises(UnwritableError, match="--storage postgresql"):
        both()
    assert lost.read().header["recipe"] == "other"
    for each in databases:
        each.engine.dispose()


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
