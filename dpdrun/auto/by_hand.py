"""The commands that do each step of `dpdrun auto` by hand."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from dpdrun.auto.product import Options
from dpdrun.recipe.fields import AUTO, OFF
from dpdrun.recipe.patch import render
from dpdrun.recipe.schema import DataSection

FLAGS = {"sample_rate_hz": "--sample-rate-hz", "bandwidth_hz": "--bandwidth-hz", "input": "--input-signal",
         "output": "--output-signal", "columns": "--columns"}  # fmt: skip
FLAGS_OF_SCORES = {"channel_spacing_hz": "--channel-spacing-hz"}  # an alignment has no use for them


def commands(section: DataSection, options: Options, folder: Path, out: str, searches: list[str]) -> list[list[str]]:
    """Return each step as what it does, and its command.

    Args:
        section: `data` of the recipes.
        options: what was asked for.
        folder: of the product.
        out: the exported file in it.
        searches: names of its sweep folders.
    """
    source = section.source if isinstance(section.source, str) else render(section.source)
    accepted = ["--no-check-rates"] if section.check_rates == OFF else []
    flags = [*_given(section, FLAGS), *accepted]
    measured = [*flags, *_given(section, FLAGS_OF_SCORES)]
    aligned, predistorted = f"{folder}/aligned.npz", f"{folder}/predistorted.npz"
    steps = [
        ("Measure the capture", ["data", "inspect", source, *measured]),
        ("Align it", ["data", "align", source, *flags, "-o", aligned, "--force"]),
        ("Sizes and rates, with reasons", ["recommend", "--data", source, *measured, "--model", "transformer"]),
        *((f"All trials of {name}", ["sweep", "show", f"{folder}/search/{name}"]) for name in searches),
        ("Train the four models, and score", ["train", f"{folder}/pipeline.yaml", "--run-dir", str(folder)]),
        ("Diagnose the training", ["diagnose", f"{folder}/dpd"]),
        ("Score through the second PA model", ["evaluate", f"{folder}/dpd", "--through", f"{folder}/judge"]),
        ("Export", _export(folder, "dpd", Path(out), options)),
        ("Export the gmp instead", _export(folder, "dpd_gmp", Path(out).with_stem("dpd_gmp"), options)),
        (
            "Predistort a waveform: the test split, or a file in its place",
            ["apply", f"{folder}/dpd", "test", predistorted, "--force"],
        ),
    ]
    return [[what, shlex.join(["dpdrun", *words])] for what, words in steps]


def _export(folder: Path, step: str, out: Path, options: Options) -> list[str]:
    fixed = [] if options.fixed is None else ["--fixed", "--weight-bits", str(options.fixed), "--activation-bits",
                                              str(options.fixed), "--set", "per_channel=all"]  # fmt: skip
    return ["export", f"{folder}/{step}", "--to", options.to, *fixed, "-o", f"{folder}/{out}", "--force"]


def _given(section: DataSection, flags: Mapping[str, str]) -> list[str]:
    """Return the flags of what a section states, each with its value."""
    return [word for field, flag in flags.items() if (value := getattr(section, field)) != AUTO
            for word in (flag, f"{value:.12g}" if isinstance(value, float) else str(value))]  # fmt: skip
