"""Links out of a folder, and pipes in it, are seen for what they are."""

import os
from pathlib import Path

import pytest

from dpdrun.errors import RunError
from dpdrun.run.folder import RunFolder
from dpdrun.run.heartbeat import health
from dpdrun.run.symlinks import escapes, reject_escaping_dirs


def test_a_link_leads_out_or_stays(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    links = {"inside": "sub", "here": ".", "up": "..", "beside": "../other", "circle": "circle", "root": "/"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    out = {name for name in links if escapes(folder / name, folder) is not None}
    assert out == {"up", "beside", "root"}
    assert escapes(folder / "beside", folder) == tmp_path / "other"
    assert escapes(folder / "sub", folder) is None
    linked = tmp_path / "linked"
    linked.symlink_to(folder)  # the folder itself may be one: that is what the user named
    assert escapes(linked / "inside", linked) is None
    assert escapes(linked / "up", linked) is not None


@pytest.mark.parametrize("there", [True, False], ids=["to a folder", "to nothing yet"])
def test_a_subfolder_elsewhere_is_refused_and_a_linked_file_is_not(there: bool, tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    (tmp_path / "file").write_text("x")
    (folder / "model").symlink_to(tmp_path / "file")
    reject_escaping_dirs(folder)
    if there:
        other.mkdir()
    (folder / "checkpoints").symlink_to(other)
    with pytest.raises(RunError, match=r"folder/checkpoints: a symlink out of this folder, to .*/other; replace it"):
        reject_escaping_dirs(folder)
    reject_escaping_dirs(tmp_path / "none")


def test_links_are_refused_as_deep_as_folders_are_written_into(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "in").symlink_to(folder / "a" / "b")
    (folder / "a" / "b" / "out").symlink_to(tmp_path)
    reject_escaping_dirs(folder, depth=2)
    with pytest.raises(RunError, match="a/b/out: a symlink out of this folder"):
        reject_escaping_dirs(folder, depth=3)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("name", ["metrics.jsonl", "plan.json", "heartbeat.json", "checkpoints/last.safetensors"])
def test_a_pipe_in_a_run_folder_is_refused_before_anything_waits_for_it(name: str, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.heartbeat.write_text("{}")
    (run.path / name).unlink(missing_ok=True)
    os.mkfifo(run.path / name)
    with pytest.raises(RunError, match=f"{name}: a pipe or a device, no file; remove it"):
        RunFolder.open(run.path)
    if "/" not in name:
        assert "a pipe or a device" in health(run.path).line
