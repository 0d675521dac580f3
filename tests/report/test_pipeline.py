"""What is shown of a chain."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console

from dpdrun.report.pipeline import StepRow, overview, scores_panel


def shown(renderable: Any, width: int = 80) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable, highlight=False)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    return "\n".join(lines)


ROWS = [
    StepRow("pa", "amp.yaml", "skip", "finished", 100.0),
    StepRow("net", "net.yaml", "resume", "continues from step 4 of 8", 240.0),
    StepRow("gmp", "least.yaml", "run", "not there yet", None),
    StepRow("evaluation", "", "run", "parts val, test", None),
]


def test_the_overview_has_a_line_a_step_and_adds_up_what_is_to_be_trained() -> None:
    text = shown(overview(ROWS, title="chain.yaml", where="runs/chain"))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "pipeline: chain.yaml in runs/chain"
    assert "pa skip finished amp.yaml" in lines, "a time would be of no use"
    assert "net resume 4 min continues from step 4 of 8 net.yaml" in lines
    assert "gmp run - not there yet least.yaml" in lines
    assert lines[-1] == "training takes about 4 min in total; no estimate for gmp and evaluation"


def test_the_overview_of_what_is_done() -> None:
    assert shown(overview(ROWS[:1], title="a", where="b")).endswith("nothing to do")


def test_the_overview_without_an_estimate() -> None:
    assert shown(overview(ROWS[2:3], title="a", where="b")).endswith("\nno estimate for gmp")


def figures(value: float) -> dict[str, Any]:
    return {"nmse_db": value, "in_band_db": value - 1, "aclr_worse_db": None}


def report(value: float) -> dict[str, Any]:
    return {
        "capture": {"name": "mine"}, "model": "gru", "parameters": 1234, "macs_per_sample": 99, "lookahead": 3,
        "splits": {"val": figures(value), "test": figures(value - 10)},
        "baselines": {key: {"val": figures(-1.0), "test": figures(-2.0)} for key in ("one_tap", "gmp")},
        "pa": {"nmse_db": {"val": -40.0, "test": -41.0}},
    }  # fmt: skip


def test_the_scores_name_who_learnt_through_what() -> None:
    own = {"net": report(-50.0), "least": report(-30.0)}
    judged = {name: {"judge": report(value)} for name, value in (("net", -45.0), ("least", -29.0))}
    for verdicts in judged.values():
        del verdicts["judge"]["baselines"]["gmp"]  # a judge has none
    text = shown(scores_panel(own, judged, {"net": "pa", "least": "pa"}))
    lines = [" ".join(line.strip("\u2502 ").split()) for line in text.splitlines()]
    for line in ("net pa -50.00 -51.00 -", "net judge -45.00 -46.00 -", "net pa -60.00 -61.00 -",
                 "least judge -39.00 -40.00 -", "no predistortion pa -1.00 -2.00 -", "indirect gmp pa -1.00 -2.00 -",
                 "no predistortion judge -1.00 -2.00 -"):  # fmt: skip
        assert line in lines
    assert "net gru, 1,234 parameters, 99 MAC/sample, look-ahead 3 samples" in lines
    assert "pa PA model, NMSE val -40.00 dB, test -41.00 dB; net and least trained through" in " ".join(lines)
    assert not any(line.startswith("indirect gmp judge") for line in lines)
    assert "cross-model validation only" in " ".join(lines)


def test_a_narrow_terminal_has_every_number() -> None:
    own = {"net": report(-50.0)}
    wide, narrow = (shown(scores_panel(own, {}, {"net": "pa"}), width) for width in (80, 50))
    numbers = re.compile(r"-\d+\.\d\d")
    assert sorted(numbers.findall(narrow)) == sorted(numbers.findall(wide))
    assert narrow.count("no predistortion") == 4  # two splits, two parts each
