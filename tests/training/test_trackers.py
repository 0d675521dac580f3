"""The trackers themselves, with the real packages: TensorBoard always, W&B and MLflow where they are installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accelerate.state import PartialState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from dpdrun.errors import RunError
from dpdrun.run.folder import RunFolder
from dpdrun.training import trackers
from dpdrun.training.trackers import MLflow, TensorBoard, Tracker, WandB, require_trackers

SETTINGS = {"optim.lr": 0.01, "model.kind": "transformer", "train.phase_augment": True, "total_steps": 12}


@pytest.fixture(autouse=True)
def _as_a_run_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the developer, and a home to look into."""
    for name in [each for each in os.environ if each.startswith(("WANDB_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    PartialState()


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "one")


def tell(tracker: Tracker) -> None:
    """A run of three steps that goes back once."""
    tracker.begin(1)
    for step in (1, 2, 3):
        tracker.log({"train/loss": float(step), "train/lr": 0.1}, step)
    tracker.back_to(2)
    tracker.log({"train/loss": 20.0, "train/lr": 0.05}, 2)
    tracker.note("findings/GN201", "step 2: warning GN201 climbs", 2)
    tracker.log({"test/nmse_db": -30.0}, 3)


def inside(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_tensorboard_shows_later_values_of_steps_that_were_logged_again(run: RunFolder, tmp_path: Path) -> None:
    tracker = TensorBoard(run, SETTINGS)
    tell(tracker)
    tracker.end(failed=False)
    events = EventAccumulator(str(tracker.folder)).Reload()
    assert [(each.step, each.value) for each in events.Scalars("train/loss")] == [(1, 1.0), (2, 20.0)]
    assert [each.step for each in events.Scalars("test/nmse_db")] == [3]
    assert events.Tags()["tensors"] == ["findings/GN201/text_summary"]
    assert "warning GN201" in events.Tensors("findings/GN201/text_summary")[0].tensor_proto.string_val[0].decode()
    assert all(path.startswith("tracking/tensorboard/events.out.tfevents.") for path in inside(run.path))
    assert inside(tmp_path / "home") == set()
    assert tracker.viewer == f"tensorboard --logdir {run.path.parent}"


@pytest.mark.parametrize("failed", [False, True])
def test_tensorboard_knows_the_settings_and_whether_the_run_came_to_its_end(failed: bool, run: RunFolder) -> None:
    tracker = TensorBoard(run, SETTINGS)
    tracker.begin(1)
    tracker.end(failed=failed)
    events = EventAccumulator(str(tracker.folder)).Reload()
    content = events.summary_metadata
    tags = {tag for tag, meta in content.items() if meta.plugin_data.plugin_name == "hparams"}
    assert tags >= {"_hparams_/experiment", "_hparams_/session_start_info"}
    assert ("_hparams_/session_end_info" in tags) is not failed
    data = plugin_data_pb2.HParamsPluginData()
    data.ParseFromString(content["_hparams_/session_start_info"].plugin_data.content)
    kept = data.session_start_info.hparams
    assert set(kept) == set(SETTINGS)
    assert kept["optim.lr"].number_value == 0.01
    assert kept["model.kind"].string_value == "transformer"


def test_a_tracker_that_is_not_installed_or_not_known_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    require_trackers(["tensorboard"])
    with pytest.raises(RunError, match="visdom: no such tracker; there are tensorboard, wandb, mlflow"):
        require_trackers(["tensorboard", "visdom"])
    monkeypatch.setattr(trackers, "find_spec", lambda _: None)
    with pytest.raises(RunError, match=r"tracking with wandb needs its package: pip install 'dpdrun\[wandb\]'"):
        require_trackers(["wandb"])


def test_a_folder_of_the_name_of_a_package_is_not_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mlflow").mkdir()
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.delitem(__import__("sys").modules, "mlflow", raising=False)
    with pytest.raises(RunError, match="needs its package"):
        require_trackers(["mlflow"])


# ---- W&B, offline


def wandb_records(folder: Path) -> Iterator[Any]:
    """The records of an offline run: a file of LevelDB's log format (blocks of 32 KiB) with a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, whole = folder.read_bytes(), 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length, kind = int.from_bytes(content[position + 4 : position + 6], "little"), content[position + 6]
        whole += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


@pytest.mark.filterwarnings("default")
def test_wandb_continues_the_offline_run_of_a_resumed_run(run: RunFolder, tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")
    for failed in (True, False):
        tracker = WandB(run, SETTINGS)
        tell(tracker)
        tracker.end(failed=failed)
    wandb.teardown()  # waits until its service has written everything
    kept = sorted((run.tracking / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(kept) == 2
    assert {path.stem for path in kept} == {f"run-{(run.tracking / 'wandb' / 'run_id').read_text()}"}
    assert tracker.viewer == f"wandb sync {run.tracking}/wandb/offline-run-*"
    for path, failed in zip(kept, (True, False), strict=True):
        records = list(wandb_records(path))
        rows = [
            {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
            for record in records if record.WhichOneof("record_type") == "history"
        ]  # fmt: skip
        assert [(row["step"], row.get("train/loss")) for row in rows] == [
            ("1", "1"), ("2", "2"), ("3", "3"), ("2", "20"), ("2", None), ("3", None),
        ]  # fmt: skip
        assert rows[-1]["test/nmse_db"] == "-30"
        assert "warning GN201" in rows[-2]["findings/GN201"]
        ends = [record.exit.exit_code for record in records if record.WhichOneof("record_type") == "exit"]
        assert ends == [int(failed)]
        names = {record.run.display_name for record in records if record.WhichOneof("record_type") == "run"}
        assert names == {"one"}
    config = {
        item.key: item.value_json
        for record in wandb_records(kept[0])
        if record.WhichOneof("record_type") in ("config", "run")
        for item in (record.config if record.WhichOneof("record_type") == "config" else record.run.config).update
    }
    assert config.items() >= {("optim.lr", "0.01"), ("total_steps", "12")}
    assert not [path for path in inside(tmp_path / "home") if "wandb" in path]
    assert "WANDB_CACHE_DIR" not in os.environ


# ---- MLflow, in files


@pytest.mark.filterwarnings("default")
def test_mlflow_continues_the_run_of_a_resumed_run(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    for failed in (True, False):
        tracker = MLflow(run, SETTINGS)
        tell(tracker)
        tracker.end(failed=failed)
        assert "MLFLOW_TRACKING_URI" not in os.environ
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        client = mlflow.MlflowClient((run.tracking / "mlflow").as_uri())
        (experiment,) = client.search_experiments(filter_string="name = 'dpdrun'")
        (kept,) = client.search_runs([experiment.experiment_id])
        assert kept.info.status == ("FAILED" if failed else "FINISHED")
        monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    assert (kept.info.run_name, kept.data.params["optim.lr"]) == ("one", "0.01")
    assert kept.data.tags["findings/GN201"] == "step 2: warning GN201 climbs"
    assert kept.data.metrics["test/nmse_db"] == -30.0
    history = client.get_metric_history(kept.info.run_id, "train/loss")
    assert [(each.step, each.value) for each in history][:4] == [(1, 1.0), (2, 2.0), (3, 3.0), (2, 20.0)]
    assert not [path for path in inside(tmp_path / "home") if "mlruns" in path]
