"""LS2xx: divergence and plateaus of the loss."""

from __future__ import annotations

from statistics import median

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import Family, finding, known, moved, warning
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.series import blocks, cusum_start, p_greater
from dpdrun.rules.sources import PLAYBOOK
from dpdrun.rules.statistics import decimate, trend
from dpdrun.rules.text import two_digits

BLOCKS = 40  # a block is a fortieth of what was logged, or LEAST_BLOCK steps
LEAST_BLOCK = 20
LEFT_DB = 5.0  # above the lowest block, in each of the last two
LEFT_P = 0.001
GONE_DB = 10.0  # an error from here on
RESTARTED = 2.0  # a minimum at less than half of the present rate is no measure for it
CUSUM_SLACK, CUSUM_LIMIT = 0.5, 8.0  # spreads: k and h of the chart

FINISHED = 0.999
STILL_SHARE = 0.5  # of the steps, at the end
STILL_DB = 0.3  # progress within them
STILL_P = 0.05
# At such a share of the rate of our sweeps a constant rate cost 1 to 11 dB (docs/results.md#what-each-rule-is-worth),
# also where the loss was still falling by 3 dB within its last half.
KNOWN_HIGH = 0.5
FALLS_DB = 6.0
HIGH_LR = 0.5  # of the peak; 1 / sqrt(step) after a warmup of 10 % ends at a third, on purpose
ROOM_DB = 3.0  # above the noise floor

finite = Family(requires=("LS201",))


