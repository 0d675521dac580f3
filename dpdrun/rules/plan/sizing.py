"""SZ: sizes of the network, from a look at the data (`dpdrun recommend --data`, `rf.ladder`).

A recipe always states its sizes, so these rules never change a run: they advise, and `recommend -o` writes it down.
"""

from __future__ import annotations

import math

from dpdrun.rules.engine import Finding, Verdict, rule
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.text import pluralize

INF = math.inf

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


def heads_for(width: int) -> int:
    """The most heads of at least eight features that divide a width; two for small ones, one where it is odd."""
    wanted = max(HEADS, width // FEATURES_PER_HEAD)
    return max(n for n in range(1, wanted + 1) if width % n == 0)


@rule(
    "SZ010",
    "measured",
    sets="model.window",
    source="least-squares fits of the record (rf/memory_depth.py); the windows of the shipped recipes",
    evidence="assumed",
    box={"kind": ("transformer",), "memory": (1, INF)},
    fires=lambda: PlanFacts(kind="transformer", memory=40),
    silent=lambda: PlanFacts(kind="transformer"),
)
def window_over_memory(facts: PlanFacts) -> Verdict:
    """Attention reaches at least as far back as the amplifier remembers.

    ## What it does
    The next power of two from the memory that least-squares fits of the record needed, at least 32, at most 128.

    ## Why
    What lies before the window cannot be modelled; what lies in it beyond the memory costs time and gives the network
    something to fit by chance. The memory is that of the shortest fit that scores within 0.15 dB of the best.

    ## Known limits
    The memory is what a polynomial can use; a network may find more. Windows of other lengths were not compared; 32
    and 128 are those of the shipped recipes. A memory of more than 128 samples is partly reached by the second layer,
    which sees as far again.

    ## Example
    Fires for a memory of 40 samples: 64. Silent when nobody looked at the data.
    """
    memory = facts.memory or 1
    window = min(LONGEST_WINDOW, max(SHORTEST_WINDOW, 1 << (memory - 1).bit_length()))
    found = f"least-squares fits need {pluralize(memory, 'sample')} of memory"
    if memory > LONGEST_WINDOW:
        return Finding(f"{found}; the longest window of our recipes", {"model.window": window})
    tail = "; the shortest window of our recipes" if memory < SHORTEST_WINDOW else ""
    return Finding(found + tail, {"model.window": window})


@rule(
    "SZ011",
    "measured",
    sets="model.d_model",
    source="our sweeps over the learning rate at four widths on APA_200MHz",
    evidence="measured",
    results="docs/results.md#learning-rate",
    box={"kind": ("transformer",), "memory": (1, INF)},
    uses=("samples", "polynomial_db", "noise_floor_db"),
    requires=("SZ012",),
    fires=lambda: PlanFacts(kind="transformer", memory=20, samples=58_980),
    silent=lambda: PlanFacts(kind="transformer", samples=58_980),
)
def width_of_our_sweep(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """A Transformer of width 16, where wider ones gained little.

    ## What it does
    Sets d_model 16, about 7,000 weights with two layers.

    ## Why
    At its best learning rate and 1000 steps, width 8 ended at -38.79 dB, 16 at -39.05 dB, 32 at -39.18 dB and 64 at
    -39.23 dB, while the weights grow fourfold with every doubling. In the 400 steps of the regret study, with three
    seeds, 8 ended at -37.63 dB and 16, 32 and 64 between -38.52 dB and -38.60 dB.

    ## Known limits
    One amplifier, at most 1000 steps. A larger one may pay where the least-squares fit is far above the noise floor
    and steps cost little (`--d-model 32`); it then is the first thing to try.

    ## Example
    Fires for a capture of 58,980 training samples (for 5,000, SZ012 answers). Silent when nobody looked at the data.
    """
    return Finding("wider ones gained little in our sweeps", {"model.d_model": D_MODEL})


@rule(
    "SZ012",
    "measured",
    sets="model.d_model",
    source="two training samples a weight, as recipes/apa_200mhz_small.yaml has 29; our choice",
    evidence="assumed",
    box={"kind": ("transformer",), "memory": (1, INF)},
    needs=("samples",),
    uses=("polynomial_db", "noise_floor_db"),
    fires=lambda: PlanFacts(kind="transformer", memory=20, samples=5_000),
    silent=lambda: PlanFacts(kind="transformer", memory=20, samples=58_980),
)
def width_of_a_small_task(facts: PlanFacts) -> Verdict:
    """A Transformer of width 8 where the record is short, or where a polynomial is at the noise floor already.

    ## What it does
    Sets d_model 8 when there are fewer than two training samples for each of the 6,906 weights of width 16, or when
    the best least-squares fit is within 0.5 dB of a known noise floor.

    ## Why
    A network with more freedom than the record has information fits its noise; one that can gain less than half a
    decibel need not be large.

    ## Known limits
    Neither limit was measured. With so little to gain, `model.kind: gmp` is fitted in seconds and may be all one needs.

    ## Example
    Fires for 5,000 training samples. Silent for 58,980.
    """
    left, samples = facts.db_left, facts.samples or 0
    if left is not None and left <= LITTLE_LEFT_DB:
        why = f"a polynomial is {_above(left)} the noise floor; model.kind gmp may be enough"
        return Finding(why, {"model.d_model": SMALL_D_MODEL})
    if samples < SAMPLES_PER_WEIGHT * WEIGHTS_OF_16:
        return Finding(
            f"{samples:,} training samples are few for the {WEIGHTS_OF_16:,} weights of d_model {D_MODEL}",
            {"model.d_model": SMALL_D_MODEL},
        )
    return None


@rule(
    "SZ013",
    "measured",
    sets="model.layers",
    source=COMPARED,
    evidence="measured",
    results=REGRET,
    box={"kind": ("transformer",), "memory": (1, INF)},
    fires=lambda: PlanFacts(kind="transformer", memory=20),
    silent=lambda: PlanFacts(kind="transformer"),
)
def layers_of_our_recipes(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """Two layers for a Transformer, as in all shipped recipes.

    ## What it does
    Sets 2.

    ## Why
    One block of attention gathers the past, a second one can act on what the first has found. At width 16 one layer
    ended at -37.74 dB, two at -38.57 dB and four, in twice the time, at -38.73 dB.

    ## Known limits
    Compared on APA_200MHz in 400 steps, the median of three seeds each at its best learning rate; in these runs seeds
    differ by more than the gain from two layers to four.

    ## Example
    Fires for a Transformer: 2. Silent when nobody looked at the data.
    """
    why = "a second layer gained in our sweeps, four no more than seeds differ by"
    return Finding(why, {"model.layers": LAYERS["transformer"]})


@rule(
    "SZ014",
    "measured",
    sets="model.heads",
    source="the shipped recipes; other numbers of heads were not compared",
    evidence="assumed",
    box={"kind": ("transformer",), "memory": (1, INF), "d_model": (1, INF)},
    fires=lambda: PlanFacts(kind="transformer", memory=20, d_model=32),
    silent=lambda: PlanFacts(kind="transformer", memory=20),
)
def heads_of_eight_features(facts: PlanFacts) -> Verdict:
    """A head for every eight features, at least two.

    ## What it does
    The number of heads next below d_model / 8 that divides d_model; 2 for small ones, 1 where d_model is odd.

    ## Why
    The shipped recipes have heads of 4 and 8 features.

    ## Known limits
    Numbers of heads were not compared.

    ## Example
    Fires for d_model 32: 4. Silent when d_model is not known.
    """
    width = facts.d_model or 1
    heads = heads_for(width)
    return Finding(f"{width // heads} features a head, as in our recipes", {"model.heads": heads})


@rule(
    "SZ015",
    "measured",
    sets="model.lookahead",
    source="least-squares fits of the record with future samples (rf/memory_depth.py)",
    evidence="assumed",
    box={"kind": ("transformer",), "ahead": (0, INF), "memory": (1, INF)},
    uses=("window",),
    fires=lambda: PlanFacts(kind="transformer", memory=20, ahead=6),
    silent=lambda: PlanFacts(kind="transformer", memory=20, ahead=6, window=INF),
)
def lookahead_of_a_pre_echo(facts: PlanFacts) -> Verdict:
    """Future samples for the linear path where least-squares fits gain by them.

    ## What it does
    As many as the fits used, if they gain 0.05 dB; else 0.

    ## Why
    A record that was resampled or aligned by a band-limited filter contains its response, part of which lies before
    its peak; a causal model cannot follow that part. Each future sample delays the output by one.

    ## Known limits
    The fits judge samples that have their whole past and future in the record. The end of a record has no future.
    The shipped recipes for measured captures look 7 to 16 samples ahead, a choice made before these fits.

    ## Example
    Fires for 6 samples. Silent for full attention, which sees the future already.
    """
    if facts.window == INF:
        return None
    ahead = min(facts.ahead or 0, MOST_AHEAD)
    why = "least-squares fits gain by them" if ahead else "least-squares fits gain nothing from future samples"
    return Finding(why, {"model.lookahead": ahead})


@rule(
    "SZ016",
    "measured",
    sets="model.hidden",
    source=COMPARED,
    evidence="measured",
    results=REGRET,
    box={"kind": ("gru",), "memory": (1, INF)},
    uses=("samples", "polynomial_db", "noise_floor_db"),
    fires=lambda: PlanFacts(kind="gru", memory=20, samples=58_980),
    silent=lambda: PlanFacts(kind="gru"),
)
def hidden_units_of_our_sweep(facts: PlanFacts) -> Verdict:
    """A GRU of 64 units, the largest that was swept, or as many as the record is long enough for.

    ## What it does
    The most of 64, 32 and 16 units for whose weights there are two training samples each, as SZ012 asks for; 8 where
    there are not, or where the best least-squares fit is within half a decibel of a known noise floor. 32 where the
    length of the record is not known.

    ## Why
    At the best learning rate of each, 8 units ended at -31.10 dB, 16 at -32.13 dB, 32 at -34.32 dB and 64 at -36.59 dB.
    A step goes through its frame sample by sample, which is most of its time: 64 units take about half as long again as
    16 (benchmarks/effort).

    ## Known limits
    One amplifier (APA_200MHz), 400 steps, three seeds. More than 64 units were not swept; the last doubling still
    gained, so more may. What they cost where they are used grows with their square: set `--hidden` if that counts.

    ## Example
    Fires for a GRU and 58,980 training samples: 64. Silent when nobody looked at the data.
    """
    left, samples = facts.db_left, facts.samples
    if left is not None and left <= LITTLE_LEFT_DB:
        why = f"a polynomial is {_above(left)} the noise floor; model.kind gmp may be enough"
        return Finding(why, {"model.hidden": SMALL_HIDDEN})
    if samples is None:
        return Finding("more units gained in our sweeps; how long the record is is not known", {"model.hidden": 32})
    most = max(WEIGHTS_OF_GRU)
    for units, weights in WEIGHTS_OF_GRU.items():
        if samples >= SAMPLES_PER_WEIGHT * weights:
            why = "each doubling of the units gained in our sweeps, up to these"
            if units < most:
                why = f"{samples:,} training samples are few for the weights of {2 * units} units; more gained"
            return Finding(why, {"model.hidden": units})
    why = f"{samples:,} training samples are few for the {WEIGHTS_OF_GRU[16]:,} weights of 16 units"
    return Finding(why, {"model.hidden": SMALL_HIDDEN})


@rule(
    "SZ017",
    "measured",
    sets="model.layers",
    source="the setting of our sweeps and of the shipped recipes; deeper GRUs were not compared",
    evidence="assumed",
    box={"kind": ("gru",), "memory": (1, INF)},
    fires=lambda: PlanFacts(kind="gru", memory=20),
    silent=lambda: PlanFacts(kind="transformer", memory=20),
)
def one_layer_for_a_gru(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """One layer for a GRU.

    ## What it does
    Sets 1.

    ## Why
    A second layer doubles the time of a step, for each goes through the frame sample by sample; more units in one layer
    hardly cost time, and gained (SZ016).

    ## Known limits
    Depths of GRUs were not compared.

    ## Example
    Fires for a GRU. Silent for a Transformer, for which SZ013 answers.
    """
    return Finding("as in our sweeps; more units cost less time than more layers", {"model.layers": LAYERS["gru"]})


def _above(left_db: float) -> str:
    """Where a fit is against the noise floor: `0.3 dB above`, `at`."""
    return f"{left_db:.1f} dB above" if left_db >= 0.05 else "at"
