"""Errors for the user and their exit codes."""

from __future__ import annotations

from dpdrun import errors


def test_exit_codes_are_those_of_the_documentation() -> None:
    codes = (
        errors.EXIT_DONE,
        errors.EXIT_FINDINGS,
        errors.EXIT_BAD_INPUT,
        errors.EXIT_STOPPED,
        errors.EXIT_INTERRUPTED,
    )
    assert codes == (0, 1, 2, 75, 130)


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
