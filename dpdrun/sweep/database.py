"""The journal of a sweep in a database, for workers on hosts that share no folder: `--storage postgresql://...`.

Two tables hold what the folder holds otherwise: the lines of the journal, and when each worker was last heard of, by
the clock of the server. The row of a sweep is locked for a transaction. SQLAlchemy comes with Optuna (`dpdrun[sweep]`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpdrun.errors import RunError, UnwritableError, reason_of
from dpdrun.run.files import Json, decode_numbers, encode_numbers
from dpdrun.sweep.journal import Journal
from dpdrun.sweep.presence import BEAT_S, LOST_AFTER_S, Presence

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

EXAMPLE = "postgresql://USER:PASSWORD@HOST/DATABASE"
DRIVER = "postgresql+psycopg"  # of dpdrun[sweep]
TIMEOUTS = {"connect_timeout": 10, "tcp_user_timeout": 20_000}  # of libpq [s, ms]: its defaults are many minutes


class Database:
    """The tables of sweeps in a database.

    Args:
        url: of SQLAlchemy.

    Raises:
        RunError: it is SQLite, the driver is missing, or the server cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self.engine = _connect(url)
        from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table, Text, func

        tables = MetaData()
        key = String(200)
        self.sweeps = Table("dpdrun_sweeps", tables, Column("name", key, primary_key=True))
        self.events = Table(
            "dpdrun_events", tables, Column("sweep", key, primary_key=True),
            Column("number", Integer, primary_key=True, autoincrement=False), Column("line", Text, nullable=False),
        )  # fmt: skip
        self.workers = Table(
            "dpdrun_workers", tables, Column("sweep", key, primary_key=True), Column("name", key, primary_key=True),
            Column("beat", DateTime(timezone=True), server_default=func.now(), nullable=False),
        )  # fmt: skip
        with self.transaction():
            pass  # whether there is a server
        with suppress(Exception):  # another process makes them at this moment; the first query tells what is missing
            tables.create_all(self.engine)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection in a transaction.

        Raises:
            UnwritableError: the server cannot be reached, or refuses.
        """
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            shown = self.engine.url.render_as_string(hide_password=True)
            reason = reason_of(getattr(error, "orig", None) or error)
            raise UnwritableError(f"--storage {shown}: {reason}", "check the address and the server") from error


def _connect(url: str) -> Engine:
    if url.startswith("sqlite"):
        raise RunError(
            "--storage sqlite: SQLite relies on file locks that network file systems do not keep, and loses writes of "
            "several hosts there (optuna issues 820, 6036). Hosts that share the folder need no --storage; for others "
            f"write {EXAMPLE}"
        )
    try:
        from sqlalchemy import create_engine
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    except ImportError:
        raise RunError("--storage needs SQLAlchemy: pip install 'dpdrun[sweep]'") from None
    if url.startswith("postgresql://"):  # the default driver depends on the version of SQLAlchemy
        url = url.replace("postgresql", DRIVER, 1)
    try:
        return create_engine(url, pool_pre_ping=True, connect_args=TIMEOUTS if url.startswith(DRIVER) else {})
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise RunError(f"--storage: not the address of a database; write {EXAMPLE}") from None
    except ImportError as error:
        raise RunError(f"--storage: the driver is missing ({error}): pip install 'dpdrun[sweep]'") from None


class DatabaseJournal(Journal):
    """The journal of one sweep in a database; `path` is where it would be in the folder.

    Args:
        path: in the folder of the sweep, for messages.
        database: with the tables.
        name: of the sweep there.
    """

    def __init__(self, path: Path, database: Database, name: str) -> None:
        super().__init__(path)
        self._database, self._name = database, name
        self._connection: Connection | None = None

    @property
    def exists(self) -> bool:
        """Whether the sweep was begun."""
        return bool(self.read().header)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Lock the row of the sweep, which is made, until the transaction ends.

        The server ends a transaction in which nothing happens for `LOST_AFTER_S`: of a host that was lost in it, it
        would keep the lock for hours.
        """
        from sqlalchemy import insert, select, text
        from sqlalchemy.exc import IntegrityError

        sweeps = self._database.sweeps
        row = select(sweeps.c.name).where(sweeps.c.name == self._name).with_for_update()
        with self._database.transaction() as connection:
            missing = connection.execute(row).first() is None
        if missing:
            with suppress(RunError, IntegrityError), self._database.transaction() as connection:
                connection.execute(insert(sweeps).values(name=self._name))  # or another process does
        with self._database.transaction() as connection:
            if connection.dialect.name == "postgresql":
                idle_ms = int(1000 * LOST_AFTER_S)
                connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {idle_ms}"))
            connection.execute(row)
            self._connection = connection
            try:
                yield
            finally:
                self._connection = None

    def _catch_up(self) -> None:
        from sqlalchemy import select

        events = self._database.events
        query = select(events.c.number, events.c.line).where(
            events.c.sweep == self._name, events.c.number > self._read_to
        )
        for number, line in self._select(query.order_by(events.c.number)):
            self._state.add(decode_numbers(json.loads(line)))
            self._read_to = number

    def _select(self, query: Any) -> list[Any]:
        if self._connection is not None:
            return list(self._connection.execute(query))
        with self._database.transaction() as connection:
            return list(connection.execute(query))

    def _append(self, events: list[Json]) -> None:
        from sqlalchemy import insert

        assert self._connection is not None
        rows = [
            {"sweep": self._name, "number": self._read_to + index, "line": json.dumps(encode_numbers(each))}
            for index, each in enumerate(events, start=1)
        ]
        self._connection.execute(insert(self._database.events), rows)
        self._read_to += len(rows)


