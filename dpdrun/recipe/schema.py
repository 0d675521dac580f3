"""The recipe: the one declaration of every field, its unit, its bounds and its meaning.

Validation, `--set a.b=c`, the JSON Schema for editors, docs/recipe.md and the commented template all come from here.
A field's description is what a user reads in all of those places. No physical quantity has a default.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dpdrun.recipe.fields import AUTO, OFF, Auto, Off, Percent

GIVEN = "given"  # `pa: given`
Switch = Literal["on", "off"]
Features = Literal["iq", "envelope"]
Count = Annotated[int, Field(ge=1)]

# Far beyond any run (weeks of one-millisecond steps), so that a slip such as 1e300 is refused where it is written.
MAX_EPOCHS = 1_000_000
MAX_STEPS = 1_000_000_000


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, types are not coerced, values cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class SplitSection(Section):
    """Where one long record is cut into training, validation and test parts (contiguous, in this order)."""

    train: Percent = Field(Percent("60%"), description="share of the record to train on")
    val: Percent = Field(Percent("20%"), description="share that selects the best checkpoint")
    test: Percent = Field(Percent("20%"), description="share that is scored once, at the end")
    guard: Annotated[int, Field(ge=0)] | Auto = Field(
        AUTO, description="samples dropped on each side of a cut so that no frame sees two parts [samples]"
    )


class DataSection(Section):
    """Where the measured pair (PA input, PA output) comes from."""

    source: str = Field(
        min_length=1,
        description="synthetic/<preset>, opendpd/<name>, or a folder or file of yours (CSV, npz, npy: docs/data.md)",
    )
    sample_rate_hz: Annotated[float, Field(gt=0)] | Auto = Field(
        AUTO, description="sample rate [Hz]; auto = as the source states it (a bare CSV or npy states none)"
    )
    bandwidth_hz: Annotated[float, Field(gt=0)] | Auto = Field(
        AUTO, description="occupied bandwidth of the input [Hz]; auto = as the source states it, or unknown"
    )
    loops: Auto | Off = Field(
        AUTO,
        description="auto = where a record is a row of looped frames, give each its own end as its past; off = do not",
    )
    split: SplitSection | Auto = Field(AUTO, description="auto = as the source states it, else 60/20/20 %")


class TransformerModel(Section):
    """Pre-norm Transformer encoder over the samples of the record."""

    kind: Literal["transformer"] = Field(description="which model to train")
    d_model: Count = Field(description="width: features per sample inside the network")
    layers: Count = Field(description="number of encoder blocks")
    heads: Count = Field(description="attention heads; must divide d_model")
    ff_mult: Annotated[float, Field(gt=0)] = Field(4.0, description="width of the MLP as a multiple of d_model")
    activation: Literal["gelu", "relu", "bilinear"] = Field(
        "gelu", description="non-linearity of the MLP; bilinear = the product of two linear layers of that width each"
    )
    norm: Literal["layer"] | Off = Field(
        "layer", description="normalization before attention and MLP; off keeps amplitudes, for small models"
    )
    attention_bias: Literal["all", "query"] = Field(
        "all", description="which of query, key and value have a bias; query = as able, with 2 d_model fewer a layer"
    )
    window: Count | Literal["full"] = Field(
        description="samples that one output attends to [samples]; full = the whole record, in both directions"
    )
    lookahead: Annotated[int, Field(ge=0)] = Field(
        0, description="future input samples that the linear path uses; the output lags by as many [samples]"
    )
    positions: Literal["relative", "sinusoidal", "none"] = Field("relative", description="how attention knows time")
    features: Features = Field("envelope", description="iq = I and Q alone; envelope = I, Q, |x|, |x|^3 at unit rms")
    embedding: Literal["linear", "layernorm_mlp"] = Field(
        "linear", description="layernorm_mlp erases the envelope (docs/results.md, case study); kept to show that"
    )
    conv: Annotated[int, Field(ge=0)] = Field(
        4, description="taps of the depthwise convolution before attention; 0 = none"
    )
    skip: Switch = Field("on", description="linear path from the features to the output, past the network")
    dropout: Annotated[float, Field(gt=0, lt=1)] | Off = Field(
        OFF, description="share of activations dropped in training"
    )
    residual_init: Literal["zero", "xavier"] = Field(
        "zero", description="initial weights of each block's last projection"
    )


class GRUModel(Section):
    """Gated recurrent unit, the network that Transformers must beat here."""

    kind: Literal["gru"] = Field(description="which model to train")
    hidden: Count = Field(description="units per layer")
    layers: Count = Field(1, description="stacked layers")
    features: Features = Field("envelope", description="iq = I and Q alone; envelope = I, Q, |x|, |x|^3 at unit rms")
    skip: Switch = Field("on", description="linear path from the features to the output, past the network")


class GMPModel(Section):
    """Generalized memory polynomial (Morgan et al. 2006), fitted by regularized least squares in seconds."""

    kind: Literal["gmp"] = Field(description="which model to fit")
    order: Count = Field(7, description="order of the polynomial: terms x|x|^p for p = 0 .. order - 1")
    delays: Count = Field(24, description="memory: the current sample and delays - 1 before it [samples]")
    cross: Annotated[int, Field(ge=0)] = Field(
        2, description="leading and lagging envelope offsets, 1 .. cross each way [samples]; 0 = memory polynomial"
    )


ModelSection = Annotated[TransformerModel | GRUModel | GMPModel, Field(discriminator="kind")]


class PlateauSection(Section):
    """When `schedule: plateau` lowers the learning rate. Judged on validation NMSE in dB, by absolute differences."""

    factor: Annotated[float, Field(gt=0, lt=1)] = Field(0.5, description="multiply the lr by this")
    patience: Count = Field(5, description="evaluations without progress before it is lowered")
    threshold_db: Annotated[float, Field(ge=0)] = Field(0.01, description="what counts as progress [dB]")


class OptimSection(Section):
    """AdamW. Every `auto` is set by a rule; `dpdrun recommend` shows which and why."""

    lr: Annotated[float, Field(gt=0)] | Auto = Field(AUTO, description="peak learning rate")
    beta1: Annotated[float, Field(ge=0, lt=1)] | Auto = Field(AUTO, description="AdamW memory of the gradient")
    beta2: Annotated[float, Field(ge=0, lt=1)] | Auto = Field(AUTO, description="AdamW memory of its square")
    eps: Annotated[float, Field(gt=0)] | Auto = Field(AUTO, description="AdamW denominator floor")
    weight_decay: Annotated[float, Field(gt=0)] | Auto | Off = Field(
        AUTO, description="decoupled decay of the weight matrices (never of norms, biases, positions)"
    )
    clip_norm: Annotated[float, Field(gt=0)] | Auto | Off = Field(
        AUTO, description="largest global gradient norm that is applied"
    )
    warmup: Count | Percent | Auto | Off = Field(
        AUTO, description="linear rise of the lr, in optimizer steps (150) or as a share of all steps (7.5%)"
    )
    schedule: Literal["cosine", "linear", "plateau", "inverse_sqrt", "constant"] | Auto = Field(
        AUTO, description="how the lr falls after the warmup"
    )
    lr_end: Percent = Field(
        Percent("0%"), description="lr at the last step, as a share of the peak (cosine, linear, plateau)"
    )
    plateau: PlateauSection = Field(PlateauSection.model_validate({}), description="settings of schedule: plateau")
    finish: Literal["lm"] | Off = Field(
        OFF,
        description="lm = take AdamW's best model on by Levenberg-Marquardt over the whole training part: for "
        "Transformers with a window, of at most 4,000 parameters",
    )
    finish_iterations: Count = Field(100, description="iterations of the finish")


class SpectralLoss(Section):
    """A loss over the spectrum of the error: the weights say what an error is worth where it lies."""

    in_band: Annotated[float, Field(ge=0)] = Field(1.0, description="weight of the error inside the signal's band")
    out_of_band: Annotated[float, Field(ge=0)] = Field(
        10.0, description="weight of the error outside of it; with both at 1 the loss is that of the time domain"
    )
    beyond: Annotated[float, Field(ge=0)] | Auto = Field(
        AUTO, description="weight of the error further out than the adjacent channels of the ACLR; auto = out_of_band"
    )


class TrainSection(Section):
    """How long, in which pieces, and with what precision."""

    epochs: Annotated[float, Field(gt=0, le=MAX_EPOCHS)] | Auto = Field(
        AUTO, description="passes over the training part"
    )
    max_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] | Off = Field(
        OFF, description="optimizer steps, instead of epochs"
    )
    batch_size: Count | Auto = Field(AUTO, description="frames per optimizer step, over all processes and accumulation")
    accumulate: Count = Field(1, description="forward passes per optimizer step; must divide batch_size")
    frame: Annotated[int, Field(ge=2)] | Auto = Field(AUTO, description="length of one training window [samples]")
    burn_in: Annotated[int, Field(ge=0)] | Auto = Field(
        AUTO, description="first samples of a frame that give context but no loss [samples]"
    )
    rotate: Switch = Field(
        "off", description="turn each frame, input and output alike, by a random phase: amplifiers commute with that"
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="of weights, frame order and dropout")
    eval_every: Count | Auto = Field(AUTO, description="optimizer steps between scorings of the validation part")
    eval_on: Literal["record", "frame"] = Field(
        "record", description="score the whole record in one pass, or cut into pieces of `frame` samples"
    )
    checkpoint_every: Count | Auto | Off = Field(
        AUTO, description="optimizer steps between checkpoints that --resume continues"
    )
    on_finding: Literal["warn", "stop", "adapt"] = Field(
        "warn",
        description="what a rule's finding does while training: warn = a line; stop = an error ends the run, with a "
        "checkpoint; adapt = an error that a lower lr cures goes back to before it, with a lower lr, at most 3 times",
    )
    compile: Literal["auto", "on", "off"] = Field("auto", description="torch.compile the training step")
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = Field(
        "fp32",
        description="arithmetic of matrix products in a training step: fp32 = single precision, nothing less; tf32 = "
        "as fp32, with 10 bits of mantissa on a GPU that can; bf16 = 16 bits, autocast; fp16 = 16 bits with a loss "
        "scale, on a GPU alone. Weights, optimizer and scores are in single precision in any case",
    )
    loss: SpectralLoss | Literal["time"] = Field(
        "time", description="time = mean square error; or a section: weights inside and outside the band of the signal"
    )


class DpdSection(Section):
    """How a predistorter learns, and what it is to make of the amplifier. Only with task: dpd."""

    learning: Literal["direct", "indirect", "ilc"] = Field(
        "direct",
        description="direct = through the frozen PA model; indirect = invert the measured pair (no PA model needed); "
        "ilc = find the ideal input of the PA model by iterative learning control, then learn that",
    )
    variants: Switch = Field(
        "off",
        description="ilc only: also learn the ideal input for the training input reversed in time, conjugated, and "
        "both: four times the data, without a measurement",
    )
    gain: Literal["peak", "least_squares", "same_power"] = Field(
        "peak",
        description="linear gain to aim at, taken from the training part: peak = max|y| / max|x|; least_squares = of "
        "the best linear amplifier; same_power = rms(y) / rms(x)",
    )
    peak_limit: Annotated[float, Field(gt=0)] | Auto | Off = Field(
        AUTO, description="largest magnitude that the predistorter puts out; auto = that of the training input"
    )
    weak_pa: Literal["refuse", "accept"] = Field(
        "refuse", description="what to do with a PA model whose validation NMSE is worse than that of a gmp"
    )


class Recipe(Section):
    """A whole training job."""

    task: Literal["pa", "dpd"] = Field(
        description="pa = model a power amplifier: input -> output; dpd = a predistorter for it: wanted -> input"
    )
    rules: Literal["measured", "note"] = Field(
        "measured", description="which rules set each auto: measured here, or the founding note's (docs/note.md)"
    )
    pa: Annotated[str, Field(min_length=1)] | Off = Field(
        OFF,
        description="task dpd: the run folder of the PA model that it learns and is scored through; given = a module "
        "handed over from Python",
    )
    data: DataSection
    model: ModelSection
    dpd: DpdSection = Field(DpdSection.model_validate({}), description="target and learning of a predistorter")
    optim: OptimSection = Field(OptimSection.model_validate({}), description="optimizer and learning rate")
    train: TrainSection = Field(TrainSection.model_validate({}), description="length, batches, precision")
