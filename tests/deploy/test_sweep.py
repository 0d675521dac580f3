"""deploy/slurm/sweep.sbatch and deploy/kubernetes/sweep.yaml: valid, and workers come back when they are stopped."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dpdrun.errors import EXIT_STOPPED
from dpdrun.sweep.presence import LOST_AFTER_S

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "slurm" / "sweep.sbatch"
DPDRUN = """\
#!/bin/bash
echo "dpdrun $*, $OMP_NUM_THREADS threads" >> "$LOG"
exit "$ENDS_WITH"
"""


@pytest.fixture
def objects() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "sweep.yaml").read_text(encoding="utf-8")))


def test_shellcheck_finds_nothing(tool: Callable[..., Any]) -> None:
    result = tool("shellcheck", SCRIPT)
    assert result.stdout + result.stderr == ""
    assert result.returncode == 0


@pytest.mark.parametrize(("code", "again"), [(0, False), (2, False), (EXIT_STOPPED, True)])
def test_a_stopped_worker_is_requeued(code: int, again: bool, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    texts = {
        "dpdrun": DPDRUN,
        "srun": '#!/bin/bash\nexec "$@"\n',
        "scontrol": '#!/bin/bash\necho "scontrol $*" >> "$LOG"\n',
    }
    for name, text in texts.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "LOG": str(tmp_path / "log"),
                   "ENDS_WITH": str(code), "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "1"}  # fmt: skip
    result = subprocess.run(["bash", str(SCRIPT), "s.yaml", "runs/a sweep"], env=environment)
    assert result.returncode == code
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0] == "dpdrun sweep run s.yaml --run-dir runs/a sweep --worker, 1 threads"
    assert lines[1:] == (["scontrol requeue 7"] if again else [])


@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_objects_of_kubernetes_are_valid(version: str, objects: list[dict[str, Any]]) -> None:
    for content in objects:
        kubernetes_validate.validate(content, version, strict=True)


def test_pods_agree_with_each_other_and_with_the_command(
    objects: list[dict[str, Any]], manifests: Callable[[str], Any]
) -> None:
    by_kind = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    job = by_kind["Job", "dpdrun-sweep"]["spec"]
    assert job["completionMode"] == "Indexed"
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [EXIT_STOPPED]
    pod = job["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > LOST_AFTER_S
    (container,) = pod["containers"]
    assert container["args"][:2] == ["sweep", "run"]
    assert container["args"][-1] == "--worker"
    named = {
        volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume
    }
    claims = {name for kind, name in by_kind if kind == "PersistentVolumeClaim"}
    assert named <= claims
    storage = next(each["value"] for each in container["env"] if each["name"] == "DPDRUN_STORAGE")
    assert storage == "postgresql://postgres@dpdrun-journal/dpdrun"
    assert ("Service", "dpdrun-journal") in by_kind
    whole = manifests("job.yaml")["Job"]["spec"]["template"]["spec"]
    assert pod["securityContext"] == whole["securityContext"]
    assert container["securityContext"] == whole["containers"][0]["securityContext"]