class DatabasePresence(Presence):
    """The workers of a sweep in a database; those of this host also have their files in the folder.

    Args:
        folder: for those files.
        database: with the tables.
        sweep: its name there.
    """

    def __init__(self, folder: Path, database: Database, sweep: str) -> None:
        super().__init__(folder)
        self._database, self._sweep = database, sweep

    @contextmanager
    def alive(self) -> Iterator[None]:
        """As `Presence.alive`, for the other hosts too."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(BEAT_S):
                with suppress(RunError):
                    self._beat()

        self._beat()
        thread = threading.Thread(target=beat, daemon=True)
        with super().alive():
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()
                with suppress(RunError):
                    self.forget(self.name)

    def is_lost(self, name: str) -> bool:
        """Return whether a worker has ended without a word, or not been heard of for `LOST_AFTER_S`."""
        if name == self.name or self._path(name).exists():
            return super().is_lost(name)
        age = self._ages().get(name)
        return age is None or age > LOST_AFTER_S

    def forget(self, name: str) -> None:
        """Remove a lost worker."""
        from sqlalchemy import delete

        super().forget(name)
        workers = self._database.workers
        with self._database.transaction() as connection:
            connection.execute(delete(workers).where(workers.c.sweep == self._sweep, workers.c.name == name))

    def others(self) -> list[str]:
        """Return the workers that have a row, alive or lost."""
        return sorted(set(self._ages()) - {self.name})

    def _beat(self) -> None:
        from sqlalchemy import func, insert, update

        workers = self._database.workers
        own = (workers.c.sweep == self._sweep) & (workers.c.name == self.name)
        with self._database.transaction() as connection:
            if not connection.execute(update(workers).where(own).values(beat=func.now())).rowcount:
                connection.execute(insert(workers).values(sweep=self._sweep, name=self.name))

    def _ages(self) -> Mapping[str, float]:
        """Return how long ago each worker was heard of [s], by the clock of the server."""
        from sqlalchemy import func, select

        workers = self._database.workers
        query = select(workers.c.name, workers.c.beat, func.now()).where(workers.c.sweep == self._sweep)
        with self._database.transaction() as connection:
            return {name: (now - beat).total_seconds() for name, beat, now in connection.execute(query)}
