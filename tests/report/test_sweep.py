"""A sweep on the terminal and as a page: what is said about its gain, what is shown, and that names stay text."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from dpdrun.report.sweep import gain_sentence, ordered_points, sweep_view
from dpdrun.report.sweep_page import sweep_page


def mean(value: float, half: float | None = None) -> dict[str, Any]:
    low, high = (None, None) if half is None else (value - half, value + half)
    return {"mean": value, "low": low, "high": high, "seeds": 1 if half is None else 3}


def point(number: int, lr: Any, nmse: float | None, **more: Any) -> dict[str, Any]:
    objectives = {} if nmse is None else {"val_nmse_db": mean(nmse, 0.5), "parameters": mean(100.0 * number + 50)}
    trial = {"id": f"t{number}", "seed": 0, "status": "finished", "reason": ""}
    return {
        "number": number, "rules": number == 0, "status": "finished", "reason": "", "config": {"optim.lr": str(lr)},
        "values": {"optim.lr": lr}, "objectives": objectives, "test_db": None, "on_front": False, "trials": [trial],
    } | more  # fmt: skip


def content(*points: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": "s", "over": {"optim.lr": "log:1e-3..1e-1:3"}, "seeds": [0, 1, 2], "objectives": ["val_nmse_db"],
        "search": "grid", "trials": {"pending": 0, "running": 0, "finished": 3, "failed": 0, "pruned": 0},
        "core_hours": 2.0, "points": list(points), "front": [1], "left_out": [],
        "gain": {"best": 1, "rules": 0, "score": "val_nmse_db", "val": mean(1.0, 0.2), "test": mean(0.8, 0.3)},
    } | more  # fmt: skip


POINTS = (point(0, 0.07, -30.0), point(1, 0.02, -31.0, on_front=True), point(2, 0.5, None, status="pruned", reason="x"))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({}, "the search gained 0.80 dB on test (95 % interval 0.50 to 1.10 dB over 3 seeds) over the rules for 2.00 "
             "core-hours (chosen on val: 1.00 dB): point 1 against point 0"),
        ({"gain": {"best": 1, "rules": 0, "val": mean(1.0, 1.5), "test": None}},
         "the search gained 1.00 dB on val (95 % interval -0.50 to 2.50 dB over 3 seeds, which includes 0) over the "
         "rules for 2.00 core-hours: point 1 against point 0"),
        ({"gain": {"best": 1, "rules": 0, "val": mean(1.0), "test": None}, "core_hours": 0.01},
         "the search gained 1.00 dB on val (one seed: no interval) over the rules for 0:36 of a core: point 1 against "
         "point 0"),
        ({"gain": {"best": 0, "rules": 0, "val": mean(0.0), "test": None}},
         "the search found nothing better than the rules (point 0) for 2.00 core-hours"),
        ({"gain": None}, ""),
        ({"trials": {"pending": 1, "running": 0, "finished": 2, "failed": 0, "pruned": 0}}, ""),
    ],
)  # fmt: skip
def test_what_the_search_gained(more: dict[str, Any], sentence: str) -> None:
    assert gain_sentence(content(*POINTS, **more)) == sentence


def test_without_a_field_of_the_rules_the_recipe_is_the_base() -> None:
    what = content(point(0, 0.07, -30.0, config={}), POINTS[1])
    assert "over the recipe for" in gain_sentence(what)
    assert "the recipe</span>" in sweep_page(what)


def shown(what: dict[str, Any], width: int, **options: Any) -> str:
    console = Console(width=width, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(sweep_view(what, width=width, **options))
    return captured.get()


def test_sections_are_shown_by_what_differs() -> None:
    sections = (
        "{kind: gru, hidden: 8, layers: 1}",
        "{kind: gru, hidden: 16, layers: 1}",
        "{kind: gmp, order: 7}",
        None,
    )
    points = [
        point(number, 0.1, -30.0 - number, values={"model": each}, config={}) for number, each in enumerate(sections)
    ]
    what = content(*points, over={"model": list(sections)})
    lines = [" ".join(line.split()) for line in shown(what, 120).splitlines()]
    for text in ("0 recipe gru, hidden 8 -30.00", "1 gru, hidden 16 -31.00", "2 gmp -32.00", "3 -33.00"):
        assert any(line.startswith(text) for line in lines), text
    page = sweep_page(what)
    assert "<td>gru, hidden 16</td>" in page
    assert page.count(">gru, hidden 8</text>") == page.count(">gru, hidden 16</text>") == 1, "places of a chart"


def test_the_table_fits_the_terminal() -> None:
    wide, narrow = (shown(content(*POINTS), width) for width in (120, 50))
    assert "[s]" in wide
    assert "[s]" not in narrow
    assert "  pruned" in narrow
    assert all(len(line) <= 50 for line in narrow.splitlines())
    lines = wide.splitlines()
    order = [line.split()[0] for line in lines if line[:1].isdigit()]
    assert order == ["1*", "0", "2"], "the best first, what has no score last"
    assert "point 2: pruned: x" in wide
    assert [each["number"] for each in ordered_points(content(*POINTS))] == [1, 0, 2]


def test_a_long_sweep_is_cut_and_reasons_are_gathered() -> None:
    left = [{"config": {"model.heads": str(n)}, "reason": "r.yaml:3:1: heads do not divide"} for n in (3, 5, 7)]
    text = shown(content(*POINTS, left_out=left), 120, most=1)
    assert "and 2 more" in text
    assert "left out: heads 3 and 2 more: r.yaml:3:1: heads do not divide" in text


def test_a_page_is_complete_and_its_names_are_text() -> None:
    hostile = point(1, "<script>alert(1)</script>", -31.0, on_front=True)
    page = sweep_page(content(POINTS[0], hostile, name="a<b>", left_out=[{"config": {"x": "<i>"}, "reason": "<u>"}]))
    assert "<script" not in page
    assert "a&lt;b&gt;" in page
    assert page.count("<svg") == page.count("</svg>") == 2
    assert "The search gained 0.80 dB on test" in page
    assert "nan" not in page


def test_a_sweep_without_scores_has_a_page() -> None:
    nothing = content(point(0, 0.07, None, status="pending"), gain=None, front=[])
    assert "<svg" not in sweep_page(nothing)
    assert "pending" in shown(nothing, 80)
