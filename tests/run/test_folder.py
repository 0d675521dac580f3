"""The run folder: whole files, valid JSON lines, clear errors."""

import errno
import json
import math
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dpdrun.errors import RunError
from dpdrun.run.files import PARTIAL, decode_numbers, encode_numbers, replacing, write_text
from dpdrun.run.folder import RunFolder, default_folder
from dpdrun.run.metrics import MetricsWriter, read_metrics, truncate_metrics


def test_create_refuses_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"not empty.*--run-dir.*--resume"):
        RunFolder.create(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_create_says_why_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write: Not a directory"):
        RunFolder.create(tmp_path / "file" / "run")


def test_open_names_the_runs_that_exist(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "plan.json").write_text("{}")
    with pytest.raises(RunError, match=r"no such run folder; runs in .*: first"):
        RunFolder.open(tmp_path / "fist")
    with pytest.raises(RunError, match="not a run folder"):
        RunFolder.open(tmp_path)
    assert RunFolder.open(tmp_path / "first").plan.is_file()


def test_default_folder_is_the_first_free_name(tmp_path: Path) -> None:
    recipe = Path("recipes/mine.yaml")
    assert default_folder(recipe, tmp_path) == tmp_path / "mine"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine-2").mkdir()
    assert default_folder(recipe, tmp_path) == tmp_path / "mine-3"


@given(st.text(alphabet=st.sampled_from("./ ~$-aA\n\\"), min_size=1, max_size=12))
@example("../../x.yaml")
@example("...yaml")
@example("..yaml")
@example("/etc/cron.d/x.yaml")
@example("..")
def test_the_default_folder_of_any_recipe_lies_in_runs(name: str) -> None:
    folder = default_folder(Path(name), Path("runs"))
    assert folder.parent == Path("runs")
    assert folder.name not in ("", ".", "..")


def test_the_default_folder_is_never_a_link_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "job").symlink_to(tmp_path.parent)
    (tmp_path / "job-2").symlink_to("nothing")
    assert default_folder(Path("job.yaml"), tmp_path) == tmp_path / "job-3"


def test_a_run_folder_whose_folders_are_links_out_is_not_opened(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    write_text(run.plan, "{}")
    assert RunFolder.open(run.path).plan == run.plan
    (tmp_path / "home").mkdir()
    (run.path / "plots").symlink_to("../home")
    with pytest.raises(RunError, match="plots: a symlink out of this folder, to"):
        RunFolder.open(run.path)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_text(target, "old")
    with pytest.raises(ZeroDivisionError), replacing(target) as temporary:
        temporary.write_text(str(1 / 0))
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_a_write_that_the_system_refuses_is_a_run_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot write: No such file"):
        write_text(tmp_path / "missing" / "report.json", "text")


@pytest.mark.usefixtures("no_waiting")
def test_a_pipe_or_a_link_of_dev_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    """`-o /dev/null` of root would leave a regular file there for good."""
    pipe = tmp_path / "report.json"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/no_such_device")):
        with pytest.raises(RunError, match="not a regular file; name a file"):
            write_text(path, "text")
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r":1:2: not valid JSON"),
        ("[]", "expected a JSON object"),
        (b"\xff", "cannot read"),
        ('{"a": 12,\n "b": ' + "9" * 5000 + "}", r":2:7: not valid JSON: a number of too many digits"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_damaged_json_is_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    folder = RunFolder(tmp_path)
    folder.report.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(RunError, match=message):
        folder.read_json(folder.report)


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("plan.json", {"data_sha256": 3}, "data_sha256"),
        ("plan.json", {"recipe": [1]}, "recipe"),
        ("plan.json", {"plugins": [{"group": "models", "name": "x", "sha256": 5}]}, "plugins.0"),
        ("report.json", {"splits": {"val": {"nmse_db": "good"}}}, "splits.val.nmse_db"),
        ("report.json", {"splits": [1]}, "splits"),
        ("report.json", {"pa": {"path": "x", "nmse_db": 3}}, "pa.nmse_db"),
        ("report.json", {"seconds": [1]}, "seconds"),
    ],
)
def test_values_of_another_type_than_ours_are_named(name: str, content: Any, where: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(content))
    with pytest.raises(RunError, match=f"{name} is damaged, or of another version of dpdrun: {where}"):
        RunFolder(tmp_path).read_json(path)
    path.write_text('{"of_another_version": 1}')
    assert RunFolder(tmp_path).read_json(path) == {"of_another_version": 1}


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_numbers_survive_json(value: float) -> None:
    text = json.dumps(encode_numbers({"value": value, "nested": [value]}), allow_nan=False)
    read = decode_numbers(json.loads(text))
    for back in (read["value"], *read["nested"]):
        assert (math.isnan(back) and math.isnan(value)) or back == value


