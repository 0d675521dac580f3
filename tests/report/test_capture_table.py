from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from dpdrun.data.capture import Part
from dpdrun.data.inspection import Inspection, inspect_capture
from dpdrun.data.sources import SourceInfo, load_capture
from dpdrun.recipe.schema import DataSection
from dpdrun.report.capture_table import inspection_view, sources_table
from dpdrun.rf.floor import Floor


def text(view: RenderableType) -> str:
    console = Console(width=160, file=io.StringIO())
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def facts() -> Inspection:
    capture = load_capture(DataSection(source="synthetic/mild"))
    short = {name: Part(part.x[:5000], part.y[:5000]) for name, part in capture.parts.items()}
    return inspect_capture(replace(capture, **short))


def test_numbers_come_with_their_units(facts: Inspection) -> None:
    shown = text(inspection_view(facts))
    train = facts.parts["train"]
    for piece in (
        "5,000",
        f"{train.papr_x_db:.2f} dB",
        f"{train.one_tap_nmse_db:.2f} dB",
        "983.04 MS/s",
        "200 MHz stated, 5 carriers",
        "-42.00 dB (added by the generator)",
        facts.sha256,
    ):
        assert piece in shown


def test_unknown_values_are_shown_as_unknown(facts: Inspection) -> None:
    bare = replace(
        facts,
        bandwidth_hz=None,
        aclr_x_dbc=None,
        aclr_y_dbc=None,
        known_floor_db=None,
        floor=Floor(None, None, "", "no quiet band"),
        loop_samples=2560,
    )
    shown = text(inspection_view(bare))
    assert "not stated" in shown
    assert "unknown: no quiet band" in shown
    assert "2,560 samples, each measured cyclically" in shown
    assert "ACLR" not in shown
    assert "true" not in shown


def test_warnings_or_none(facts: Inspection) -> None:
    assert "no warnings" in text(inspection_view(replace(facts, warnings=())))
    shown = text(inspection_view(replace(facts, warnings=("first", "key [gain] is unknown"))))
    assert "warning: first" in shown
    assert "key [gain] is unknown" in shown  # square brackets are no markup


def test_sources() -> None:
    infos = [
        SourceInfo("synthetic/a", "synthetic", "one [line]", "CC0-1.0", True),
        SourceInfo("opendpd/b", "measured", "another", "Apache-2.0", False),
    ]
    lines = text(sources_table(infos)).splitlines()
    assert [("not downloaded" in line) for line in lines if "/" in line] == [False, True]
    assert "one [line]" in "".join(lines)  # square brackets are no markup
