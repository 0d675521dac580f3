"""SZ: sizes of the network, measured from the data (`dpdrun recommend --data`, `rf.memory_depth`).

A recipe always states its sizes, so these rules never change a run: they advise, and `recommend -o` writes it down.
"""

from __future__ import annotations

import math
from typing import Annotated

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import Family, used
from dpdrun.rules.engine import Choice
from dpdrun.rules.text import pluralize

SHORTEST_WINDOW = 32  # of all shipped recipes for memories of up to 24 samples
LONGEST_WINDOW = 128  # of recipes/dpa_160mhz_transformer.yaml, whose amplifier remembers 512 samples
D_MODEL = 16
SMALL_D_MODEL = 8
WEIGHTS_OF_16 = 6_906  # recipes/apa_200mhz_transformer.yaml
SAMPLES_PER_WEIGHT = 2  # two real numbers are measured a sample, so four equations a weight
LITTLE_LEFT_DB = 0.5
LAYERS = {"transformer": 2, "gru": 1}
REGRET = "docs/results.md#regret"
COMPARED = "our learning-rate sweeps, at the best rate of each size (make regret)"
FEATURES_PER_HEAD = 8
HEADS = 2  # at least
MOST_HEADS = 1024  # that are looked for: far more than any of these models has
# Units of a GRU that were swept, largest first, with the weights of one layer (`features: envelope`).
WEIGHTS_OF_GRU = {64: 13_578, 32: 3_722, 16: 1_098}
SMALL_HIDDEN = 8
MOST_AHEAD = 16
MOST_DELAYS = 64

DATA = {"memory": Within(1)}  # known where the data were looked at
transformer, gru = Family(kinds=("transformer",), where=DATA), Family(kinds=("gru",), where=DATA)


