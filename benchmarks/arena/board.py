"""The Arena's cut of capture B as a recipe section: its samples, its guards, and its known constants.

The judge refuses other constants than these (`protocol.Arena`), and a test compares the cut. The gain is that of
`dpd.gain: peak`, the limit that of `dpd.peak_limit: auto`.
"""

from __future__ import annotations

# [first, last) of each part in the record of 98,304 samples; 200 samples are dropped at each cut
PARTS = {"train": (0, 25_307), "val": (25_507, 31_834), "test": (32_034, 98_304)}
DATA = {
    "source": "opendpd/APA_200MHz_b",
    "split": {"train": "25.8454%", "val": "6.6397%", "test": "67.5149%", "guard": 100},
}
GAIN = 0.992225170135498  # the linear gain to aim at
PEAK = 1.0  # the limit on the magnitude of a predistorter's output


def worse_aclr_db(metrics: dict[str, float]) -> float:
    """Worse-side ACLR of a published mean, which lists what a predistorter gained over the baseline."""
    return metrics["baseline_aclr_db"] - metrics["aclr_improvement_db"]
