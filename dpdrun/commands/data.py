"""`dpdrun data`: which captures there are, fetching and converting them, and a look at one before training on it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dpdrun.commands._completion import complete_capture, complete_download
from dpdrun.commands._data_flags import NONE_GIVEN, DataFlags, takes_data_flags
from dpdrun.commands._options import (
    ForceOption,
    FormatOption,
    FullScaleOption,
    PluginOption,
    TextFormat,
    argument,
    hertz,
    load_plugins,
    option,
    print_json,
    stated_rates,
)
from dpdrun.commands._output import say

Side = StrEnum("Side", "input output")  # of an amplifier


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, help="List, download, inspect and align captures.")
    group.command("list")(list_captures)
    group.command("pull")(pull)
    group.command("inspect")(takes_data_flags(inspect))
    group.command("convert")(takes_data_flags(convert, omitted=("no_check_rates", "channel_spacing_hz")))
    group.command("align")(takes_data_flags(align, omitted=("channel_spacing_hz",)))
    app.add_typer(group, name="data")


SourceArgument = Annotated[
    str,
    argument(
        autocompletion=complete_capture,
        metavar="SOURCE",
        help="A capture: a file, a folder, synthetic/..., opendpd/..., or two files: '{input: FILE, output: FILE}'.",
    ),
]


def list_captures(format_: FormatOption = TextFormat.text) -> None:
    """List the embedded synthetic captures and the measured ones that can be downloaded."""
    from dpdrun.data.sources import list_sources

    if format_ is TextFormat.json:
        print_json({"sources": [vars(info) for info in list_sources()]})
        return
    from dpdrun.report.capture_table import sources_table
    from dpdrun.report.terminal import Terminal

    Terminal().print(sources_table(list_sources()))
    say("\nOr your own: MATLAB, HDF5, CSV, SigMF, .wv, .iq.tar, TDMS, WAV, raw, NumPy, OpenDPD (docs/data.md).")


def pull(name: Annotated[str, argument(help="e.g. opendpd/APA_200MHz", autocompletion=complete_download)]) -> None:
    """Download a measured capture into the cache folder. Uses pip; one download contains all captures of OpenDPD."""
    from dpdrun.data.sources import pull as fetch

    say(str(fetch(name)))


def inspect(
    source: SourceArgument,
    flags: DataFlags = NONE_GIVEN,
    plot: Annotated[Path | None, option(help="Plot AM/AM, AM/PM and PSD to this .png, .svg or .pdf.")] = None,
    format_: FormatOption = TextFormat.text,
    plugin: PluginOption = None,
) -> None:
    """Measure a capture: levels, gain, delay, noise floor, and warnings."""
    load_plugins(plugin)
    from dpdrun.data.inspection import inspect_capture
    from dpdrun.data.sources import load_capture

    section = flags.section(source)
    capture = load_capture(section)
    facts = inspect_capture(capture)
    if format_ is TextFormat.json:
        from dataclasses import asdict

        print_json(asdict(facts))
    else:
        from dpdrun.report.capture_table import inspection_view
        from dpdrun.report.terminal import Terminal

        Terminal(highlight=False).print(inspection_view(facts))
    if plot is not None:
        from dpdrun.report.capture_plot import draw_capture

        draw_capture(capture, facts, plot)
        say(f"wrote {plot}", err=format_ is TextFormat.json)


def convert(
    source: SourceArgument,
    out: Annotated[
        Path,
        argument(
            metavar="OUT",
            help="File to write: .npz, .mat or .csv with both signals; .npy, .wv, .sigmf-meta, .cf32, .ci16 with one.",
        ),
    ],
    only: Annotated[Side | None, option(help="Write this signal, to a format that holds one.")] = None,
    force: ForceOption = False,
    flags: DataFlags = NONE_GIVEN,
    full_scale: FullScaleOption = None,
    plugin: PluginOption = None,
) -> None:
    """Convert a capture to another format, samples unchanged but for the rounding of .csv, .cf32, .wv and .ci16."""
    load_plugins(plugin)
    from dpdrun.data.conversion import convert_capture

    section = flags.section(source)
    only_ = None if only is None else only.value
    for line in convert_capture(section, out, only=only_, full_scale=full_scale, force=force):
        say(line)


def align(
    source: SourceArgument,
    out: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="The aligned capture to write: .npz.")],
    plot: Annotated[Path | None, option(help="Plot the alignment to this .png, .svg or .pdf.")] = None,
    flags: DataFlags = NONE_GIVEN,
    output_rate_hz: Annotated[
        float | None,
        option(parser=hertz, metavar="HZ", help="Sample rate of the output, if it differs from the input's."),
    ] = None,
    resample_to_hz: Annotated[
        float | None, option(parser=hertz, metavar="HZ", help="Resample the aligned capture to this rate.")
    ] = None,
    force: ForceOption = False,
    format_: FormatOption = TextFormat.text,
    plugin: PluginOption = None,
) -> None:
    """Align the output with the input: delay, frequency, clock, swapped I/Q, DC.

    Each correction is estimated on the training split (the first 60 %) and applied only if it measurably helps: by
    0.3 dB on samples that it was not fitted to. Both records may differ in length.

    A recipe does the same with `data.align: auto`, without another file.
    """
    load_plugins(plugin)
    from dpdrun.data.align.file import align_file
    from dpdrun.data.formats.waveform import check_writable

    section = flags.section(source)
    rates = stated_rates(output_rate_hz=output_rate_hz, resample_to_hz=resample_to_hz)
    check_writable(out, force=force, suffixes=(".npz",))
    aligned = align_file(section, **rates)
    aligned.write(out)
    if format_ is TextFormat.json:
        print_json(aligned.to_json())
    else:
        from dpdrun.report.alignment_table import alignment_view
        from dpdrun.report.terminal import Terminal

        Terminal(highlight=False).print(alignment_view(aligned))
        say(f"wrote {out}: {len(aligned.pair):,} samples")
    if plot is not None:
        from dpdrun.report.alignment_plot import draw_alignment

        draw_alignment(aligned, plot)
        say(f"wrote {plot}", err=format_ is TextFormat.json)
