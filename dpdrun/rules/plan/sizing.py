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
COMPARED = "our sweeps over the learning rate, at the best rate of each size (make regret)"
FEATURES_PER_HEAD = 8
HEADS = 2  # at least
# Units of a GRU that were swept, largest first, with the weights of one layer (`features: envelope`).
WEIGHTS_OF_GRU = {64: 13_578, 32: 3_722, 16: 1_098}
SMALL_HIDDEN = 8
MOST_AHEAD = 16

DATA = {"memory": Within(1)}  # known where the data were looked at
transformer, gru = Family(kinds=("transformer",), where=DATA), Family(kinds=("gru",), where=DATA)


def heads_for(width: int) -> int:
    """Return the most heads of at least eight features that divide a width; two for small ones, one where it is odd."""
    wanted = max(HEADS, width // FEATURES_PER_HEAD)
    return max(n for n in range(1, wanted + 1) if width % n == 0)


@transformer.derive(
    "SZ010", sets="model.window", profile="measured", evidence="assumed",
    source="least-squares fits of the record (rf/memory_depth.py); the windows of the shipped recipes",
    fires=dict(kind="transformer", memory=40), silent=dict(kind="transformer"),
)  # fmt: skip
def window_over_memory(memory: int) -> Choice:
    """Attention reaches at least as far back as the amplifier remembers.

    ## Why
    What lies before the window cannot be modelled; what lies in it beyond the memory costs time and gives the network
    something to fit by chance. The memory is that of the shortest fit that scores within 0.15 dB of the best; the
    window is the next power of two, at least 32, at most 128.

    ## Known limits
    The memory is what a polynomial can use; a network may find more. Windows of other lengths were not compared; 32
    and 128 are those of the shipped recipes. A memory of more than 128 samples is partly reached by the second layer,
    which sees as far again.
    """
    window = min(LONGEST_WINDOW, max(SHORTEST_WINDOW, 1 << (memory - 1).bit_length()))
    why = f"least-squares fits need {pluralize(memory, 'sample')} of memory"
    if memory > LONGEST_WINDOW:
        return Choice(window, f"{why}; the longest window of our recipes")
    return Choice(window, why + ("; the shortest window of our recipes" if memory < SHORTEST_WINDOW else ""))


transformer.constant(
    "SZ011", "width_of_our_sweep", "model.d_model", D_MODEL, profile="measured", requires=("SZ012",),
    where=used("samples", "polynomial_db", "noise_floor_db"), source="our sweeps over the learning rate at four widths "
    "on APA_200MHz", evidence="measured", results="docs/results.md#learning-rate",
    summary="A Transformer of width 16, where wider ones gained little.",
    why="wider ones gained little in our sweeps",
    page="""
    At its best learning rate and 1000 steps, width 8 ended at -38.79 dB, 16 at -39.05 dB, 32 at -39.18 dB and 64 at
    -39.23 dB, while the weights grow fourfold with every doubling (about 7,000 at 16, with two layers). In the 400
    steps of the regret study, with three seeds, 8 ended at -37.63 dB and 16, 32 and 64 between -38.52 dB and -38.60 dB.
    """,
    limits="""
    One amplifier, at most 1000 steps. A larger one may pay where the least-squares fit is far above the noise floor
    and steps cost little (`--d-model 32`); it then is the first thing to try.
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
    """A Transformer of width 8 where the record is short, or where a polynomial is at the noise floor already.

    ## Why
    A network with more freedom than the record has information fits its noise; one that can gain less than half a
    decibel need not be large. Short are fewer than two training samples for each of the 6,906 weights of width 16.

    ## Known limits
    Neither limit was measured. With so little to gain, `model.kind: gmp` is fitted in seconds and may be all one needs.
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
    why="a second layer gained in our sweeps, four no more than seeds differ by",
    page="""
    One block of attention gathers the past, a second one can act on what the first has found. At width 16 one layer
    ended at -37.74 dB, two at -38.57 dB and four, in twice the time, at -38.73 dB.
    """,
    limits="""
    Compared on APA_200MHz in 400 steps, the median of three seeds each at its best learning rate; in these runs seeds
    differ by more than the gain from two layers to four.
    """,
    fires=dict(kind="transformer", memory=20), silent=dict(kind="transformer"),
)  # fmt: skip


@transformer.derive(
    "SZ014", sets="model.heads", profile="measured", evidence="assumed",
    source="the shipped recipes; other numbers of heads were not compared",
    fires=dict(kind="transformer", memory=20, d_model=32), silent=dict(kind="transformer", memory=20),
)  # fmt: skip
def heads_of_eight_features(d_model: Annotated[int, Within(1)]) -> Choice:
    """A head for every eight features, at least two, that divides d_model; one where d_model is odd.

    ## Why
    The shipped recipes have heads of 4 and 8 features.

    ## Known limits
    Numbers of heads were not compared.
    """
    heads = heads_for(d_model)
    return Choice(heads, f"{d_model // heads} features a head, as in our recipes")


@transformer.derive(
    "SZ015", sets="model.lookahead", profile="measured", evidence="assumed",
    source="least-squares fits of the record with future samples (rf/memory_depth.py)",
    fires=dict(kind="transformer", memory=20, ahead=6),
    silent=dict(kind="transformer", memory=20, ahead=6, window=math.inf),
)  # fmt: skip
def lookahead_of_a_pre_echo(ahead: Annotated[int, Within(0)], window: float = 0) -> Choice | None:
    """Future samples for the linear path where least-squares fits gain 0.05 dB by them, else none.

    ## Why
    A record that was resampled or aligned by a band-limited filter contains its response, part of which lies before
    its peak; a causal model cannot follow that part. Each future sample delays the output by one.

    ## Known limits
    The fits judge samples that have all of their past and future in the record. The end of a record has no future.
    The shipped recipes for measured captures look 7 to 16 samples ahead, a choice made before these fits. Not for full
    attention, which sees the future already.
    """
    if window == math.inf:
        return None
    gain = "least-squares fits gain by them" if ahead else "least-squares fits gain nothing from future samples"
    return Choice(min(ahead, MOST_AHEAD), gain)


@gru.derive(
    "SZ016", sets="model.hidden", profile="measured", source=COMPARED, evidence="measured", results=REGRET,
    where=used("polynomial_db", "noise_floor_db"),
    fires=dict(kind="gru", memory=20, samples=58_980), silent=dict(kind="gru"),
)  # fmt: skip
def hidden_units_of_our_sweep(samples: int | None = None, db_left: float = math.inf) -> Choice:
    """A GRU of 64 units, the largest that was swept, or as many as the record is long enough for.

    ## Why
    At the best learning rate of each, 8 units ended at -31.10 dB, 16 at -32.13 dB, 32 at -34.32 dB and 64 at -36.59 dB.
    A step goes through its frame sample by sample, which is most of its time: 64 units take about half as long again as
    16 (benchmarks/effort). The most of 64, 32 and 16 for whose weights there are two training samples each (SZ012); 8
    where there are not, or where a polynomial is at the noise floor; 32 where the length of the record is not known.

    ## Known limits
    One amplifier (APA_200MHz), 400 steps, three seeds. More than 64 units were not swept; the last doubling still
    gained, so more may. What they cost where they are used grows with their square: set `--hidden` if that counts.
    """
    if db_left <= LITTLE_LEFT_DB:
        return Choice(SMALL_HIDDEN, _little_left(db_left))
    if samples is None:
        return Choice(32, "more units gained in our sweeps; the length of the record is not known")
    most = max(WEIGHTS_OF_GRU)
    for units, weights in WEIGHTS_OF_GRU.items():
        if samples >= SAMPLES_PER_WEIGHT * weights:
            why = "each doubling of the units gained in our sweeps, up to these"
            if units < most:
                why = f"{samples:,} training samples are few for the weights of {2 * units} units; more gained"
            return Choice(units, why)
    few = f"{samples:,} training samples are few for the {WEIGHTS_OF_GRU[16]:,} weights of 16 units"
    return Choice(SMALL_HIDDEN, few)


gru.constant(
    "SZ017", "one_layer_for_a_gru", "model.layers", LAYERS["gru"], profile="measured", evidence="assumed",
    source="the setting of our sweeps and of the shipped recipes; deeper GRUs were not compared",
    summary="One layer for a GRU.",
    why="as in our sweeps; more units cost less time than more layers",
    page="""
    A second layer doubles the time of a step, for each goes through the frame sample by sample; more units in one layer
    hardly cost time, and gained (SZ016).
    """,
    limits="Depths of GRUs were not compared.",
    fires=dict(kind="gru", memory=20), silent=dict(kind="transformer", memory=20),
)  # fmt: skip


def _little_left(left_db: float) -> str:
    """Return why a small network is enough: `a polynomial is 0.3 dB above the noise floor; ...`."""
    place = f"{left_db:.1f} dB above" if left_db >= 0.05 else "at"
    return f"a polynomial is {place} the noise floor; model.kind gmp may be enough"
