"""The base of all sections of a recipe, and those that describe the data; `schema` declares the others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dpdrun.recipe.fields import AUTO, OFF, Auto, Off, Percent

Switch = Literal["on", "off"]
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]  # without control characters


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, types are not coerced, values are immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class SplitSection(Section):
    """How one long record is split into training, validation and test data (contiguous, in this order)."""

    train: Percent = Field(Percent("60%"), description="share of the record to train on")
    val: Percent = Field(Percent("20%"), description="share that selects the best checkpoint")
    test: Percent = Field(Percent("20%"), description="share that is scored once, at the end")
    guard: Annotated[int, Field(ge=0)] | Auto = Field(
        AUTO, description="samples dropped on each side of a cut, so that no frame sees two splits [samples]"
    )


class AlignSection(Section):
    """Errors of the receiver that are corrected to align the output with the input."""

    delay_samples: float = Field(0.0, description="position of the first input sample in the output [samples]")
    clock_ppm: Annotated[float, Field(gt=-1e5, lt=1e5)] = Field(
        0.0, description="sample rate of the output over that of the input, less 1 [ppm]"
    )
    frequency_offset: Annotated[float, Field(ge=-0.5, le=0.5)] = Field(
        0.0, description="of the output, over its sample rate [cycles per sample]"
    )
    conjugate: Switch = Field("off", description="on = I and Q of the output are swapped, or one of them is negated")
    dc_i: float = Field(0.0, description="I of the DC that the receiver added [unit of the output]")
    dc_q: float = Field(0.0, description="Q of the DC that the receiver added [unit of the output]")
    image_i: Annotated[float, Field(gt=-0.5, lt=0.5)] = Field(
        0.0, description="real part of the image that the receiver's I/Q imbalance added, over the signal"
    )
    image_q: Annotated[float, Field(gt=-0.5, lt=0.5)] = Field(0.0, description="imaginary part of that image")


RawType = Literal[
    "cf32", "cf32_le", "cf32_be", "cf64", "cf64_le", "cf64_be", "ci32", "ci32_le", "ci32_be", "ci16", "ci16_le",
    "ci16_be", "ci8", "cu8"
]  # fmt: skip


class SourceFiles(Section):
    """Input and output in a file each, or as channels of one file without a header."""

    input: Text = Field(description="file of the PA input")
    output: Text = Field(
        description="file of the PA output; the same file as `input` if a raw file interleaves two channels"
    )
    input_q: Text | Auto = Field(
        AUTO, description="file of Q of the PA input, where `input` is a text file of I alone; auto = `input` has both"
    )
    output_q: Text | Auto = Field(AUTO, description="file of Q of the PA output, likewise")
    dtype: RawType | Auto = Field(
        AUTO,
        description="samples of raw files, by SigMF's names: c = I,Q pairs, f or i = float or integer, bits, byte "
        "order (default little-endian); auto = by content, or by the suffix of a raw file",
    )

    @property
    def files(self) -> dict[str, str]:
        """The files by their field: two, three or four."""
        named = {name: getattr(self, name) for name in ("input", "output", "input_q", "output_q")}
        return {name: file for name, file in named.items() if file != AUTO}

    def __str__(self) -> str:
        """Return the section as it is written in a recipe or on the command line."""
        named = self.files | ({} if self.dtype == AUTO else {"dtype": self.dtype})
        return f"{{{', '.join(f'{name}: {value}' for name, value in named.items())}}}"


class DataSection(Section):
    """The measured pair: PA input and PA output."""

    source: Text | SourceFiles = Field(
        description="synthetic/<preset>, opendpd/<name>, or your own folder or file (docs/data.md lists the formats); "
        "two files: {input: FILE, output: FILE}; given = a capture passed from Python",
    )
    input: Text | Auto = Field(
        AUTO,
        description="which signal of the file is the PA input: a variable, a channel, or two columns as I,Q; auto = by "
        "its name, if that is certain",
    )
    output: Text | Auto = Field(AUTO, description="which signal of the file is the PA output")
    columns: Text | Auto = Field(
        AUTO, description="names of the columns of a text file, e.g. time,I_in,Q_in,I_out,Q_out; auto = its header"
    )
    sample_rate_hz: Annotated[float, Field(gt=0)] | Auto = Field(
        AUTO, description="sample rate [Hz]; auto = as stated by the source (a bare CSV or npy states none)"
    )
    bandwidth_hz: Annotated[float, Field(gt=0)] | Auto = Field(
        AUTO, description="occupied bandwidth of the input [Hz]; auto = as stated by the source, or unknown"
    )
    carriers: Annotated[int, Field(ge=1, le=1000)] | Auto = Field(
        AUTO, description="number of equally wide carriers in the bandwidth; auto = as stated by the source, or unknown"
    )
    channel_spacing_hz: Annotated[float, Field(gt=0)] | Auto = Field(
        AUTO,
        description="distance between the centres of adjacent channels, for the ACLR [Hz], such as 100e6 where a "
        "carrier occupies 98.28e6; auto = bandwidth / carriers, channels that border on each other",
    )
    check_rates: Switch = Field(
        "on",
        description="on = refuse a sample rate or bandwidth that looks like a wrong unit or contradicts the spectrum",
    )
    cyclic: Auto | Off = Field(
        AUTO,
        description="auto = if a record is a sequence of looped frames, the end of each frame is used as its past; "
        "off = never",
    )
    align: AlignSection | Auto | Off = Field(
        OFF,
        description="auto = estimate delay, frequency offset, clock offset, swapped I/Q and DC on the training split, "
        "and correct what measurably helps; off = use the samples as they are (docs/data.md)",
    )
    resample_to_hz: Annotated[float, Field(gt=0)] | Off = Field(
        OFF,
        description="sample rate of the model, to which input and output are resampled once they are aligned [Hz]; off "
        "= that of the source",
    )
    split: SplitSection | Auto = Field(AUTO, description="auto = as stated by the source, else 60/20/20 %")
