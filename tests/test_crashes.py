"""Inputs that once ended a reader in something else than a message for the user (tests/fuzz.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import CRASHES, READERS, check

FOUND = sorted(path.relative_to(CRASHES).as_posix() for path in CRASHES.glob("*/*"))


@pytest.mark.parametrize("name", READERS)
def test_valid_files_are_read(name: str, tmp_path: Path) -> None:
    for seed in READERS[name].seeds():
        check(name, seed, tmp_path)


@pytest.mark.parametrize("found", FOUND)
def test_what_fuzzing_found_is_read_or_refused(found: str, tmp_path: Path) -> None:
    check(found.partition("/")[0], (CRASHES / found).read_bytes(), tmp_path)
