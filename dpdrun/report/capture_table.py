"""Captures on the terminal, for `dpdrun data list` and `dpdrun data inspect`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from dpdrun.data.inspection import Inspection, PartFacts
from dpdrun.data.sources import SourceInfo

NOT_KNOWN = "not known"


def sources_table(sources: Sequence[SourceInfo]) -> Table:
    """Return all named sources, one per line."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("source", "kind", "description", "licence", ""):
        table.add_column(heading, overflow="fold", no_wrap=heading == "source")
    for info in sources:
        state = "" if info.ready else Text("not downloaded", "yellow")
        table.add_row(info.name, info.kind, Text(info.description), info.licence, state)
    return table


def inspection_view(facts: Inspection) -> Group:
    """Return the facts of a capture: its splits side by side, then the signal path, then warnings."""
    heading = Text.assemble((facts.name, "bold"), f"  {facts.note}  Licence: {facts.licence}.")
    return Group(heading, "", _parts(facts), "", _path(facts), "", _warnings(facts))


def _parts(facts: Inspection) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("split")
    for name in facts.parts:
        table.add_column(name, justify="right")
    rows: list[tuple[str, list[str]]] = [
        ("samples", [f"{p.samples:,}" for p in facts.parts.values()]),
        ("duration", [f"{p.duration_s * 1e6:,.1f} us" for p in facts.parts.values()]),
        ("input rms, peak", [f"{p.rms_x:.4g}, {p.peak_x:.4g}" for p in facts.parts.values()]),
        ("output rms, peak", [f"{p.rms_y:.4g}, {p.peak_y:.4g}" for p in facts.parts.values()]),
        ("input PAPR", [f"{p.papr_x_db:.2f} dB" for p in facts.parts.values()]),
        ("output PAPR", [f"{p.papr_y_db:.2f} dB" for p in facts.parts.values()]),
        ("gain", [_gain(p) for p in facts.parts.values()]),
        ("one-tap NMSE", [f"{p.one_tap_nmse_db:.2f} dB" for p in facts.parts.values()]),
    ]
    for label, cells in rows:
        table.add_row(label, *cells)
    return table


def _gain(part: PartFacts) -> str:
    if part.gain_db is None or part.gain_deg is None:
        return NOT_KNOWN
    return f"{part.gain_db:.2f} dB, {part.gain_deg + 0.0:.2f} deg"


def _path(facts: Inspection) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    stated = "not stated" if facts.bandwidth_hz is None else f"{facts.bandwidth_hz / 1e6:.6g} MHz stated"
    if facts.subchannels and facts.subchannels > 1:
        stated += f", {facts.subchannels} carriers"
    if facts.channel_spacing_hz is not None:
        stated += f", channels {facts.channel_spacing_hz / 1e6:.6g} MHz apart"
    low, high = (edge / 1e6 for edge in facts.occupied_hz)
    table.add_row("sample rate", f"{facts.sample_rate_hz / 1e6:.6g} MS/s")
    table.add_row("bandwidth", f"99 % of the input from {low:.2f} to {high:.2f} MHz; {stated}")
    if facts.loop_samples is not None:
        table.add_row("frames", f"{facts.loop_samples:,} samples, each measured cyclically")
    table.add_row(
        "delay of the output",
        f"{_known(facts.delay_samples, '+.3f', 'samples')} ({_known(facts.delay_ns, '+.4f', 'ns')}), correlation "
        f"{facts.correlation:.4f}",
    )
    if facts.frequency_offset_hz:
        table.add_row("frequency offset", f"{facts.frequency_offset_hz:+,.6g} Hz")
    if facts.clock_ppm:
        table.add_row("sample clock", f"{facts.clock_ppm:+.3f} ppm")
    table.add_row("DC of the input", f"{facts.dc_x_db:.1f} dB; output adds {_known(facts.offset_y_db, '.1f', 'dB')}")
    table.add_row("I/Q image", _known(facts.image_dbc, ".1f", "dBc"))
    for name, pair in (("input", facts.aclr_x_dbc), ("output", facts.aclr_y_dbc)):
        if pair is not None:
            table.add_row(f"ACLR of the {name}", f"{pair[0]:.2f} / {pair[1]:.2f} dBc (left / right)")
    if facts.known_floor_db is not None:
        table.add_row("noise floor, true", f"{facts.known_floor_db:.2f} dB (added by the generator)")
    table.add_row("noise floor, estimated", _floor(facts))
    table.add_row("sha256", facts.sha256)
    return table


def _known(value: float | None, digits: str, unit: str) -> str:
    return NOT_KNOWN if value is None else f"{value:{digits}} {unit}"


def _floor(facts: Inspection) -> str:
    if facts.floor.nmse_db is None:
        return f"unknown: {facts.floor.caveat}"
    return f"{facts.floor.nmse_db:.2f} dB ({facts.floor.method}; {facts.floor.caveat})"


def _warnings(facts: Inspection) -> Group | Text:
    if not facts.warnings:
        return Text("no warnings", "green")
    return Group(*(Text.assemble(("warning: ", "bold yellow"), warning) for warning in facts.warnings))
