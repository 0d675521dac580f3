"""How problems are shown."""

from __future__ import annotations

import pytest

from dpdrun.recipe.problems import Mark, Problem, closest, listed, recipe_error


def test_the_caret_points_at_the_place() -> None:
    problem = Problem("optim.warm_up", "unknown key", Mark("r.yaml", 6, 3, 7, "  warm_up: 5%"))
    assert str(problem) == "r.yaml:6:3: unknown key\n    6 |   warm_up: 5%\n      |   ^~~~~~~"


@pytest.mark.parametrize("before", ["\t\t", "x" * 300, "\x1b[31m"])
def test_the_caret_points_at_the_place_after_tabs_long_lines_and_control_characters(before: str) -> None:
    line = before + "KEY" + "y" * 300
    shown = str(Problem("", "m", Mark("r.yaml", 1, len(before) + 1, 3, line))).splitlines()
    assert shown[1][shown[2].index("^") :].startswith("KEY")
    assert shown[2].count("~") == 2
    assert max(map(len, shown)) < 130
    assert "\x1b" not in "".join(shown)


def test_a_width_beyond_the_line_is_cut() -> None:
    assert str(Problem("", "m", Mark("r", 1, 1, 99, "ab"))).endswith("| ^~")


def test_places_without_a_line_show_no_source() -> None:
    assert str(Problem("", "m", Mark("--set a=b"))) == "--set a=b: m"


def test_errors_come_in_the_order_of_the_file_overrides_last_and_once_each() -> None:
    marks = [Mark("--set a=1"), Mark("r", 10, 1), Mark("r", 2, 9), Mark("r", 2, 1), Mark("r", 2, 1)]
    error = recipe_error(Problem("", "m", mark) for mark in marks)
    assert str(error).splitlines() == ["r:2:1: m", "r:2:9: m", "r:10:1: m", "--set a=1: m"]


def test_closest_and_listed() -> None:
    assert closest("Warm_Up", ["warmup", "lr"]) == "warmup"
    assert closest("zzz", ["warmup", "lr"]) is None
    assert closest("x", []) is None
    assert [listed([]), listed(["a"]), listed(["a", "b"]), listed("abc", "and")] == ["", "a", "a or b", "a, b and c"]
