"""`dpdrun export`: write a trained model to a file that runs without dpdrun."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpdrun.commands._completion import complete_run
from dpdrun.commands._options import DataOption, PluginOption, argument, load_plugins, option
from dpdrun.commands._output import say, say_findings

if TYPE_CHECKING:
    from dpdrun.export.job import Exported


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    run: Annotated[Path, argument(metavar="RUN", help="A finished run folder.", autocompletion=complete_run)],
    to: Annotated[
        str,
        option(
            "--to",
            metavar="onnx|torchscript|npz|c|mat|mem|qonnx",
            help="onnx: for onnxruntime and compilers; torchscript: for LibTorch; npz: weights, description and golden "
            "vector, for FPGA and DSP; c: C99 with a self-test; mat: for MATLAB, a gmp also for comm.DPD; mem: for "
            "$readmemh; qonnx: for FPGA flows.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="File to write.", show_default="model.onnx, .pt, .npz, .c, .mat or .zip in RUN"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    data: DataOption = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="With --to c: fail if there is no C compiler to verify the files with.")
    ] = False,
    plugin: PluginOption = None,
    fixed: Annotated[
        bool,
        typer.Option(
            "--fixed", help="With --to npz, c, mat, mem or qonnx: in integers, bit-true (docs/fixed-point.md)."
        ),
    ] = False,
    weight_bits: Annotated[
        int | None, option(min=4, max=18, help="--fixed: bits of weights.", show_default="quantization.weights, or 16")
    ] = None,
    activation_bits: Annotated[
        int | None,
        option(min=4, max=18, help="--fixed: bits of activations.", show_default="quantization.activations, or 16"),
    ] = None,
    fine_tune: Annotated[
        int | None, option(min=1, metavar="STEPS", help="--fixed: fit the weights to the rounding by this many steps.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        option("--set", metavar="KEY=VALUE", help="--fixed: another field of the quantization section; repeatable."),
    ] = None,
) -> None:
    """Export the model of a RUN as one streaming step, (x, state...) -> (y, new state...), that runs without dpdrun.

    The file is kept only if its output equals that of the run on the test split, to 1e-5 of the rms (docs/export.md).
    """
    load_plugins(plugin, run)
    named = {"weights": weight_bits, "activations": activation_bits, "fine_tune": fine_tune}
    changes = [*(set_ or []), *(f"{name}={value}" for name, value in named.items() if value)]
    if changes and not fixed:
        hint = "--weight-bits, --activation-bits, --fine-tune, --set"
        raise typer.BadParameter("it has an effect only with --fixed", param_hint=hint)
    from dpdrun.evaluation.progress import progress_to
    from dpdrun.report.layout import activity
    from dpdrun.report.terminal import Terminal

    with activity(Terminal(stderr=True), "export", lines=fixed) as doing, progress_to(doing):
        doing("loading torch")
        from dpdrun.export.job import export as write

        doing("reading the run")
        quantization = changes if fixed else None
        done = write(run, to, out, force=force, data=data, verify=verify, quantization=quantization, doing=doing)
    if done.c is not None:
        _say_c(done)
    elif done.fixed is not None:
        say(f"{done.path}: {done.bytes / 1000:,.1f} kB; verified word by word on {done.samples:,} test samples")
    else:
        say(
            f"{done.path}: {done.bytes / 1000:,.1f} kB, inputs {', '.join(done.inputs)}; verified on {done.samples:,} "
            f"test samples, largest error {done.error:.1e} of the rms"
        )
    say_findings(done.findings)
    if done.fixed is not None:
        from dpdrun.report.fixed_point import fixed_point_panel

        Terminal().print(fixed_point_panel(done.fixed.settings.model_dump(), done.fixed.report), highlight=False)


def _say_c(done: Exported) -> None:
    """Print what C files need and how they were verified."""
    assert done.c is not None
    size, name = done.c["bytes"], done.path.stem
    say(
        f"{done.path}, {name}.h, {name}_test.c, {name}.json: {done.c['multiplications_per_sample']:,} multiplications "
        f"per sample; bytes: tables {size['tables']:,}, state {size['state']:,}"
        + (f", code {size['code']:,} ({size['code_of']})" if "code" in size else "")
    )
    if done.error is None:
        say(
            "not verified: there is no C compiler here; on your machine, compile and run the self-test:\n"
            f"  cc -std=c99 -O2 {name}.c {name}_test.c -lm -o {name}_test && ./{name}_test"
        )
    elif done.fixed is not None:
        say(f"verified on {done.samples:,} test samples: self-test passed, every word equals the fixed-point reference")
    else:
        say(f"verified on {done.samples:,} test samples: self-test passed, rms error {done.error:.1e} of the rms")