def lines(folder: RunFolder, *records: dict[str, object]) -> None:
    with MetricsWriter(folder.metrics) as writer:
        for record in records:
            writer.write(record)


def test_metrics_are_sorted_by_kind_and_unknown_kinds_passed_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    lines(
        folder,
        {"kind": "step", "step": 1, "loss": math.nan},
        {"kind": "eval", "step": 1, "val_nmse_db": -3.0},
        {"kind": "from_the_future", "step": 1},
        {"kind": "epoch", "step": 1},
    )
    metrics = read_metrics(tmp_path)
    assert [len(metrics.steps), len(metrics.evals), len(metrics.epochs)] == [1, 1, 1]
    assert math.isnan(metrics.steps[0]["loss"])


def test_a_torn_last_line_is_ignored_and_damage_elsewhere_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    lines(folder, {"kind": "step", "step": 1})
    with folder.metrics.open("a") as handle:
        handle.write('{"kind": "step", "st')
    assert len(read_metrics(tmp_path).steps) == 1
    with folder.metrics.open("a") as handle:
        handle.write("\n")
    with pytest.raises(RunError, match=r"metrics.jsonl:2: damaged line"):
        read_metrics(tmp_path)
    folder.metrics.write_text("5\n")
    with pytest.raises(RunError, match=r"metrics.jsonl:1: expected an object"):
        read_metrics(tmp_path)


