"""Compilers that are here: tests skip, with the reason, for those that are not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dpdrun.export.c.compiler import Compiler

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror")


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Compiler]:
    """Return a compiler by its command, with every warning an error."""
    monkeypatch.delenv("CC", raising=False)

    def of(*command: str, flags: tuple[str, ...] = ("-O1",), runner: tuple[str, ...] = ()) -> Compiler:
        for name in (command[0], *runner[:1]):
            if shutil.which(name) is None:
                pytest.skip(f"needs {name}")
        return Compiler(command, ("-std=c99", *STRICT, *flags), runner)

    return of


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without a C compiler."""
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


# Programs for other machines are linked statically, so that qemu needs none of their libraries
OTHERS = {
    "clang": (("clang",), ("-O2",), ()),
    "gcc -O0": (("gcc",), ("-O0",), ()),
    "gcc -O3": (("gcc",), ("-O3", "-march=native"), ()),
    "sanitizers": (("gcc",), ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"), ()),
    "valgrind": (("gcc",), ("-O1", "-g"), ("valgrind", "--quiet", "--error-exitcode=1")),
    "aarch64": (("aarch64-linux-gnu-gcc", "-static"), ("-O2",), ("qemu-aarch64",)),
    "arm": (("arm-linux-gnueabihf-gcc", "-static"), ("-O2",), ("qemu-arm",)),
}


@pytest.fixture(params=OTHERS)
def other(request: pytest.FixtureRequest, compiler: Callable[..., Compiler]) -> Compiler:
    """Another compiler, other options, or another machine."""
    command, flags, runner = OTHERS[request.param]
    return compiler(*command, flags=flags, runner=runner)
