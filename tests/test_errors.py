"""Errors for the user and their exit codes."""

from __future__ import annotations

import errno
import os
import re

import numpy as np
import pytest
import torch

from dpdrun import errors


def test_exit_codes_are_those_of_the_documentation() -> None:
    codes = (
        errors.EXIT_DONE,
        errors.EXIT_FINDINGS,
        errors.EXIT_BAD_INPUT,
        errors.EXIT_BUG,
        errors.EXIT_STOPPED,
        errors.EXIT_INTERRUPTED,
    )
    assert codes == (0, 1, 2, 70, 75, 130)


def test_every_error_is_caught_as_one_and_bad_input_exits_2() -> None:
    assert len(errors.DpdrunError.__subclasses__()) >= 4
    for error in (errors.RecipeError, errors.DataError, errors.RunError):
        assert issubclass(error, errors.DpdrunError)
        assert error("x").exit_code == 2
    assert errors.StoppedError("x").exit_code == 75
    assert errors.FindingError("x").exit_code == 1


def test_messages_print_no_control_characters() -> None:
    shown = str(errors.DataError("a\x1b[31mb\u202e\ud800.npz: no such file\n  second line, \u00e9"))
    assert shown == "a\\x1b[31mb\\u202e\\ud800.npz: no such file\n  second line, \u00e9"


def test_a_line_of_thousands_of_characters_is_cut_in_its_middle() -> None:
    text = str(errors.DataError("x" * 5000 + ": no such file\n  and " + "y" * 900))
    first, second = text.split("\n")
    assert (len(first), len(second)) == (1005, 906)
    assert re.fullmatch(r"x{500} \.\.\. x{486}: no such file", first)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENAMETOOLONG, "use a shorter path"),
        (errno.ENOSPC, "make room on its disk"),
        (errno.EACCES, "change its permissions, or use another path"),
        (errno.ENOENT, "check the path; it may have been moved or removed meanwhile"),
    ],
)
def test_an_error_of_the_system_is_its_path_and_a_remedy(number: int, remedy: str) -> None:
    shown = errors.explained(OSError(number, os.strerror(number), "a\x1b.npz"))
    assert str(shown) == f"a\\x1b.npz: {os.strerror(number)}; {remedy}"
    assert shown is not None
    assert shown.exit_code == 2


def test_an_error_of_the_system_without_a_number_or_a_path() -> None:
    assert str(errors.explained(OSError("Matplotlib requires a folder"))) == "Matplotlib requires a folder"
    nowhere = errors.explained(FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"))
    assert str(nowhere) == (
        "operating system: No usable temporary directory found in ['/tmp']; set TMPDIR to a folder that can be written"
    )


def test_memory_that_runs_out_names_what_was_asked_for() -> None:
    with pytest.raises(MemoryError) as caught:
        np.zeros(10**15)
    assert "Unable to allocate 7.11 PiB for an array" in str(errors.explained(caught.value))
    with pytest.raises(RuntimeError) as caught_of_torch:
        torch.zeros(10**15)
    assert "allocate" in str(errors.explained(caught_of_torch.value))
    assert "an object could not be allocated" in str(errors.explained(MemoryError()))
    loader = ImportError("libtorch_cpu.so: failed to map segment from shared object")
    assert str(errors.explained(loader)).startswith("out of memory: libtorch_cpu.so: failed to map")
    assert errors.explained(ImportError("no module named x")) is None


def test_a_variable_that_a_library_does_not_understand_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ValueError("The value of TORCH_DISTRIBUTED_DEBUG must be OFF, INFO or DETAIL")
    assert errors.explained(refused) is None
    monkeypatch.setenv("TORCH_DISTRIBUTED_DEBUG", "bogus")
    assert (
        str(errors.explained(refused))
        == f"environment variable TORCH_DISTRIBUTED_DEBUG: {refused}; correct or unset it"
    )


def test_the_function_that_asked_for_memory_is_named() -> None:
    with pytest.raises(MemoryError) as caught:
        errors.printable(_Exhausting())  # type: ignore[arg-type]
    assert str(errors.explained(caught.value)).startswith("out of memory in errors.printable: ")


class _Exhausting:
    def __iter__(self) -> None:
        raise MemoryError


@pytest.mark.parametrize("error", [KeyError("x"), ValueError(), RuntimeError("shape")])
def test_anything_else_is_a_bug(error: Exception) -> None:
    assert errors.explained(error) is None
