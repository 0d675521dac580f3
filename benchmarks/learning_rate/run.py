"""Learning rate against width: short runs of the reference recipe on validation data; the test part decides nothing.

    make learning-rate            (or: python -m benchmarks.learning_rate.run)

One seed, 1000 steps, everything else as the rules set it. It shows the scale of what a learning rate is worth; the
regret of each rule, over data sets, lengths and seeds, is a study of its own.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.common import ROOT, ResultsFile, markdown, measure, write_table

HERE = Path(__file__).parent
STEPS = 1000
RATES = ("3e-4", "1e-3", "3e-3", "1e-2", "2e-2", "3e-2", "6e-2")
TRANSFORMER = ROOT / "recipes" / "apa_200mhz_transformer.yaml"
GRU = ROOT / "recipes" / "quickstart_gru.yaml"
WIDTHS = (8, 16, 32, 64)
HIDDEN = (23,)


def jobs() -> list[tuple[str, Path, tuple[str, ...]]]:
    """Every run: name, recipe, overrides."""
    short = (f"train.max_steps={STEPS}", "train.phase_augment=off")
    gru = (*short, "data.source=opendpd/APA_200MHz")
    found = [
        (f"transformer/{d}/{lr}", TRANSFORMER, (f"model.d_model={d}", f"optim.lr={lr}", *short))
        for d in WIDTHS
        for lr in RATES
    ]
    for h in HIDDEN:
        found += [(f"gru/{h}/{lr}", GRU, (f"model.hidden={h}", f"optim.lr={lr}", *gru)) for lr in RATES]
    return found


def table(results: ResultsFile) -> str:
    """One row a width, one column a learning rate; the best in bold."""
    rows = []
    for kind, widths, name in (("transformer", WIDTHS, "d_model"), ("gru", HIDDEN, "hidden")):
        for width in widths:
            scores = [results.results[f"{kind}/{width}/{lr}"]["val_nmse_db"] for lr in RATES]
            cells = [f"**{s:.2f}**" if s == min(scores) else f"{s:.2f}" for s in scores]
            rows.append([f"{kind}, {name} {width}", *cells])
    return markdown(["validation NMSE [dB] at lr", *RATES], rows)


def main() -> None:
    """Measure what is missing, then write the table."""
    results = ResultsFile(HERE / "results.json")
    measure(results, jobs())
    write_table("learning-rate", table(results))


if __name__ == "__main__":
    main()
