"""The commands that do each step by hand state what the user stated."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from dpdrun.auto.by_hand import commands
from dpdrun.auto.product import Options
from dpdrun.commands._data_flags import DataFlags, data_section

SOURCE = "{input: a b.mat, output: c.mat}"
STATED = DataFlags(
    sample_rate_hz=983.04e6, bandwidth_hz=2e8, channel_spacing_hz=2.1e8, input="tx", output="rx", columns="I,Q,I2,Q2",
    no_check_rates=True,
)  # fmt: skip
ALL = {"--sample-rate-hz": "983040000", "--bandwidth-hz": "200000000", "--channel-spacing-hz": "210000000",
       "--input-signal": "tx", "--output-signal": "rx", "--columns": "I,Q,I2,Q2"}  # fmt: skip


@pytest.mark.parametrize(
    ("step", "omitted"),
    [("Measure the capture", ()), ("Align it", ("--channel-spacing-hz",)), ("Sizes and rates, with reasons", ())],
)
def test_the_flags_of_the_capture_are_those_of_the_user(step: str, omitted: tuple[str, ...]) -> None:
    section, options = data_section(SOURCE, STATED.given()), Options({"parameters": 500}, 5.0, "c", 14)
    words = shlex.split(dict(commands(section, options, Path("my product"), "dpd.c", ["pa"]))[step])
    assert SOURCE in words
    assert "--no-check-rates" in words
    given = {flag: value for flag, value in ALL.items() if flag in words}
    assert given == {flag: value for flag, value in ALL.items() if flag not in omitted}
    assert all(words[words.index(flag) + 1] == value for flag, value in given.items())
