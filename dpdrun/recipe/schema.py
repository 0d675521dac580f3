"""Declare the recipe: every field with its unit, bounds and meaning.

Validation, `--set a.b=c`, the JSON Schema for editors, docs/recipe.md and the commented template all come from here;
the descriptions are what users read in each of them. No physical quantity has a default.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dpdrun.recipe.data_schema import AlignSection as AlignSection
from dpdrun.recipe.data_schema import DataSection as DataSection
from dpdrun.recipe.data_schema import RawType as RawType
from dpdrun.recipe.data_schema import Section as Section
from dpdrun.recipe.data_schema import SourceFiles as SourceFiles
from dpdrun.recipe.data_schema import SplitSection as SplitSection
from dpdrun.recipe.data_schema import Switch as Switch
from dpdrun.recipe.data_schema import Text as Text
from dpdrun.recipe.fields import AUTO, OFF, Auto, Off, Percent, Registered

GIVEN: Literal["given"] = "given"  # `pa: given`, `data.source: given`: passed from Python
ADAMW = "adamw"
Features = Literal["iq", "envelope"]
Count = Annotated[int, Field(ge=1)]

# Far beyond any run (weeks of one-millisecond steps), so that a slip such as 1e300 is refused where it is written.
MAX_EPOCHS = 1_000_000
MAX_STEPS = 1_000_000_000
MAX_THREADS = 1024


class TransformerModel(Section):
    """Pre-norm Transformer encoder over the samples of the record."""

    kind: Literal["transformer"] = Field(description="which model to train")
    d_model: Count = Field(description="width: features per sample inside the network")
    layers: Count = Field(description="number of encoder blocks")
    heads: Count = Field(description="attention heads; must divide d_model")
    ff_mult: Annotated[float, Field(gt=0)] = Field(4.0, description="width of the MLP as a multiple of d_model")
    activation: Literal["gelu", "relu", "bilinear"] = Field(
        "gelu", description="nonlinearity of the MLP; bilinear = the product of two linear layers, each of that width"
    )
    norm: Literal["layer"] | Off = Field(
        "layer", description="normalization before attention and MLP; off preserves amplitudes, for small models"
    )
    attention_bias: Literal["all", "query"] = Field(
        "all",
        description="which of query, key and value have a bias; query = equally expressive, with 2 d_model "
        "fewer parameters per layer",
    )
    window: Count | Literal["full"] = Field(
        description="samples that one output attends to [samples]; full = the complete record, in both directions"
    )
    lookahead: Annotated[int, Field(ge=0)] = Field(
        0, description="future input samples used by the linear path; they delay the output [samples]"
    )
    positions: Literal["relative", "sinusoidal", "none"] = Field(
        "relative", description="how attention encodes position in time"
    )
    features: Features = Field("envelope", description="iq = I and Q alone; envelope = I, Q, |x|, |x|^3 at unit rms")
    embedding: Literal["linear", "layernorm_mlp"] = Field(
        "linear",
        description="layernorm_mlp erases the envelope; provided only to reproduce the case study in docs/results.md",
    )
    conv: Annotated[int, Field(ge=0)] = Field(
        4, description="taps of the depthwise convolution before attention; 0 = none"
    )
    skip: Switch = Field("on", description="linear path from the features to the output, in parallel with the network")
    dropout: Annotated[float, Field(gt=0, lt=1)] | Off = Field(
        OFF, description="fraction of activations dropped in training"
    )
    residual_init: Literal["zero", "xavier"] = Field(
        "zero", description="initial weights of each block's last projection"
    )


class GRUModel(Section):
    """Gated recurrent unit, the baseline for Transformers."""

    kind: Literal["gru"] = Field(description="which model to train")
    hidden: Count = Field(description="units per layer")
    layers: Count = Field(1, description="stacked layers")
    features: Features = Field("envelope", description="iq = I and Q alone; envelope = I, Q, |x|, |x|^3 at unit rms")
    skip: Switch = Field("on", description="linear path from the features to the output, in parallel with the network")


class GMPModel(Section):
    """Generalized memory polynomial (Morgan et al. 2006), fitted by regularized least squares in seconds."""

    kind: Literal["gmp"] = Field(description="which model to fit")
    order: Count = Field(7, description="order of the polynomial: terms x|x|^p for p = 0 .. order - 1")
    delays: Count = Field(24, description="memory: the current sample and delays - 1 before it [samples]")
    cross: Annotated[int, Field(ge=0)] = Field(
        2, description="leading and lagging envelope offsets, 1 .. cross each way [samples]; 0 = memory polynomial"
    )
    constant: Switch = Field("off", description="a constant term: LO leakage (DC) of the output")
    conjugate: Switch = Field(
        "off",
        description="terms conj(x)|x|^p, p = 0 .. order - 1: the image of an I/Q imbalance; twice the aligned terms",
    )


ModelSection = Annotated[TransformerModel | GRUModel | GMPModel, Field(discriminator="kind")]
KINDS: tuple[type[Section], ...] = (TransformerModel, GRUModel, GMPModel)  # that dpdrun brings


class PlateauSection(Section):
    """When `schedule: plateau` lowers the learning rate. Progress is the decrease of the validation NMSE in dB."""

    factor: Annotated[float, Field(gt=0, lt=1)] = Field(0.5, description="the lr is multiplied by this")
    patience: Count = Field(5, description="evaluations without progress before the lr is lowered")
    threshold_db: Annotated[float, Field(ge=0)] = Field(
        0.01, description="smallest decrease of the NMSE that counts as progress [dB]"
    )


class OptimSection(Section):
    """The optimizer, AdamW. A rule sets every `auto`; `dpdrun recommend` shows which rule and why."""

    lr: Annotated[float, Field(gt=0)] | Auto = Field(AUTO, description="peak learning rate")
    beta1: Annotated[float, Field(ge=0, lt=1)] | Auto = Field(
        AUTO, description="AdamW: decay of the running mean of the gradient"
    )
    beta2: Annotated[float, Field(ge=0, lt=1)] | Auto = Field(
        AUTO, description="AdamW: decay of the running mean of its square"
    )
    eps: Annotated[float, Field(gt=0)] | Auto = Field(AUTO, description="AdamW: added to the denominator")
    weight_decay: Annotated[float, Field(gt=0)] | Auto | Off = Field(
        AUTO, description="decoupled weight decay of matrices (never of norms, biases, positions)"
    )
    clip_norm: Annotated[float, Field(gt=0)] | Auto | Off = Field(
        AUTO, description="gradients are clipped to this global norm"
    )
    warmup: Count | Percent | Auto | Off = Field(
        AUTO, description="linear increase of the lr, in optimizer steps (150) or as a share of all steps (7.5%)"
    )
    schedule: Literal["cosine", "linear", "plateau", "inverse_sqrt", "constant"] | Auto = Field(
        AUTO, description="how the lr decreases after the warmup"
    )
    lr_end: Percent = Field(
        Percent("0%"), description="lr at the last step, as a share of the peak (cosine, linear, plateau)"
    )
    plateau: PlateauSection = Field(PlateauSection.model_validate({}), description="settings of schedule: plateau")
    refine: Literal["lm"] | Off = Field(
        OFF,
        description="lm = refine AdamW's best model by Levenberg-Marquardt on the training split; for "
        "Transformers with a window and at most 4,000 parameters",
    )
    refine_iterations: Count = Field(100, description="iterations of the refinement")
    # Half the time of all on a long capture, at the same scores: docs/results.md#refinement-of-a-long-capture
    refine_samples_per_parameter: Count | Literal["all"] = Field(
        128,
        description="samples that the refinement learns from, for each parameter of the model: in blocks evenly spaced "
        "over the training split; all = the complete split",
    )
    name: Annotated[str, Registered("optimizers")] = Field(
        ADAMW, description="which optimizer: adamw, or one of a plug-in (docs/plugins.md)"
    )


class SpectralLoss(Section):
    """A loss on the spectrum of the error, with weights for the regions of the band."""

    in_band: Annotated[float, Field(ge=0)] = Field(1.0, description="weight of the error inside the occupied band")
    out_of_band: Annotated[float, Field(ge=0)] = Field(
        10.0, description="weight of the error outside of it; with both weights 1 the loss equals the time-domain loss"
    )
    beyond: Annotated[float, Field(ge=0)] | Auto = Field(
        AUTO, description="weight of the error beyond the adjacent channels of the ACLR; auto = out_of_band"
    )


class TrainSection(Section):
    """Length, batches and precision of the training."""

    epochs: Annotated[float, Field(gt=0, le=MAX_EPOCHS)] | Auto = Field(
        AUTO, description="passes over the training split"
    )
    max_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] | Off = Field(
        OFF, description="optimizer steps, instead of epochs"
    )
    batch_size: Count | Auto = Field(AUTO, description="frames per optimizer step, over all processes and accumulation")
    accumulate: Count = Field(
        1, description="gradient accumulation: forward passes per optimizer step; must divide batch_size"
    )
    frame: Annotated[int, Field(ge=2)] | Auto = Field(AUTO, description="length of one training example [samples]")
    burn_in: Annotated[int, Field(ge=0)] | Auto = Field(
        AUTO, description="samples at the start of a frame that give context but are excluded from the loss [samples]"
    )
    phase_augment: Switch = Field(
        "off",
        description="augmentation: rotate input and output of each frame by the same random phase (a PA commutes with "
        "that; LO leakage and the image of an I/Q imbalance do not)",
    )
    init_from: Text | Off = Field(
        OFF,
        description="run folder whose weights training starts from; tensors that do not fit start as without it",
    )
    freeze: Annotated[list[Text], Field(min_length=1)] | Off = Field(
        OFF,
        description="parameters that keep the weights of init_from: names, parts of the model or patterns, such as "
        "[embedding, blocks.0, '*.bias']",
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        0, description="random seed of weights, frame order and dropout"
    )
    eval_every: Count | Auto = Field(AUTO, description="optimizer steps between evaluations of the validation split")
    eval_on: Literal["record", "frame"] = Field(
        "record",
        description="record = score the complete record in one pass; frame = score frames of `frame` samples",
    )
    checkpoint_every: Count | Auto | Off = Field(
        AUTO, description="optimizer steps between the checkpoints that --resume continues from"
    )
    on_finding: Literal["warn", "stop", "adapt"] = Field(
        "warn",
        description="effect of a finding during training: warn = print a line; stop = an error ends the run, with a "
        "checkpoint; adapt = after an error that a lower lr can fix, roll back to a checkpoint before it and continue "
        "with a lower lr, at most 3 times",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto",
        description="where training runs: auto = a CUDA GPU if torch finds one, else the CPU; mps (Apple GPU) is "
        "refused, because results on it were never verified",
    )
    compile: Literal["auto", "on", "off"] = Field("auto", description="torch.compile the training step")
    threads: Annotated[int, Field(ge=1, le=MAX_THREADS)] | Auto = Field(
        AUTO,
        description="CPU threads of torch; auto = as many as the work of a step keeps busy, at most the usable cores "
        "(affinity, container quota, OMP_NUM_THREADS); recorded, so that a resumed run keeps them",
    )
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = Field(
        "fp32",
        description="arithmetic of matrix products in a training step: fp32 = single precision; tf32 = single "
        "precision with a 10-bit mantissa, on GPUs that support it; bf16 = autocast to bfloat16; fp16 = autocast to "
        "float16 with loss scaling, on a GPU only. Weights, optimizer and scores are always in single precision",
    )
    loss: SpectralLoss | Annotated[str, Registered("losses")] = Field(
        "time",
        description="time = mean squared error; or a section: weights inside and outside the occupied band; or a loss "
        "of a plug-in (docs/plugins.md)",
    )


class DpdSection(Section):
    """How a predistorter learns, and its target gain. Only with task: dpd."""

    learning: Literal["direct", "indirect", "ilc"] = Field(
        "direct",
        description="direct = train through the frozen PA model; indirect = learn the inverse from the measured pair, "
        "without a PA model; ilc = find the ideal input of the PA model by iterative learning control, then learn it",
    )
    augment: Switch = Field(
        "off",
        description="ilc only: also learn the ideal input for the training input reversed in time, conjugated, and "
        "both; four times the data without another measurement",
    )
    gain: Literal["peak", "least_squares", "same_power"] = Field(
        "peak",
        description="target gain, from the training split: peak = max|y| / max|x|; least_squares = gain of the best "
        "linear fit; same_power = rms(y) / rms(x)",
    )
    peak_limit: Annotated[float, Field(gt=0)] | Auto | Off = Field(
        AUTO,
        description="largest magnitude of the predistorter's output; auto = largest magnitude of the training input",
    )
    weak_pa: Literal["refuse", "accept"] = Field(
        "refuse", description="what to do with a PA model whose validation NMSE is worse than that of a GMP"
    )


WordBits = Annotated[int, Field(ge=4, le=18)]


class QuantizationSection(Section):
    """Word lengths of the fixed-point form of a finished run (`dpdrun export --fixed`). Bits include the sign."""

    weights: WordBits = Field(16, description="bits of weights; a bias is kept at the precision of its sum")
    activations: WordBits = Field(16, description="bits of the tensors between two operations")
    state: WordBits | Auto = Field(
        AUTO, description="bits of what a stream keeps from sample to sample; auto = those of activations"
    )
    port: WordBits = Field(16, description="bits of I and of Q at input and output")
    accumulator: Annotated[int, Field(ge=16, le=63)] = Field(
        48, description="bits of sums of products; a model that can need more is refused"
    )
    scales: Literal["minmax", "percentile", "mse"] = Field(
        "minmax",
        description="range of a tensor, from the training split with 2 dB of headroom: minmax = no value is clipped; "
        "percentile = 99.99 % of them are not; mse = least mean square error",
    )
    per_channel: Literal["weights", "all"] | Off = Field(
        OFF,
        description="off = one power-of-two scale for each tensor; weights = one for each row of a matrix; all = also "
        "one for each channel of an activation; a shift each",
    )
    fine_tune: Count | Off = Field(
        OFF, description="steps of quantization-aware training that fit the weights to the rounding; off = none"
    )


class Recipe(Section):
    """A training job."""

    task: Literal["pa", "dpd"] = Field(
        description="pa = model a power amplifier: input -> output; dpd = its predistorter: desired output -> input"
    )
    rules: Literal["measured", "note"] = Field(
        "measured",
        description="which rules set each auto: measured = rules from the studies in benchmarks/; note = rules of the "
        "founding Transformer note (docs/note.md)",
    )
    pa: Text | Off = Field(
        OFF,
        description="task dpd: run folder of the PA model to train and score with; given = a module passed from Python",
    )
    data: DataSection
    model: ModelSection
    dpd: DpdSection = Field(DpdSection.model_validate({}), description="target gain and learning of a predistorter")
    optim: OptimSection = Field(OptimSection.model_validate({}), description="optimizer and learning rate")
    train: TrainSection = Field(TrainSection.model_validate({}), description="length, batches, precision")
    quantization: QuantizationSection | Off = Field(
        OFF,
        description="word lengths for `dpdrun export --fixed`; if given, a model without a fixed-point form is refused "
        "before it is trained",
    )