def heads_for(width: int) -> int:
    """Return the most heads of at least eight features that divide a width; two for small ones, one where it is odd."""
    wanted = max(HEADS, width // FEATURES_PER_HEAD)
    return next(n for n in range(min(wanted, MOST_HEADS), 0, -1) if width % n == 0)


@transformer.derive(
    "SZ010", sets="model.window", profile="measured", evidence="assumed",
    source="least-squares fits of the record (rf/memory_depth.py); the windows of the shipped recipes",
    fires=dict(kind="transformer", memory=40), silent=dict(kind="transformer"),
)  # fmt: skip
def window_over_memory(memory: int) -> Choice:
    """The attention window covers at least the memory depth of the amplifier.

    ## Why
    Effects of samples before the window cannot be modelled; samples in the window beyond the memory cost time and
    encourage overfitting. The memory depth is that of the shortest fit within 0.15 dB of the best one of up to 128
    samples, on held-out blocks of one level of the training split: a power step is no memory. The window is the
    next power of two, at least 32 and at most 128.

    ## Known limits
    The memory depth is the one that a polynomial can use; a network may use more. Other window lengths were not
    compared; 32 and 128 are those of the shipped recipes. A memory depth of more than 128 samples is partly covered by
    the second layer, which doubles the receptive field.
    """
    window = min(LONGEST_WINDOW, max(SHORTEST_WINDOW, 1 << (memory - 1).bit_length()))
    why = f"least-squares fits need {pluralize(memory, 'sample')} of memory"
    if memory > LONGEST_WINDOW:
        return Choice(window, f"{why}; the longest window of our recipes")
    return Choice(window, why + ("; the shortest window of our recipes" if memory < SHORTEST_WINDOW else ""))


transformer.constant(
    "SZ011", "width_of_our_sweep", "model.d_model", D_MODEL, profile="measured", requires=("SZ012",),
    where=used("samples", "polynomial_db", "noise_floor_db"), source="our learning-rate sweeps at four widths "
    "on APA_200MHz", evidence="measured", results="docs/results.md#learning-rate",
    summary="A Transformer of width 16; wider ones gained little.",
    why="wider ones gained little in our sweeps",
    page="""
    At the best learning rate of each and 1000 steps, width 8 reached -38.79 dB, 16 -39.05 dB, 32 -39.18 dB and 64
    -39.23 dB, while the number of weights quadruples with every doubling (about 7,000 at 16, with two layers). In the
    400 steps of the regret study, with three seeds, 8 reached -37.63 dB and 16, 32 and 64 between -38.52 dB and -38.60
    dB.
    """,
    limits="""
    One amplifier, at most 1000 steps. If the least-squares fit is far above the noise floor and steps are cheap, try a
    larger width first (`--d-model 32`).
    """,
    fires=dict(kind="transformer", memory=20, samples=58_980), silent=dict(kind="transformer", samples=58_980),
)  # fmt: skip


@transformer.derive(
    "SZ012", sets="model.d_model", profile="measured", evidence="assumed",
    where=used("polynomial_db", "noise_floor_db"),
    source="two training samples a weight, as recipes/apa_200mhz_small.yaml has 29; our choice",
    fires=dict(kind="transformer", memory=20, samples=5_000),
    silent=dict(kind="transformer", memory=20, samples=58_980),
)  # fmt: skip
def width_of_a_small_task(samples: int, db_left: float = math.inf) -> Choice | None:
    """A Transformer of width 8 if the record is short or if a polynomial already reaches the noise floor.

    ## Why
    A network with more degrees of freedom than the record has information fits its noise, and one that can gain less
    than half a decibel need not be large. A record is short if it has fewer than two training samples for each of the
    6,906 weights of width 16.

    ## Known limits
    Neither limit was measured. With so little to gain, `model.kind: gmp`, which is fitted in seconds, may be
    sufficient.
    """
    if db_left <= LITTLE_LEFT_DB:
        return Choice(SMALL_D_MODEL, _little_left(db_left))
    if samples < SAMPLES_PER_WEIGHT * WEIGHTS_OF_16:
        few = f"{samples:,} training samples are few for the {WEIGHTS_OF_16:,} weights of d_model {D_MODEL}"
        return Choice(SMALL_D_MODEL, few)
    return None


transformer.constant(
    "SZ013", "layers_of_our_recipes", "model.layers", LAYERS["transformer"], profile="measured", source=COMPARED,
    evidence="measured", results=REGRET,
    summary="Two layers for a Transformer, as in all shipped recipes.",
    why="a second layer gained in our sweeps; four were within the spread over seeds",
    page="""
    The first attention block collects the past, and a second one can process its result. At width 16 one layer reached
    -37.74 dB, two -38.57 dB and four, in twice the time, -38.73 dB.
    """,
    limits="""
    Compared on APA_200MHz in 400 steps, by the median of three seeds at the best learning rate of each; in these runs
    the spread over seeds is larger than the gain from two layers to four.
    """,
    fires=dict(kind="transformer", memory=20), silent=dict(kind="transformer"),
)  # fmt: skip


@transformer.derive(
    "SZ014", sets="model.heads", profile="measured", evidence="assumed",
    source="the shipped recipes; other numbers of heads were not compared",
    fires=dict(kind="transformer", memory=20, d_model=32), silent=dict(kind="transformer", memory=20),
)  # fmt: skip
def heads_of_eight_features(d_model: Annotated[int, Within(1)]) -> Choice:
    """One attention head per eight features, at least two, dividing d_model; one head if d_model is odd.

    ## Why
    The shipped recipes have heads of 4 and 8 features.

    ## Known limits
    Other numbers of heads were not compared.
    """
    heads = heads_for(d_model)
    return Choice(heads, f"{d_model // heads} features per head, as in our recipes")


@transformer.derive(
    "SZ015", sets="model.lookahead", profile="measured", evidence="assumed",
    source="least-squares fits of the record with future samples (rf/memory_depth.py)",
    fires=dict(kind="transformer", memory=20, ahead=6),
    silent=dict(kind="transformer", memory=20, ahead=6, window=math.inf),
)  # fmt: skip
def lookahead_of_a_pre_echo(ahead: Annotated[int, Within(0)], window: float = 0) -> Choice | None:
    """Look-ahead of the linear path: as many future samples as improve least-squares fits by 0.05 dB, else none.

    ## Why
    A record that was resampled or aligned with a band-limited filter contains the impulse response of the filter, part
    of which precedes its peak; a causal model cannot follow that part. Each future sample delays the output by one
    sample.

    ## Known limits
    The fits use only samples whose complete past and future is in the record; the end of a record has no future. The
    shipped recipes for measured captures use a look-ahead of 7 to 16 samples, chosen before these fits existed. Not for
    full attention, which already sees the future.
    """
    if window == math.inf:
        return None
    gain = "future samples improve least-squares fits" if ahead else "future samples do not improve least-squares fits"
    return Choice(min(ahead, MOST_AHEAD), gain)


@gru.derive(
    "SZ016", sets="model.hidden", profile="measured", source=COMPARED, evidence="measured", results=REGRET,
    where=used("polynomial_db", "noise_floor_db"),
    fires=dict(kind="gru", memory=20, samples=58_980), silent=dict(kind="gru"),
)  # fmt: skip
def hidden_units_of_our_sweep(samples: int | None = None, db_left: float = math.inf) -> Choice:
    """A GRU of 64 units, the largest that was swept, or fewer if the record is short.

    ## Why
    At the best learning rate of each, 8 units reached -31.10 dB, 16 -32.13 dB, 32 -34.32 dB and 64 -36.59 dB. Most of
    the time of a step is spent on processing the frame sample by sample: 64 units take about 1.5 times as long as 16
    (benchmarks/effort). The rule sets the largest of 64, 32 and 16 with at least two training samples per weight
    (SZ012); 8 if there are fewer, or if a polynomial reaches the noise floor; 32 if the length of the record is
    unknown.

    ## Known limits
    One amplifier (APA_200MHz), 400 steps, three seeds. More than 64 units were not swept; the last doubling still
    gained, so more may help. The inference cost grows with the square of the number of units: set `--hidden` if that
    matters.
    """
    if db_left <= LITTLE_LEFT_DB:
        return Choice(SMALL_HIDDEN, _little_left(db_left))
    if samples is None:
        return Choice(32, "more units gained in our sweeps; the length of the record is unknown")
    most = max(WEIGHTS_OF_GRU)
    for units, weights in WEIGHTS_OF_GRU.items():
        if samples >= SAMPLES_PER_WEIGHT * weights:
            why = "each doubling of the units up to this number gained in our sweeps"
            if units < most:
                why = f"{samples:,} training samples are few for the weights of {2 * units} units; more gained"
            return Choice(units, why)
    few = f"{samples:,} training samples are few for the {WEIGHTS_OF_GRU[16]:,} weights of 16 units"
    return Choice(SMALL_HIDDEN, few)


gru.constant(
    "SZ017", "one_layer_for_a_gru", "model.layers", LAYERS["gru"], profile="measured", evidence="assumed",
    source="the setting of our sweeps and of the shipped recipes; deeper GRUs were not compared",
    summary="One layer for a GRU.",
    why="as in our sweeps; more units take less time than more layers",
    page="""
    A second layer doubles the time of a step, because each layer processes the frame sample by sample; more units in
    one layer hardly take more time, and gained (SZ016).
    """,
    limits="Other depths of GRUs were not compared.",
    fires=dict(kind="gru", memory=20), silent=dict(kind="transformer", memory=20),
)  # fmt: skip


gmp = Family(kinds=("gmp",), where=DATA)


@gmp.derive(
    "SZ018", sets="model.delays", profile="measured", evidence="assumed",
    source="least-squares fits of the record (rf/memory_depth.py)",
    fires=dict(kind="gmp", memory=16), silent=dict(kind="gmp"),
)  # fmt: skip
def delays_over_memory(memory: int) -> Choice:
    """A GMP has as many delays as the memory of the amplifier, at most 64.

    ## Why
    Terms beyond the memory fit noise, and a GMP without the last delays cannot follow the amplifier. The number is that
    of the shortest fit within 0.15 dB of the best one of up to 128 samples (SZ010).

    ## Known limits
    More than 64 delays make the regression slow and ill-conditioned; slower effects are not polynomial terms.
    """
    why = f"least-squares fits need {pluralize(memory, 'sample')} of memory"
    return Choice(min(MOST_DELAYS, memory), why + ("; at most 64 delays" if memory > MOST_DELAYS else ""))


def _little_left(left_db: float) -> str:
    """Return why a small network is enough: `a polynomial is 0.3 dB above the noise floor; ...`."""
    place = f"{left_db:.1f} dB above" if left_db >= 0.05 else "at"
    return f"a polynomial is {place} the noise floor; model.kind gmp may be enough"
