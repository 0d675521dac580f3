"""The road from a capture to an exported predistorter; the same call continues it where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dpdrun import __version__
from dpdrun.auto.budget import predistorter_model
from dpdrun.auto.by_hand import commands
from dpdrun.auto.ladder import base_of, pa_ladder, predistorter_ladder
from dpdrun.auto.product import Options, Product
from dpdrun.auto.reading import Reading
from dpdrun.auto.recipes import pa_recipe, predistorter_recipe
from dpdrun.auto.search import Candidate, Clock, Search, View, keep, search_folder, trials_of
from dpdrun.distributed.cores import usable_cores
from dpdrun.errors import RunError
from dpdrun.export import FORMATS
from dpdrun.export.job import Exported, export
from dpdrun.pipeline.document import Pipeline, load_pipeline
from dpdrun.pipeline.execution import OnStep, Train, continued_by, execute
from dpdrun.pipeline.scores import Draw
from dpdrun.plan.cost import about_time, measure_speed
from dpdrun.plan.recorded import plan_of
from dpdrun.run.files import Json, sha256_of, write_text
from dpdrun.run.folder import RunFolder
from dpdrun.sweep.folder import SweepFolder, is_sweep_folder

PA_SHARE = 0.4  # of the time, at most, for PA models
AFTER_SHARE, AFTER_S = 0.1, 30.0  # of the time, and at least [s], for the gmp, scores, export and page
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
class PlannedSearch:
    """A row of the dry run: a ladder, the rungs that the time allows, and their time [s]."""

    name: str
    trials: int
    seconds: float
    what: str


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
    """

    reading: Reading
    options: Options
    product: Product
    command: str
    model: dict[str, Any] = field(init=False)
    state: Json = field(init=False)

    def __post_init__(self) -> None:
        self.model = predistorter_model(self.options.budget)
        self.state = self.product.begin(self.reading, self.options)
        self._speed, self._workers = measure_speed(), usable_cores()

    def plan(self) -> list[PlannedSearch]:
        """Return what the time allows; nothing is trained. Raises RunError where it is too short for anything."""
        total = self.options.minutes * 60
        pa = self._search("pa", self.product.recipe("pa"), pa_recipe(self.reading), None)
        dpd = self._search("dpd", self.product.recipe("dpd"), self._dpd_text(), pa.base.recipe.model)
        least = pa.seconds(pa.rungs[0]) + dpd.seconds(dpd.rungs[0]) + self._after_s()
        if least > total:
            raise RunError(
                f"--minutes {self.options.minutes:g}: nothing can be trained in this time: the shortest PA models and "
                f"predistorter take about {about_time(least)} here"
            )
        rows = []
        left = total - self._after_s()
        for name, search, until, what in (
            ("pa", pa, PA_SHARE * total, "PA models: a Transformer, a GRU, a gmp; the best of another kind judges"),
            ("dpd", dpd, left, "predistorters: by the rules, then refined by Levenberg-Marquardt"),
        ):
            rungs = search.rungs[: search.reachable(until if name == "pa" else left)]
            seconds = sum(search.seconds(rung) for rung in rungs)
            rows.append(PlannedSearch(name, sum(len(rung) for rung in rungs), seconds, what))
            left -= seconds
        return [*rows, PlannedSearch("product", 0, self._after_s(), "a gmp, scores through both PA models, export")]

    def run(self, show: Show) -> Made:
        """Do what is not done yet.

        Raises:
            RunError, DataError, RecipeError: a step cannot be done.
            StoppedError, KeyboardInterrupt: SIGTERM or Ctrl-C; the same command continues.
        """
        if not self.state["seconds"]:
            self.plan()  # refuses a time that is too short, before anything is written
        self.state |= {"dpdrun": __version__, "command": self.command, "capture": described(self.reading),
                       "options": asdict(self.options)}  # fmt: skip
        for folder in (self.product.path, self.product.searches):
            folder.mkdir(parents=True, exist_ok=True)
        with RunFolder(self.product.path).lock():
            self._save()
            clock, total = Clock(self.state["seconds"]), self.options.minutes * 60
            with continued_by(self.command, "the search for PA models"):
                pa, judge = self._search_pa(clock, PA_SHARE * total, show)
            with continued_by(self.command, "the search for a predistorter"):
                dpd = self._search_dpd(clock, total - self._after_s(), pa, show)
        pipeline = self._pipeline({"pa": pa, "judge": judge, "dpd": dpd})
        scores, fresh = execute(
            pipeline, self.product.path, redo=True, command=self.command, train=show.train, on_step=show.on_step,
            draw=show.draw,
        )  # fmt: skip
        with continued_by(self.command, "the export"):
            made = self._export(show)
        self.state |= {
            "steps": {name: self._described(name) for name in ("pa", "judge", "dpd_gmp", "dpd")},
            "scores": {"own": scores.own, "judged": scores.judged},
            "trials": self._trials(),
            "by_hand": commands(self.reading.section, self.options, self.product.path, self.state["exported"]["path"],
                                [place.name for place in self._searches()]),
        }  # fmt: skip
        self._save()
        return Made(self.state, fresh or made)

    def _after_s(self) -> float:
        return max(AFTER_S, AFTER_SHARE * self.options.minutes * 60)

    def _dpd_text(self, kind: str = "dpd") -> str:
        model = self.model if kind == "dpd" else {"kind": "gmp"}
        return predistorter_recipe(self.reading, model, str(self.product.step("pa").path.absolute()))

    def _search(self, name: str, recipe: Path, text: str, pa: Any) -> Search:
        base = base_of(text, recipe)
        rungs = pa_ladder(base, self.reading) if name == "pa" else predistorter_ladder(base, self.reading)
        folder = search_folder(self.product, name)
        return Search(base, rungs, folder, self.reading, pa, self._speed, self._workers)

    def _search_pa(self, clock: Clock, until: float, show: Show) -> tuple[Candidate, Candidate]:
        """Return the best PA model, and the best one of another kind."""
        path = self.product.recipe("pa").with_stem("search_pa")
        search = self._search("pa", self._written(path, pa_recipe), path.read_text(encoding="utf-8"), None)
        self._climb(search, "pa", clock, until, show)
        pa, *others = search.candidates()
        judge = next((each for each in others if each.kind != pa.kind), None)
        if judge is None:
            raise RunError(f"{search.folder.path}: no PA model of another kind than {pa.kind} was finished")
        keep(pa, self.product, "pa")
        keep(judge, self.product, "judge")
        return pa, judge

    def _search_dpd(self, clock: Clock, until: float, pa: Candidate, show: Show) -> Candidate:
        """Return the best predistorter through the chosen PA model; another PA model begins another search."""
        name = f"dpd-{sha256_of(pa.run.model)[:8]}"
        path = self.product.recipe("search_dpd")
        self._written(path, lambda _: self._dpd_text())
        search = self._search(name, path, path.read_text(encoding="utf-8"), pa.loaded.recipe.model)
        self._climb(search, name, clock, until, show)
        best = search.candidates()[0]
        keep(best, self.product, "dpd")
        return best

    def _written(self, path: Path, text: Callable[[Reading], str]) -> Path:
        if not path.is_file():
            self.product.write_recipe(path.stem, text(self.reading))
        return path

    def _climb(self, search: Search, name: str, clock: Clock, until: float, show: Show) -> None:
        searched: dict[str, float] = self.state["searched_minutes"]
        if searched.get(name, 0.0) >= self.options.minutes:
            return
        show.say(
            f"{name}: trials until {about_time(max(1.0, until - clock.seconds))} from now, in {search.folder.path}"
        )
        last = clock.seconds

        def tick() -> None:
            nonlocal last
            if clock.seconds - last > TICK_S:
                last = clock.seconds
                self._save(clock)

        try:
            search.climb(clock, until, show.view, tick)
            searched[name] = self.options.minutes
        finally:
            self._save(clock)

    def _save(self, clock: Clock | None = None) -> None:
        if clock is not None:
            self.state["seconds"] = round(clock.seconds, 1)
        self.product.write(self.state)

    def _pipeline(self, chosen: dict[str, Candidate]) -> Pipeline:
        """Write the recipes of the four steps and the pipeline, and return it."""
        for name, candidate in chosen.items():
            self.product.write_recipe(name, candidate.loaded.effective_text)
        self.product.write_recipe("dpd_gmp", self._dpd_text("gmp"))
        lines = ["task: pipeline", "steps:"]
        lines += [f"  {name}: recipes/{name}.yaml" for name in ("pa", "judge", "dpd_gmp", "dpd")]
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
