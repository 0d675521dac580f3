"""`dpdrun export`: a trained model as a file that others can run without dpdrun."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run folder.", show_default=False)],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="onnx|torchscript|npz",
            help="onnx: for onnxruntime and compilers; torchscript: for LibTorch; npz: weights, a description and a "
            "golden vector, for FPGA and DSP.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="File to write; else model.onnx, model.pt or model.npz in RUN.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="PATH", help="Where the capture of RUN is now, if it has moved.", show_default=False
        ),
    ] = None,
) -> None:
    """Write one step of the model of a RUN, (x, state...) -> (y, new state...), for use without dpdrun.

    It is kept only if it does what the run does on the test part, to 1e-5 of the rms. How to run it: docs/export.md
    """
    from dpdrun.export.job import export as write

    done = write(run, to, out, force=force, data=data)
    typer.echo(
        f"{done.path}: {done.bytes / 1000:,.1f} kB, inputs {', '.join(done.inputs)}; verified on {done.samples:,} test "
        f"samples, largest error {done.error:.1e} of the rms"
    )
