"""Tables of runs side by side, from groups as `evaluation.comparison` makes them."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from rich.console import Console

from dpdrun.report.comparison import SORTS, comparison_csv, comparison_markdown, comparison_panel, one_line, sorted_rows


def scores(nmse: float, evm: float | None = None) -> dict[str, Any]:
    return {"nmse_db": nmse, "in_band_error_db": nmse - 1, "aclr_worse_dbc": nmse - 2, "evm_db": evm, "missing": {},
            "intervals": {"nmse_db": [nmse - 0.25, nmse + 0.25]}}  # fmt: skip


def row(name: str, nmse: float, **more: Any) -> dict[str, Any]:
    return {"run": name, "path": f"runs/{name}", "model": "transformer", "parameters": 1000, "macs_per_sample": 2000,
            "lookahead": 8, "seconds": 61.0, "steps": 40, "settings": {}, "linearity": scores(nmse)} | more  # fmt: skip


def group(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"task": "dpd", "split": "test", "capture": {"name": "cap", "sha256": "0"}, "gain": 1.5,
            "pa": {"path": "runs/pa", "nmse_db": -40.0}, "baselines": {"no predistortion": scores(-18.5)},
            "runs": list(rows)} | more  # fmt: skip


def shown(groups: list[dict[str, Any]], width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, _environ={})
    console.print(comparison_panel(groups, width=width), highlight=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_wide_terminal_has_one_table_and_a_narrow_one_two() -> None:
    this = [group(row("a", -40.123), row("b", -41.0, lookahead=None, seconds=None))]
    wide, narrow = shown(this, 130), shown(this, 60)
    for text in (wide, narrow):
        assert max(map(len, text.splitlines())) <= 130
        for part in ("-40.12", "-41.00", "-18.50", "1,000", "2,000", "record", "predistorters on cap, test"):
            assert part in text
    assert len([line for line in wide.splitlines() if line.startswith("a ")]) == 1
    assert len([line for line in narrow.splitlines() if line.startswith("a ")]) == 2
    assert max(map(len, narrow.splitlines())) <= 60


def test_a_score_that_no_run_has_is_no_column() -> None:
    assert "EVM" not in shown([group(row("a", -40.0))], 130)
    assert "EVM" in shown([group(row("a", -40.0, linearity=scores(-40.0, evm=-39.0)))], 130)


@pytest.mark.parametrize("key", SORTS)
def test_rows_without_a_value_come_last(key: str) -> None:
    empty = {"linearity": {}, "parameters": None, "macs_per_sample": None, "lookahead": None, "seconds": None}
    rows = [row("none", 0.0, **empty, steps=None), row("some", -40.0, linearity=scores(-40.0, evm=-39.0))]
    assert [each["run"] for each in sorted_rows(rows, key)] == ["some", "none"]
    assert [each["run"] for each in sorted_rows(rows, None)] == ["none", "some"]


def test_csv_is_a_line_a_run_with_unrounded_numbers() -> None:
    name = 'a, "b"'
    (line,) = csv.DictReader(io.StringIO(comparison_csv([group(row(name, -40.123456))])))
    assert (line["run"], line["nmse"], line["nmse_low"], line["evm"]) == (name, "-40.123456", "-40.373456", "")


def test_markdown_escapes_what_would_end_a_cell() -> None:
    text = comparison_markdown([group(row("a|b", -40.0))])
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert "a/b" in text


def test_titles_lose_their_line_break() -> None:
    assert [one_line(t) for t in ("para-\nmeters", "MAC/\nsample", "training\ntime")] == [
        "parameters", "MAC/sample", "training time",
    ]  # fmt: skip


@pytest.mark.parametrize(("power", "told"), [(-0.73, True), (0.73, True), (0.49, False)])
def test_scores_at_another_output_power_are_marked_as_not_comparable(power: float, told: bool) -> None:
    loud = row("loud", -40.0, linearity=scores(-40.0) | {"power_change_db": power})
    text = " ".join(comparison_markdown([group(row("a", -41.0), loud)]).split())
    assert (f"scores are not comparable: loud {power:+.2f} dB" in text) is told
    model = comparison_markdown([group(loud, task="pa", pa=None)])
    assert "not comparable" not in model


def test_a_weak_pa_model_is_named_as_such() -> None:
    pa = {"path": "runs/pa", "nmse_db": -20.0}
    assert "(NMSE -20.00 dB, WORSE THAN A GMP)" in comparison_markdown([group(row("a", -40.0), pa=pa | {"weak": True})])
    assert "WORSE" not in comparison_markdown([group(row("a", -40.0), pa=pa | {"weak": False})])
    assert "WORSE" not in comparison_markdown([group(row("a", -40.0), pa=pa)])
