"""The command line shares the cores of a machine with other programs."""

from __future__ import annotations

import os

import pytest

from dpdrun import commands

NAMES = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}),
        ({"OMP_NUM_THREADS": "4"}, {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "4"}),
        ({"OPENBLAS_NUM_THREADS": "2"}, {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "2"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE", "OPENBLAS_NUM_THREADS": "1"}),
    ],
)
def test_idle_threads_sleep_and_numpy_has_one_unless_the_user_says_otherwise(
    given: dict[str, str], wanted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is restored, even if the code sets it
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    commands._share_cores()
    assert {name: os.environ[name] for name in NAMES if name in os.environ} == wanted