@finite.diagnose(
    "LS202", fix="unsafe", evidence="assumed",
    source="Page 1954 (CUSUM) for the onset; lasting loss spikes: Chowdhery et al. 2022 (PaLM), section 5.1",
    where={"settled_steps": Within(3 * LEAST_BLOCK), **known("loss", "lr")},
    fires=dict(loss=lambda t: 0.01 if t < 0.6 else 0.01 * 10 ** (5 * (t - 0.6))),
    silent=dict(loss=lambda t: 0.01 if t < 0.5 or t > 0.6 else 0.1),
)  # fmt: skip
def loss_far_above_its_minimum(run: RunFacts) -> Verdict:
    """The training loss is 5 dB or more above its minimum and does not return to it.

    ## Why
    A run that has diverged does not recover at the same learning rate; what it learned is in the best checkpoint. The
    test compares medians over blocks of the steps after the warmup (a fortieth of them, at least 20 steps): the last
    two are 5 dB above the lowest (Mann-Whitney, p below 0.001); from 10 dB on this is an error. A CUSUM chart locates
    the start of the rise.

    ## Known limits
    After a restart of the schedule only blocks at half of the current rate or more are compared, because the loss at a
    lower rate is lower. Excursions shorter than two blocks, or from which the loss returned, are not reported. While it
    lasts, a long excursion cannot be distinguished from a divergence.
    """
    if not run.loss_in_db:
        return Skipped("the loss is not known to be a power; LS205 judges it in its own unit")
    settled = run.settled
    settled_blocks = blocks(run.loss_db, max(LEAST_BLOCK, len(settled) // BLOCKS), start=settled.start)
    if len(settled_blocks) < 3:
        return Skipped("needs three blocks of steps after the warmup")
    rate = max(run.lr[block.positions[0]] for block in settled_blocks[-2:])
    alike = [block for block in settled_blocks[:-2] if run.lr[block.positions[0]] >= rate / RESTARTED]
    if not alike:
        return Skipped("no block at a comparable learning rate")
    lowest = min(alike, key=lambda block: block.level)
    rise = min(block.level for block in settled_blocks[-2:]) - lowest.level
    if rise < LEFT_DB:
        return None
    p = p_greater([run.loss_db[i] for i in settled_blocks[-1].positions], [run.loss_db[i] for i in lowest.positions])
    if p >= LEFT_P:
        return None
    after = range(lowest.positions.stop, len(run.step))
    since = cusum_start(
        [run.loss_db[i] for i in after],
        level=lowest.level, spread=max(lowest.spread, 0.3), slack=CUSUM_SLACK, limit=CUSUM_LIMIT,
    )  # fmt: skip
    began = after[since if since is not None else 0]
    lr = run.top_lr
    lower = two_digits(lr / 2)
    return finding(
        "error" if rise >= GONE_DB else "warning",
        f"the loss is {rise:.1f} dB above its minimum ({lowest.level:.1f} dB near step "
        f"{run.step[lowest.positions.start]}) and does not return; the rise began near step {run.step[began]}, "
        f"at lr {run.lr[began]:.2g}",
        value=rise, threshold=LEFT_DB, p=p, n=len(settled_blocks), step=run.step[began], patch={"optim.lr": lower},
        advice=f"keep the best checkpoint (checkpoints/best.safetensors), {moved('optim.lr', lr, lower)}; if "
        "it rose in a single step, inspect that batch (SK201)",
    )  # fmt: skip


@finite.diagnose(
    "LS203", fix="unsafe", evidence="cited",
    source=f"{PLAYBOOK}, on decay: a constant rate ends at its own noise, not at the minimum",
    where={
        "progress": Within(FINISHED, 1.0), "settled_steps": Within(100),
        **known("loss", "lr", "eval_nmse_db", "schedule"),
    },
    requires=("LR202", "UP201", "SC201", "DM203"),
    fires=dict(
        loss=lambda t: 10 ** (-2.5 * min(t / 0.4, 1.0)), realised=1e-2, schedule="constant", floor_db=-45.0,
        eval_step=[100, 200, 300, 400], eval_nmse_db=[-15.0, -25.0, -25.1, -25.0],
    ),
    silent=dict(
        loss=lambda t: 10 ** (-2.5 * min(t / 0.4, 1.0)), floor_db=-45.0,
        eval_step=[100, 200, 300, 400], eval_nmse_db=[-15.0, -25.0, -25.5, -26.0],
    ),
)  # fmt: skip
def loss_plateaus_at_a_high_lr(run: RunFacts) -> Verdict:
    """The run ended on a plateau while its learning rate was still high; a decay would have lowered the loss further.

    ## Why
    At a constant rate the weights move around the minimum at a distance that depends on the rate. They only settle at a
    lower rate. Reported for finished runs in which the loss falls by less than 0.3 dB over the second half of the steps
    (Theil-Sen, p 0.05), the rate stays above half of its peak to the end, and validation is 3 dB or more above a known
    noise floor. For a constant rate of at least half of the rate from our sweeps, the loss may fall by up to 6 dB.

    ## Known limits
    A plateau in the middle of a run with a later decay is not reported. The error that remains after a decay to zero is
    limited by the network, the length of the training or the data; see DM202, LR201.
    """
    best = run.best_nmse_db
    if best is None:
        return Skipped("needs a finite validation NMSE")
    if run.floor_db is not None and best < run.floor_db + ROOM_DB:
        return None
    last = range(len(run.step) - round(STILL_SHARE * len(run.step)), len(run.step))
    peak = max(run.lr)
    lowest = min(run.lr[i] for i in last)
    if lowest < HIGH_LR * peak or peak == 0.0:
        return None
    seen = trend(decimate([run.loss_db[i] for i in last], 100))
    known_high = run.schedule == "constant" and run.swept_lr is not None and peak >= KNOWN_HIGH * run.swept_lr
    if seen.change <= -(FALLS_DB if known_high else STILL_DB) and seen.p_down < STILL_P:
        return None
    level = median(run.loss_db[i] for i in last)
    patch = {} if run.schedule == "cosine" else {"optim.schedule": "cosine"}
    stays = "stays" if seen.change > -STILL_DB else "is"
    return warning(
        f"the loss {stays} at {level:.1f} dB over the last {len(last)} steps (change {seen.change:+.1f} dB) while the "
        f"lr is still at {lowest / peak:.0%} of its peak or above",
        value=seen.change, threshold=-STILL_DB, p=seen.p_down, n=seen.n, step=run.step[last.start], patch=patch,
        advice="decay the rate to zero by the end of the run: optim.schedule cosine",
    )  # fmt: skip
