"""The road from a capture to an exported predistorter; the same call continues it where it was interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dpdrun import __version__
from dpdrun.auto.budget import predistorter_model
from dpdrun.auto.by_hand import commands
from dpdrun.auto.ladder import on_workers, pa_ladder, predistorter_ladder
from dpdrun.auto.product import STEPS, Options, Product
from dpdrun.auto.reading import Reading
from dpdrun.auto.recipes import pa_recipe, predistorter_recipe
from dpdrun.auto.search import Clock, Search, View
from dpdrun.auto.tried import Candidate, judge, keep, pa_model, trials_of
from dpdrun.distributed.cores import usable_cores
from dpdrun.errors import RunError
from dpdrun.export import FORMATS
from dpdrun.export.job import Exported, export
from dpdrun.pipeline.document import Pipeline, load_pipeline
from dpdrun.pipeline.execution import OnStep, Train, continued_by, execute
from dpdrun.pipeline.scores import Draw
from dpdrun.plan.cost import Size, about_time, measure_speed, size_of
from dpdrun.plan.recorded import plan_of
from dpdrun.recipe.loader import Loaded, load_text
from dpdrun.recipe.schema import TransformerModel
from dpdrun.run.files import Json, make_folder, sha256_of, write_text
from dpdrun.run.folder import RunFolder
from dpdrun.sweep.folder import SweepFolder, is_sweep_folder

PA_SHARE = 0.4  # of the time, at most, for PA models
AFTER_S, AFTER_S_PER_SAMPLE = 15.0, 15e-5  # for the gmp, scores, export and page: 17 s for 100,000 samples on one core
TICK_S = 5.0  # between two writes of the time that has passed


@dataclass(frozen=True)
class Show:
    """What the command line shows, and how.

    Attributes:
        say: a line.
        view: a sweep while it runs.
        train, on_step, draw: as of `pipeline.execution.execute`.
    """

    say: Callable[[str], None]
    view: View
    train: Train
    on_step: OnStep
    draw: Draw | None = None


@dataclass(frozen=True)
class PlannedPart:
    """Trials of one kind, each with its time [s]; no trials: another part of the work."""

    name: str
    what: str
    trials: int
    seconds: float


@dataclass(frozen=True)
class PlannedWork:
    """What the time allows.

    Attributes:
        parts: in their order.
        seconds: of all of it [s].
        shortest: the time without which there is no result [s].
        workers: trials at a time.
        size: of the predistorter.
    """

    parts: Sequence[PlannedPart]
    seconds: float
    shortest: float
    workers: int
    size: Size

    def __str__(self) -> str:
        cores = f"{self.workers} trials at a time" if self.workers > 1 else "one trial at a time"
        return (
            f"about {about_time(self.seconds)} in total, {cores}; the shortest time here is {about_time(self.shortest)}"
            f"\nthe predistorter has {self.size.parameters:,} parameters and {self.size.macs_per_sample:,} MACs "
            "per sample"
        )


@dataclass(frozen=True)
class Made:
    """The product.

    Attributes:
        content: of auto.json.
        fresh: whether this call changed anything.
    """

    content: Json
    fresh: bool


@dataclass
class Auto:
    """One call of `dpdrun auto`.

    Attributes:
        reading: the capture.
        options: what was asked for.
        product: the folder.
        command: what was typed, which continues it.
        began: when, by time.monotonic [s].
    """

    reading: Reading
    options: Options
    product: Product
    command: str
    began: float = field(default_factory=time.monotonic)
    model: dict[str, Any] = field(init=False)
    state: Json = field(init=False)

    def __post_init__(self) -> None:
        self.model = predistorter_model(self.options.budget)
        self.state = self.product.begin(self.reading, self.options)
        self._speed, self._workers = measure_speed(), usable_cores()
        self._clock = Clock(self.state["seconds"], self.began)
        self._total_s, self._slower = self.options.minutes * 60, 1.0

    def plan(self) -> PlannedWork:
        """Return what the time allows; nothing is trained. Raises RunError where it is too short for anything."""
        pa = self._search("pa", load_text(pa_recipe(self.reading), self.product.recipe("pa")), None)
        base = load_text(self._predistorter_recipe(self.model), self.product.recipe("dpd"))
        dpd = self._search("dpd", base, pa.base.recipe.model)
        total, after = self._total_s, self._after_s(pa)
        least = dpd.needed_seconds() + dpd.scores_seconds() + after
        shortest = self._clock.seconds + pa.needed_seconds() + least
        if shortest > total:
            raise RunError(
                f"--minutes {self.options.minutes:g} is too short: reading the capture, the shortest PA models, a "
                f"predistorter and its scores take about {about_time(shortest)} here"
            )
        rows, spent = list[PlannedPart](), self._clock.seconds
        for search, until in ((pa, min(PA_SHARE * total, total - least)), (dpd, total - after)):
            trials = search.reachable(until - spent - search.scores_seconds())
            spent += on_workers([seconds for _, seconds in trials], self._workers) + search.scores_seconds()
            words = [(search.in_words(trial), seconds) for trial, seconds in trials]
            for what in dict.fromkeys(each for each, _ in words):
                own = [seconds for each, seconds in words if each == what]
                rows.append(PlannedPart(search.folder.path.name, what, len(own), sum(own) / len(own)))
        rows.append(PlannedPart("product", "a gmp, scores through both PA models, export, page", 0, after))
        size = size_of(TransformerModel.model_validate(self.model))
        return PlannedWork(rows, spent + after, shortest, self._workers, size)

    def run(self, show: Show) -> Made:
        """Do what is not done yet.

        Raises:
            RunError, DataError, RecipeError: a step cannot be done.
            StoppedError, KeyboardInterrupt: SIGTERM or Ctrl-C; the same command continues.
        """
        self.state |= {"dpdrun": __version__, "command": self.command, "capture": described(self.reading),
                       "options": asdict(self.options)}  # fmt: skip
        for folder in (self.product.path, self.product.searches):
            make_folder(folder)
        with RunFolder(self.product.path).lock():
            self.product.write(self.state)
            with continued_by(self.command, "the search for PA models"):
                pa, other = self._search_pa(show)
            with continued_by(self.command, "the search for a predistorter"):
                dpd = self._search_dpd(pa, show)
        pipeline = self._pipeline({"pa": pa, "judge": other, "dpd": dpd})
        scores, fresh = execute(
            pipeline, self.product.path, redo=True, command=self.command, train=show.train, on_step=show.on_step,
            draw=show.draw,
        )  # fmt: skip
        with continued_by(self.command, "the export"):
            made = self._export(show)
        self.state |= {
            "steps": {name: self._described(name) for name in STEPS},
            "scores": {"own": scores.own, "judged": scores.judged},
            "trials": self._trials(),
            "by_hand": commands(self.reading.section, self.options, self.product.path, self.state["exported"]["path"],
                                [place.name for place in self._searches()]),
        }  # fmt: skip
        self.product.write(self.state)
        return Made(self.product.read(), fresh or made)

    def _after_s(self, search: Search) -> float:
        """Return the time after the searches [s], by what the trials so far have taken."""
        samples = sum(len(part) for part in self.reading.capture.parts.values())
        return max(1.0, search.slower) * (AFTER_S + AFTER_S_PER_SAMPLE * samples)

    def _predistorter_recipe(self, model: dict[str, Any]) -> str:
        return predistorter_recipe(self.reading, model, str(self.product.step("pa").path.absolute()))

    def _search(self, name: str, base: Loaded, pa: Any) -> Search:
        ladder = pa_ladder(base, self.reading) if name == "pa" else predistorter_ladder(base, self.reading)
        folder = SweepFolder(self.product.searches / name)
        return Search(base, ladder, folder, self.reading, pa, self._speed, self._workers, self._slower)

    def _search_pa(self, show: Show) -> tuple[Candidate, Candidate]:
        """Return the PA model, and the independent one."""
        search = self._search("pa", self._base("search_pa", lambda: pa_recipe(self.reading)), None)
        self._climb(search, "pa", PA_SHARE * self._total_s, show)
        self._slower = search.slower
        found = search.candidates()
        pa = pa_model(found, self.product.step("pa"))
        other = judge(found, pa)
        if other is None:
            raise RunError(f"{search.folder.path}: no PA model of another kind than {pa.kind} was finished")
        keep(pa, self.product, "pa")
        keep(other, self.product, "judge")
        return pa, other

    def _search_dpd(self, pa: Candidate, show: Show) -> Candidate:
        """Return the best predistorter through the chosen PA model; another PA model begins another search."""
        name = f"dpd-{sha256_of(pa.run.model)[:8]}"
        base = self._base("search_dpd", lambda: self._predistorter_recipe(self.model))
        search = self._search(name, base, pa.loaded.recipe.model)
        self._climb(search, name, self._total_s - self._after_s(search), show)
        best = search.candidates()[0]
        keep(best, self.product, "dpd")
        return best

    def _base(self, name: str, text: Callable[[], str]) -> Loaded:
        """Return the recipe that the trials of a search override, as the first call wrote it."""
        path = self.product.recipe(name)
        if not path.is_file():
            self.product.write_recipe(name, text())
        return load_text(path.read_text(encoding="utf-8"), path)

    def _climb(self, search: Search, name: str, until: float, show: Show) -> None:
        searched: dict[str, float] = self.state["searched_minutes"]
        if searched.get(name, 0.0) >= self.options.minutes:
            return
        left = about_time(max(1.0, until - self._clock.seconds))
        show.say(f"{name}: trials until {left} from now, in {search.folder.path}")
        last = self._clock.seconds

        def tick() -> None:
            nonlocal last
            if self._clock.seconds - last > TICK_S:
                last = self._clock.seconds
                self._save()

        try:
            search.climb(self._clock, until, show.view, tick)
            searched[name] = self.options.minutes
        finally:
            self._save()

    def _save(self) -> None:
        self.state["seconds"] = round(self._clock.seconds, 1)
        self.product.write(self.state)

    def _pipeline(self, chosen: dict[str, Candidate]) -> Pipeline:
        """Write the recipes of the four steps and the pipeline, and return it."""
        for name, candidate in chosen.items():
            self.product.write_recipe(name, candidate.loaded.effective_text)
        self.product.write_recipe("dpd_gmp", self._predistorter_recipe({"kind": "gmp"}))
        lines = ["task: pipeline", "steps:"]
        lines += [f"  {name}: recipes/{name}.yaml" for name in STEPS]
        write_text(self.product.pipeline, "\n".join([*lines, "evaluate: [val, test]"]) + "\n")
        return load_pipeline(self.product.pipeline)

    def _export(self, show: Show) -> bool:
        """Export the predistorter, unless that has been done; returns whether it was done now."""
        run, key = self.product.step("dpd"), f"{self.options.to}{self.options.fixed or ''}"
        made_of = {"model_sha256": sha256_of(run.model), "to": self.options.to, "fixed": self.options.fixed}
        before = self.state.get("exported", {}).get("made_of")
        if before == made_of and (self.product.path / self.state["exported"]["path"]).is_file():
            return False
        show.say(f"export: {key}")
        self.product.exports.mkdir(exist_ok=True)
        out = self.product.exports / f"dpd{FORMATS[self.options.to][0]}"
        done = export(run.path, self.options.to, out, force=True, quantization=quantization_of(self.options.fixed))
        self.state["exported"] = {"made_of": made_of, **_exported(done, self.product.path)}
        return True

    def _searches(self) -> list[Path]:
        return sorted(place for place in self.product.searches.iterdir() if is_sweep_folder(place))

    def _trials(self) -> list[Json]:
        """Return a row for each trial of all searches, the best of each first."""
        return [row for place in self._searches() for row in trials_of(SweepFolder(place))]

    def _described(self, name: str) -> Json:
        run = self.product.step(name)
        report, plan = run.read_json(run.report), plan_of(run)
        counts = {key: report.get(key) for key in ("parameters", "macs_per_sample", "lookahead", "seconds")}
        return {"run": name, "kind": plan.recipe.model.kind, "seed": plan.recipe.train.seed, **counts}


def described(reading: Reading) -> Json:
    """Return what a capture is, and what was done to it."""
    facts, capture = reading.facts, reading.capture
    known = facts.known_floor_db
    return {
        "name": capture.name,
        "sha256": capture.sha256,
        "samples": sum(len(part) for part in capture.parts.values()),
        "sample_rate_hz": capture.sample_rate_hz,
        "bandwidth_hz": capture.bandwidth_hz,
        "corrected": list(reading.corrected),
        "warnings": list(facts.warnings),
        "floor_db": facts.floor.nmse_db if known is None else known,
        "floor_reason": facts.floor.caveat if known is None else "",
        "linear_db": facts.parts["train"].one_tap_nmse_db,
    }


def quantization_of(bits: int | None) -> Sequence[str] | None:
    """Return the changes of the quantization section; None = floating point."""
    return None if bits is None else [f"weights={bits}", f"activations={bits}", "per_channel=all"]


def _exported(done: Exported, folder: Path) -> Json:
    c, fixed = done.c or {}, done.fixed
    return {
        "path": str(done.path.relative_to(folder)),
        "bytes": done.bytes,
        "verified_samples": done.samples,
        "error": done.error,
        "c": {key: c[key] for key in ("multiplications_per_sample", "bytes") if key in c} or None,
        "fixed": None if fixed is None else {"settings": fixed.settings.model_dump(), **fixed.report},
    }