def test_truncate_keeps_the_lines_up_to_a_step(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    lines(folder, *({"kind": "step", "step": n, "loss": math.inf} for n in range(1, 6)))
    truncate_metrics(folder, 3)
    metrics = read_metrics(tmp_path)
    assert [line["step"] for line in metrics.steps] == [1, 2, 3]
    assert metrics.steps[0]["loss"] == math.inf


def step(number: int) -> dict[str, Any]:
    return {"kind": "step", "step": number}


BACK = {"kind": "adapt", "step": 5, "to_step": 2, "lr_factor": 0.5}
AGAIN = {"kind": "adapt", "step": 6, "to_step": 3, "lr_factor": 0.25}


def test_what_an_adaptation_undid_does_not_count(tmp_path: Path) -> None:
    scored = {"kind": "eval", "step": 4, "val_nmse_db": 3.0}
    epoch = {"kind": "epoch", "step": 3}
    lines(RunFolder(tmp_path), *map(step, (1, 2, 3)), epoch, step(4), scored, step(5), BACK, step(3))
    metrics = read_metrics(tmp_path)
    assert [line["step"] for line in metrics.steps] == [1, 2, 3]
    assert (metrics.evals, metrics.epochs, metrics.adapts) == ([], [], [BACK])
    assert [metrics.lr_factor(number) for number in (1, 2, 3, 9)] == [1.0, 1.0, 0.5, 0.5]


def test_a_later_adaptation_that_goes_back_further_rules_alone(tmp_path: Path) -> None:
    further = AGAIN | {"to_step": 1}
    lines(RunFolder(tmp_path), *map(step, (1, 2, 3, 4, 5)), BACK, *map(step, (3, 4, 5, 6)), further)
    metrics = read_metrics(tmp_path)
    assert [line["step"] for line in metrics.steps] == [1]
    assert [metrics.lr_factor(number) for number in (1, 2, 3)] == [1.0, 0.25, 0.25]


@pytest.mark.parametrize(
    ("at", "adapts", "kept"),
    [
        (4, [], [1, 2, 3, 4]),  # a checkpoint from before the adaptation, which will come again
        (2, [BACK], [1, 2]),  # the one that it wrote
        (4, [BACK], [1, 2, 3, 4]),
        (3, [BACK, AGAIN], [1, 2, 3]),
        (5, [BACK, AGAIN], [1, 2, 3, 4, 5]),
    ],
)
def test_truncate_knows_adaptations(at: int, adapts: list[dict[str, Any]], kept: list[int], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    lines(folder, *map(step, (1, 2, 3, 4, 5)), BACK, *map(step, (3, 4, 5, 6)), AGAIN, *map(step, (4, 5, 6)))
    truncate_metrics(folder, at, adapts)
    metrics = read_metrics(tmp_path)
    assert [line["step"] for line in metrics.steps] == kept
    assert metrics.adapts == adapts


def test_an_adaptation_that_was_not_logged_in_time_is_added(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    lines(folder, *map(step, (1, 2, 3, 4, 5)))
    truncate_metrics(folder, 2, [BACK | {"message": math.nan}])
    metrics = read_metrics(tmp_path)
    assert [line["step"] for line in metrics.steps] == [1, 2]
    assert metrics.adapts[0]["to_step"] == 2


def test_rollback_points_are_listed_by_step_and_other_files_are_ignored(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    for number in (100, 20, 0):
        folder.rollback_point(number).write_bytes(b"")
    for name in ("rollback-1.bak.safetensors", "rollback-.safetensors", "rollback-7.safetensors.bak"):
        (folder.last.parent / name).write_bytes(b"")
    folder.last.write_bytes(b"")
    assert list(folder.rollback_points()) == [0, 20, 100]


def test_missing_metrics_say_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="this run has no steps"):
        read_metrics(tmp_path)


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, events = tmp_path / "report.json", []
    target.write_text("old")
    fsync = os.fsync

    def recorded(handle: int) -> None:
        events.append((os.fstat(handle).st_ino, target.read_text()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    write_text(target, "new")
    assert events == [(target.stat().st_ino, "old"), (tmp_path.stat().st_ino, "new")]  # the rename itself comes last
    assert target.read_text() == "new"


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_a_file_gets_the_mode_of_the_umask_whatever_its_writer_chose(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "model") as temporary:
            temporary.unlink(missing_ok=True)
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))  # as safetensors does
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o666 & ~umask


def test_a_file_is_never_written_through_a_link_that_lies_in_wait(tmp_path: Path) -> None:
    """Neither at its own name nor at that of a process with the same number."""
    other = tmp_path / "other"
    other.write_text("of somebody else")
    target = tmp_path / "run" / "plan.json"
    target.parent.mkdir()
    for name in (target.name, f".{target.name}.{os.getpid()}{PARTIAL}"):
        (target.parent / name).symlink_to(other)
    write_text(target, "{}")
    assert other.read_text() == "of somebody else"
    assert not target.is_symlink()
    assert target.read_text() == "{}"
    assert [path.name for path in target.parent.iterdir()] == ["plan.json"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_at_close_is_a_run_error(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(RunError, match=r"metrics\.jsonl: cannot write: No space left"):
        lines(RunFolder(tmp_path), {"kind": "step", "step": 1})
    writer = MetricsWriter(tmp_path / "metrics.jsonl")
    writer.write({"kind": "step", "step": 1})
    with pytest.raises(RunError, match="No space left"):
        writer.flush()
    with pytest.raises(RunError, match="No space left"):
        writer.close()


def test_metrics_that_cannot_be_opened_are_a_run_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot write: No such file"):
        MetricsWriter(tmp_path / "none" / "metrics.jsonl")


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_without_a_step_is_taken_back(there: bool, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "one"
    if there:
        path.mkdir(parents=True)
    with pytest.raises(OSError, match="full"), RunFolder.creating(path) as folder:  # noqa: PT012
        folder.write_json(folder.plan, {})
        write_text(folder.recipe, "task: pa")
        raise OSError(errno.ENOSPC, "full")
    assert list(tmp_path.rglob("*")) == ([tmp_path / "runs", path] if there else [])


def test_a_folder_with_a_step_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunFolder.creating(tmp_path / "one") as folder:  # noqa: PT012
        lines(folder, {"kind": "step", "step": 1})
        raise ZeroDivisionError
    assert len(read_metrics(tmp_path / "one").steps) == 1


def test_of_two_processes_one_gets_the_folder_and_the_loser_harms_nothing(tmp_path: Path) -> None:
    with RunFolder.creating(tmp_path / "one") as folder:
        folder.write_json(folder.plan, {"mine": 1})
        with pytest.raises(RunError, match="not empty"), RunFolder.creating(tmp_path / "one"):
            pass
        with pytest.raises(RunError, match="another process is training in this folder"), folder.lock():
            pass
        assert folder.read_json(folder.plan)["mine"] == 1
    with folder.lock():  # free again
        pass


def test_a_sweep_removes_what_was_half_written_and_nothing_else(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "one")
    write_text(folder.plan, "{}")
    write_text(folder.last, "whole")
    (folder.path / ".model.safetensors.99.partial").write_text("half")
    (folder.last.parent / ".last.safetensors.99.partial").write_text("half")
    folder.sweep()
    assert sorted(p.name for p in folder.path.rglob("*")) == ["checkpoints", "last.safetensors", "plan.json"]


def test_the_resume_command_can_be_pasted(tmp_path: Path) -> None:
    assert RunFolder(Path("my runs/a")).resume_command == (
        "dpdrun train 'my runs/a/recipe.yaml' --run-dir 'my runs/a' --resume"
    )
