"""`dpdrun diagnose --follow`: looks again as a log grows, says what is new, ends with the run."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from dpdrun.commands import _follow, app
from dpdrun.commands._follow import Interrupted, follow
from dpdrun.diagnosis.diagnose import Diagnosis, diagnose_any
from dpdrun.errors import DataError, RunError
from dpdrun.rules.examples import example_run
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import MetricsWriter

RUN = example_run(norm=lambda t: 0.1 * 10**t, loss=0.1)


class Writer:
    """Stands for `sleep`: writes the next steps of a run, a share at a time."""

    def __init__(self, write: Callable[[int, int], None], end: Callable[[], None], every: int = 100) -> None:
        self._write, self._end, self._every = write, end, every
        self.done = 0

    def __call__(self, seconds: float) -> None:
        assert seconds >= _follow.EVERY_S
        if self.done >= len(RUN.step):
            return self._end()
        self._write(self.done, self.done + self._every)
        self.done += self._every
        return None


def stop() -> None:
    raise KeyboardInterrupt


def csv_writer(path: Path, end: Callable[[], None] = stop) -> Writer:
    path.write_text("step,loss,grad_norm,lr\n")

    def write(first: int, last: int) -> None:
        with path.open("a") as file:
            for i in range(first, min(last, len(RUN.step))):
                file.write(f"{RUN.step[i]},{RUN.loss[i]},{RUN.grad_norm[i]},{RUN.lr[i]}\n")

    write(0, 100)
    return Writer(lambda a, b: write(a + 100, b + 100), end)


def looked(path: Path, *maps: str) -> Callable[[], tuple[Diagnosis, str]]:
    return lambda: (diagnose_any(path, maps), str(path))


def plain() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=100)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_finding_is_told_once_when_it_appears(tmp_path: Path) -> None:
    path, console = tmp_path / "log.csv", plain()
    writer = csv_writer(path)
    found, _ = follow(path, looked(path, "total_steps=400"), console, sleep=writer)
    lines = text_of(console).splitlines()
    assert lines[0].startswith(f"{path}: ")
    assert "100 of 400 steps" in lines[0]
    told = [line for line in lines if "warning GN201 gradient_norm_climbs" in line]
    assert len(told) == 1
    assert told[0].startswith("step ")
    assert "advice: lower optim.lr" in told[0]
    assert found.to_json() == diagnose_any(path, ["total_steps=400"]).to_json()
    assert found.facts.progress == 1.0


def test_ctrl_c_hands_over_what_was_seen(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    with pytest.raises(Interrupted) as interrupt:
        follow(path, looked(path), plain(), sleep=csv_writer(path))
    assert interrupt.value.last is not None
    assert interrupt.value.last[0].facts.step[-1] == 400


def test_a_log_that_does_not_grow_is_not_read_again(tmp_path: Path) -> None:
    path, reads = tmp_path / "log.csv", 0
    csv_writer(path)
    naps = iter([None] * 5)

    def look() -> tuple[Diagnosis, str]:
        nonlocal reads
        reads += 1
        return diagnose_any(path), "log"

    def sleep(_: float) -> None:
        if next(naps, stop) is stop:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        follow(path, look, plain(), sleep=sleep)
    assert reads == 1


def test_an_empty_log_is_waited_for_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    path, console = tmp_path / "log.csv", plain()
    path.write_text("")
    contents = iter(["step,loss,grad_norm,lr\n", "step,loss,grad_norm,lr\n1,0.5,1,1e-3\n"])

    def sleep(_: float) -> None:
        text = next(contents, None)
        if text is None:
            raise KeyboardInterrupt
        path.write_text(text)

    with pytest.raises(Interrupted) as interrupt:
        follow(path, looked(path), console, sleep=sleep)
    assert text_of(console).count("waiting: ") == 2  # an empty file, then a header alone
    assert interrupt.value.last is not None
    assert interrupt.value.last[0].facts.step == [1]
    path.write_text("step,loss\n1,fast\n2,0\n")
    with pytest.raises(DataError, match="is not a number"):
        follow(path, looked(path), plain(), sleep=sleep)


def test_a_file_that_is_being_rewritten_is_read_later(tmp_path: Path) -> None:
    path, console = tmp_path / "trainer_state.json", plain()
    whole = json.dumps({"log_history": [{"step": 1, "loss": 0.5}], "max_steps": 2}, indent=1)
    path.write_text(whole)
    states = iter([whole[:40], whole[:30], whole.replace('"step": 1', '"step": 2')])
    found, _ = follow(path, looked(path), console, sleep=lambda _: (path.write_text(next(states)), None)[1])
    assert found.facts.step == [2]
    assert "not valid JSON" in text_of(console)


def test_a_run_folder_ends_with_its_report(finished: Path, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    for name in ("recipe.yaml", "plan.json"):
        (folder.path / name).write_bytes((finished / name).read_bytes())
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) > 4
    console = plain()

    def sleep(_: float) -> None:
        if not lines:
            folder.report.write_bytes((finished / "report.json").read_bytes())
            return
        with MetricsWriter(folder.metrics) as writer:
            for line in lines[:4]:
                writer.write(line)
        del lines[:4]

    found, _ = follow(folder.path, looked(folder.path), console, sleep=sleep)
    assert text_of(console).startswith("waiting: ")
    assert found.to_json() == diagnose_any(finished).to_json()


def test_no_such_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        follow(tmp_path / "no", looked(tmp_path / "no"), plain(), sleep=lambda _: None)


def test_on_a_terminal_a_view_is_drawn_and_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=40, legacy_windows=False)
    with pytest.raises(Interrupted):
        follow(path, looked(path), console, sleep=csv_writer(path))
    text = text_of(console)
    assert "rules looked and found nothing" in text
    assert "warning" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is shown again


def test_the_command_exits_130_on_ctrl_c_and_still_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = tmp_path / "log.csv", tmp_path / "out.md"
    csv_writer(path)

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_follow, "follow", lambda *given: follow(*given, sleep=sleep))
    result = CliRunner().invoke(app, ["diagnose", str(path), "--follow", "-o", str(out)])
    assert result.exit_code == 130
    assert "Traceback" not in result.output
    assert out.read_text().startswith("## dpdrun diagnose")


def test_the_command_goes_on_to_its_gate(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    writer = csv_writer(path)
    for _ in range(3):
        writer(_follow.EVERY_S)
    arguments = ["diagnose", str(path), "--follow", "--map", "total_steps=400", "--fail-on", "warning"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "GN201" in result.stdout
    assert CliRunner().invoke(app, ["diagnose", "--follow"]).exit_code == 2
