"""A PostgreSQL of a test, from the programs of this machine; in a network namespace, if one is named."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

LIMIT_S = 60


@contextmanager
def postgres(address: str = "127.0.0.1", namespace: str = "") -> Iterator[str]:
    """Start a server that trusts everybody, and yield the URL of a database; skip the test where there is none."""
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
    as_user = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups") if os.geteuid() == 0 else ()
    where = ("ip", "netns", "exec", namespace) if namespace else ()
    data = place / "data"
    try:
        subprocess.run([*as_user, programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres"], check=True,
                       cwd="/", capture_output=True)  # fmt: skip
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {address}/24 trust\n")
        command = [programs / "postgres", "-D", data, "-p", str(port), "-k", place, "-h", address, "-c", "fsync=off"]
        process = subprocess.Popen([*where, *as_user, *command], cwd="/", stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)  # fmt: skip
        try:
            ready = [*as_user, programs / "pg_isready", "-q", "-h", place, "-p", str(port)]
            limit = time.monotonic() + LIMIT_S
            while subprocess.run(ready, cwd="/", check=False).returncode:
                assert process.poll() is None, "the server has ended"
                assert time.monotonic() < limit, "the server does not start"
                time.sleep(0.1)
            yield f"postgresql://postgres@{address}:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(LIMIT_S)
    finally:
        shutil.rmtree(place, ignore_errors=True)
