"""A chain from its first run to the last: skipped, resumed, redone, stopped and continued."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dpdrun.errors import FindingError, RunError, StoppedError
from dpdrun.pipeline.execution import require_folder
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.training import job
from dpdrun.training.telemetry import Silent

Run = Callable[..., dict[str, str]]
DONE = {"pa": "skip", "judge": "skip", "net": "skip", "evaluation": "skip"}


def stamps(path: Path) -> dict[str, tuple[int, int]]:
    found = {str(p): (p.stat().st_mtime_ns, p.stat().st_ino) for p in sorted(path.rglob("*"))}
    assert len(found) > 10
    return found


def test_the_second_run_skips_everything_and_touches_no_file(folder: Path, run: Run) -> None:
    assert run() == {"pa": "run", "judge": "run", "net": "run", "evaluation": "run"}
    before = stamps(folder / "out")
    assert run() == DONE
    assert run(redo=True) == DONE
    assert stamps(folder / "out") == before


def test_a_changed_predistorter_is_refused_and_on_request_redone_alone(folder: Path, run: Run) -> None:
    run()
    before = stamps(folder / "out")
    with pytest.raises(RunError) as error:
        run("net.train.max_steps=9")
    assert "out/net: its inputs have changed: train.max_steps" in str(error.value)
    assert "\n  dpdrun train chain.yaml --redo\n" in str(error.value)
    assert stamps(folder / "out") == before
    done = run("net.train.max_steps=9", redo=True)
    assert done == DONE | {"net": "changed", "evaluation": "run"}
    after = stamps(folder / "out")
    kept = {path: stamp for path, stamp in before.items() if "/pa/" in path or "/judge/" in path}
    assert kept.items() <= after.items()
    old = folder / "out" / "net.old-1"
    assert {
        path.replace("/net/", "/net.old-1/"): stamp for path, stamp in before.items() if "/net/" in path
    }.items() <= (after.items())
    assert [len(read_metrics(path).steps) for path in (old, folder / "out" / "net")] == [8, 9]
    assert run("net.train.max_steps=8", redo=True)["net"] == "changed"
    assert (folder / "out" / "net.old-2").is_dir(), "no old folder makes way for another"


def test_a_changed_pa_reruns_its_predistorter_too(folder: Path, run: Run) -> None:
    run()
    with pytest.raises(RunError, match="out/pa: its inputs have changed"):
        run("pa.model.order=3")
    assert run("pa.model.order=3", redo=True) == {
        "pa": "changed", "judge": "skip", "net": "changed", "evaluation": "run"
    }  # fmt: skip
    assert run("pa.model.order=3") == DONE


def test_a_pa_that_comes_out_the_same_leaves_its_predistorter_alone(folder: Path, run: Run) -> None:
    run()
    RunFolder(folder / "out" / "pa").report.unlink()
    assert run() == DONE | {"pa": "restart"}
    assert (folder / "out" / "pa.old-1").is_dir()


def test_a_pa_that_comes_out_another_one_stops_the_chain_there(folder: Path, run: Run) -> None:
    run()
    (folder / "out" / "pa").rename(folder / "elsewhere")
    with pytest.raises(RunError, match="its PA model, step pa, has changed"):
        run_with_other_noise(run)


def run_with_other_noise(run: Run) -> None:
    """The PA step, as on a machine whose arithmetic rounds otherwise."""
    real = job.checkpoint.save_model

    def saving(path: Path, model: Any, header: dict[str, str]) -> None:
        with job.torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1 + 1e-6)
        real(path, model, header)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job.checkpoint, "save_model", saving)
        run()


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Sends a signal to this process at a step of a training."""

    def at(step: int, number: int) -> None:
        taking = Silent.step

        def stepping(self: Silent, line: dict[str, Any]) -> None:
            taking(self, line)
            if line["step"] == step:
                os.kill(os.getpid(), number)

        monkeypatch.setattr(Silent, "step", stepping)

    return at


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, StoppedError), (signal.SIGINT, KeyboardInterrupt)])
def test_stopped_in_the_predistorter_and_continued(
    number: int, error: type[BaseException], folder: Path, run: Run, stop_at: Callable[[int, int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stop_at(3, number)
    with pytest.raises(error) as stopped:
        run()
    message = str(stopped.value)
    assert (
        "after step 3 of 8 in step net, 3 of 3 of the pipeline; to continue it:\n  dpdrun train chain.yaml" in message
    )
    assert "--resume" not in message, "one command"
    monkeypatch.undo()
    before = stamps(folder / "out")
    assert run() == {"pa": "skip", "judge": "skip", "net": "resume", "evaluation": "run"}
    after = stamps(folder / "out")
    assert [path for path, stamp in before.items() if "/net" not in path and after[path] != stamp and "." in path] == []
    assert [line["step"] for line in read_metrics(folder / "out" / "net").steps] == list(range(1, 9))
    assert not (folder / "out" / "net.old-1").exists()


def test_stopped_by_a_finding(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stepping(self: Silent, line: dict[str, Any]) -> None:
        raise FindingError("stopped after step 1, as train.on_finding: stop asks\n  to go on all the same:\n  this")

    monkeypatch.setattr(Silent, "step", stepping)
    with pytest.raises(FindingError) as error:
        run()
    assert str(error.value).endswith("same:\n  this\n  then continue the pipeline:\n  dpdrun train chain.yaml")


def test_killed_before_the_first_checkpoint(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(Exception):
        pass

    def stepping(self: Silent, line: dict[str, Any]) -> None:
        if line["step"] == 2:
            raise KilledError  # nothing is written after it, as after SIGKILL

    monkeypatch.setattr(Silent, "step", stepping)
    with pytest.raises(KilledError):
        run()
    monkeypatch.undo()
    assert run() == {"pa": "skip", "judge": "skip", "net": "restart", "evaluation": "run"}
    assert (folder / "out" / "net.old-1" / "metrics.jsonl").is_file()


def test_one_process_at_a_time(folder: Path, run: Run) -> None:
    run()
    with RunFolder(folder / "out").lock(), pytest.raises(RunError, match="another process"):
        run()


def test_a_folder_that_cannot_be_that_of_a_chain(folder: Path, run: Run) -> None:
    run()
    with pytest.raises(RunError, match="there is a run in this folder"):
        require_folder(folder / "out" / "net")
    with pytest.raises(RunError, match=r"net\.yaml is a file"):
        require_folder(folder / "net.yaml" / "out")
    require_folder(folder / "out")
    require_folder(folder / "new" / "out")


@pytest.mark.parametrize("name", ["judge", "evaluation", "evaluation/net"])
def test_a_folder_whose_parts_are_links_out_of_it_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "out" / name).parent.mkdir(parents=True)
    (tmp_path / "out" / name).symlink_to(tmp_path / "outside")
    with pytest.raises(RunError, match=f"{name}: a symlink out of this folder"):
        require_folder(tmp_path / "out")
