"""The Dockerfile carried out without a container engine, and what comes out of it run as one would.

buildah builds it in chroots, on a Debian of mmdebstrap in place of the base image, which needs no registry. Its main
process then is process 1 of its own namespaces, as uid 10001 on a read-only root file system.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SUITE, PYTHON = "bookworm", "3.11"  # a Debian, and the Python it has
TOOLS = ("buildah", "mmdebstrap", "unshare", "chroot")
UID = "10001"
STEPS = 600  # long enough for a look at its health and a signal in the middle
BASE = "localhost/base:1"

# Arguments: the root file system, a folder for its runs, its working directory, then environment and command.
CONTAINER = f"""\
set -eu
root=$1 runs=$2 folder=$3; shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
for each in tmp var/cache/dpdrun; do mount -t tmpfs -o mode=1777 tmpfs "$root/$each"; done
mount --bind "$runs" "$root/job/runs"
mount -t proc proc "$root/proc"
exec chroot --userspec={UID}:{UID} "$root" /usr/bin/env -i -C "$folder" "$@"
"""


def why_not() -> str:
    """What is missing here for these tests; empty where all is there."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"needs {', '.join(missing)} (apt-get install buildah mmdebstrap)"
    if os.geteuid() != 0:
        return "needs root, for chroots and namespaces"
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False).returncode:
        return "needs the right to make namespaces"
    return ""


pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]


def call(*words: str | Path) -> str:
    done = subprocess.run([str(word) for word in words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@dataclass
class Image:
    """What was built: its root file system, and its configuration as Docker has it."""

    root: Path
    config: dict[str, Any]

    def start(self, runs: Path, *arguments: str) -> subprocess.Popen[str]:
        """Its entrypoint, as process 1 of a new container."""
        runs.mkdir(exist_ok=True)
        runs.chmod(0o1777)
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", CONTAINER, "container"]
        where = [str(self.root), str(runs), self.config["WorkingDir"]]
        return subprocess.Popen(
            [*words, *where, *self.config["Env"], "OMP_NUM_THREADS=1", *self.config["Entrypoint"], *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image")
    wheels, tree = folder / "wheels", folder / "base.tar"
    # By the pip of this environment, which knows where packages come from here
    torch = next(line for line in (ROOT / "constraints.txt").read_text().split() if line.startswith("torch=="))
    download = (sys.executable, "-m", "pip", "download", "-q", "-d", wheels, "--only-binary=:all:")
    call(*download, "--python-version", PYTHON, "--no-deps", "-r", "requirements.lock")
    call(*download, "--python-version", PYTHON, torch)
    call("mmdebstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates", SUITE, tree)
    buildah = ["buildah", "--root", folder / "storage", "--runroot", folder / "run", "--storage-driver", "vfs"]
    try:
        container = call(*buildah, "from", "scratch").strip()
        call(*buildah, "add", container, tree, "/")
        call(*buildah, "commit", "--rm", container, BASE)
        call(
            *buildah, "bud", "--isolation", "chroot", "--format", "docker", "--volume", f"{wheels}:/wheels:ro",
            "--build-arg", f"BASE={BASE}", "--build-arg", "PIP_ARGS=--no-index --find-links /wheels",
            "--build-arg", "REVISION=0123abc", "-t", "localhost/dpdrun:1", ".",
        )  # fmt: skip
        container = call(*buildah, "from", "localhost/dpdrun:1").strip()
        mounted = Path(call(*buildah, "mount", container).strip())
        found = json.loads(call(*buildah, "inspect", "--type", "image", "localhost/dpdrun:1"))
        yield Image(mounted, found["Docker"]["config"])
    finally:
        for words in (("umount", "--all"), ("rm", "--all"), ("rmi", "--all", "--force")):
            subprocess.run([*map(str, buildah), *words], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)  # gigabytes


def main_process(of: subprocess.Popen[str]) -> int:
    """Process id, out here, of process 1 in there."""
    children = Path(f"/proc/{of.pid}/task/{of.pid}/children").read_text().split()
    assert len(children) == 1
    return int(children[0])


def test_the_image_says_what_it_is(image: Image) -> None:
    assert image.config["User"] == UID
    assert image.config["StopSignal"] == "SIGTERM"
    assert image.config["Healthcheck"]["Test"][:3] == ["CMD", "dpdrun", "health"]
    labels = image.config["Labels"]
    assert labels["org.opencontainers.image.revision"] == "0123abc"
    assert labels["org.opencontainers.image.base.name"] == BASE


@pytest.mark.parametrize("processes", ["1", "2"])
def test_stop_saves_and_the_same_command_resumes(processes: str, image: Image, tmp_path: Path) -> None:
    command = [
        "train", "recipes/quickstart.yaml", "--run-dir", "runs/one", "--auto-resume", "--processes", processes,
        "--set", f"train.max_steps={STEPS}",
    ]  # fmt: skip
    run, heartbeat = tmp_path / "runs" / "one", tmp_path / "runs" / "one" / "heartbeat.json"
    container = image.start(tmp_path / "runs", *command)
    while container.poll() is None:
        if heartbeat.is_file() and json.loads(heartbeat.read_text())["phase"] == "training":
            break
        time.sleep(0.05)
    health = image.start(tmp_path / "runs", *image.config["Healthcheck"]["Test"][2:])
    said, _ = health.communicate(timeout=120)
    assert health.returncode == 0, said
    assert said.startswith("healthy: runs/one: ")
    assert container.poll() is None, container.communicate()[0]
    os.kill(main_process(container), 15)  # as `docker stop`
    said, _ = container.communicate(timeout=120)
    assert container.returncode == 75, said
    assert "stopped by SIGTERM after step" in said
    assert (run / "checkpoints" / "last.safetensors").stat().st_uid == int(UID)

    again = image.start(tmp_path / "runs", *command)
    said, _ = again.communicate(timeout=600)
    assert again.returncode == 0, said
    assert "resumed: transformer of" in said
    report = json.loads((run / "report.json").read_text())
    assert (report["steps"], report["processes"]) == (STEPS, int(processes))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "step"] == list(range(1, STEPS + 1))


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_signal_at_once_does_not_get_lost(processes: str, image: Image, tmp_path: Path) -> None:
    command = ["train", "recipes/quickstart.yaml", "--run-dir", "runs/one", "--processes", processes]
    container = image.start(tmp_path / "runs", *command)
    while not (children := Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split()):
        assert container.poll() is None
    status = Path(f"/proc/{children[0]}/status")
    term = 1 << 14  # SIGTERM in the mask of signals that have a handler
    while not any(
        line.startswith("SigCgt") and int(line.split()[1], 16) & term for line in status.read_text().splitlines()
    ):
        assert container.poll() is None
    os.kill(int(children[0]), 15)  # while the libraries are still being loaded
    said, _ = container.communicate(timeout=120)
    assert container.returncode in (75, 143), said
    assert not (tmp_path / "runs" / "one").exists()
