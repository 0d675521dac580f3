"""The Dockerfile, without building it: what it copies, who it runs as, what it starts."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from dpdrun.commands import app
from dpdrun.run.folder import RunFolder
from dpdrun.run.heartbeat import Heartbeat

ROOT = Path(__file__).parents[2]
LABELS = ("title", "description", "licenses", "version", "revision", "created", "source", "base.name")


def tracked(folder: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.split()


def test_hadolint_finds_nothing(tool: Callable[..., Any]) -> None:
    result = tool("hadolint", "Dockerfile")
    assert result.stdout + result.stderr == ""
    assert result.returncode == 0


def test_what_is_copied_is_there_and_not_ignored(dockerfile: Any, in_context: Callable[[str], bool]) -> None:
    sources = [
        word.removeprefix("./")
        for stage in dockerfile.stages
        for step in stage.all("COPY")
        if "from" not in step.flags
        for word in step.rest.split()[:-1]
    ]
    assert {"dpdrun", "recipes", "constraints.txt"} <= set(sources)
    for source in sources:
        files = tracked(source)
        assert files, source
        assert [path for path in files if not in_context(path)] == []


def test_the_context_holds_nothing_else(in_context: Callable[[str], bool]) -> None:
    others = [path for path in tracked(".") if path.startswith(("tests/", "docs/", "benchmarks/", "deploy/", "."))]
    assert len(others) > 100
    assert [path for path in others if in_context(path)] == []
    assert not in_context("dpdrun/__pycache__/plan.cpython-312.pyc")
    assert not in_context("runs/quickstart/model.safetensors")


def test_copies_between_stages_name_a_stage(dockerfile: Any) -> None:
    names = [stage.name for stage in dockerfile.stages]
    copies = [step.flags["from"] for stage in dockerfile.stages for step in stage.all("COPY") if "from" in step.flags]
    assert copies
    assert set(copies) <= set(names)


def test_the_base_is_an_argument_with_a_version(dockerfile: Any) -> None:
    assert [stage.base for stage in dockerfile.stages] == ["${BASE}"] * 2
    given = re.findall(r"BASE=(\S+)", "\n".join(dockerfile.comments))
    for base in (dockerfile.arguments["BASE"], *given):
        image, _, tag = base.partition(":")
        assert re.search(r"\d\.\d", tag), f"{image} without a version"
        assert "latest" not in tag
    assert any("cuda" in base and base.endswith("runtime") for base in given)
    assert "slim" in dockerfile.arguments["BASE"]


def test_dependencies_are_a_layer_of_their_own(dockerfile: Any) -> None:
    steps = dockerfile.stages[0].steps
    installs = [at for at, step in enumerate(steps) if "pip install" in step.rest]
    source = next(at for at, step in enumerate(steps) if step.word == "COPY" and step.rest.startswith("dpdrun"))
    assert len(installs) == 2
    assert installs[0] < source < installs[1]
    assert "--require-hashes --no-deps -r requirements.lock" in steps[installs[0]].rest
    assert "--no-deps --no-build-isolation ." in steps[installs[1]].rest  # what builds it is in the lock as well


def test_the_lock_has_what_is_needed_in_the_versions_of_development_with_hashes() -> None:
    def pins(file: str) -> dict[str, str]:
        found = re.findall(r"(?m)^([\w.-]+)==([\w.]+)", (ROOT / file).read_text(encoding="utf-8"))
        return {canonicalize_name(name): version for name, version in found}

    lock, constraints = pins("requirements.lock"), pins("constraints.txt")
    assert {name: version for name, version in lock.items() if constraints.get(name) != version} == {}
    entries = re.split(r"(?m)^(?=[a-z])", (ROOT / "requirements.lock").read_text(encoding="utf-8"))[1:]
    assert [each.partition(" ")[0] for each in entries if "--hash=sha256:" not in each] == []
    read = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = read["project"]["optional-dependencies"]
    wanted = [*read["project"]["dependencies"], *extras["plots"], *extras["sweep"], *read["build-system"]["requires"]]
    for name in (canonicalize_name(Requirement(each).name) for each in wanted):
        assert (name in lock) == (name != "torch"), f"{name}: make lock"


def test_it_runs_as_an_unprivileged_user(dockerfile: Any) -> None:
    steps = dockerfile.stages[-1].steps
    user = dockerfile.stages[-1].one("USER")
    assert user.rest.isdigit(), "Kubernetes' runAsNonRoot takes no names"
    assert int(user.rest) > 0
    assert steps.index(user) < steps.index(dockerfile.stages[-1].one("ENTRYPOINT"))
    assert all(step.word not in ("RUN", "COPY") for step in steps[steps.index(user) :])
    folders = re.search(r"install -d -m 1777 (.*)", " ".join(step.rest for step in steps if step.word == "RUN"))
    assert folders is not None
    variables = dict(pair.split("=", 1) for pair in shlex.split(dockerfile.stages[-1].one("ENV").rest))
    caches = [path for name, path in variables.items() if name.endswith(("CACHE", "DIR", "HOME"))]
    assert len(caches) >= 5
    assert all(any(Path(path).is_relative_to(each) for each in folders[1].split()) for path in caches)


def test_the_main_process_is_dpdrun_and_gets_sigterm(dockerfile: Any) -> None:
    final = dockerfile.stages[-1]
    assert final.one("STOPSIGNAL").rest == "SIGTERM"
    assert final.one("ENTRYPOINT").words == ["dpdrun"]
    result = CliRunner().invoke(app, final.one("CMD").words)
    assert result.exit_code == 0
    assert "train" in result.stdout


def test_the_health_check_separates_a_live_run_from_a_silent_one(
    dockerfile: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    check = dockerfile.stages[-1].one("HEALTHCHECK")
    word, _, words = check.rest.partition(" ")
    assert word == "CMD"
    command = json.loads(words)
    assert command[0] == "dpdrun"
    assert {"interval", "timeout", "start-period", "retries"} <= set(check.flags)
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, command[1:]).exit_code == 1
    run = RunFolder(tmp_path / "runs" / "one")
    run.path.mkdir(parents=True)
    Heartbeat(run, 10).beat("training", 3)
    assert CliRunner().invoke(app, command[1:]).exit_code == 0
    old = time.time() - 1000
    run.heartbeat.write_text(run.heartbeat.read_text().replace('"time": ', f'"time": {old} , "time_": '))
    assert CliRunner().invoke(app, command[1:]).exit_code == 1


def test_labels(dockerfile: Any) -> None:
    final = dockerfile.stages[-1]
    labels = dict(pair.split("=", 1) for pair in shlex.split(final.one("LABEL").rest))
    assert {f"org.opencontainers.image.{name}" for name in LABELS} <= set(labels)
    arguments = dict(step.rest.partition("=")[::2] for step in final.all("ARG"))
    used = re.findall(r"\$\{(\w+)\}", final.one("LABEL").rest)
    assert set(used) == set(arguments)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert arguments["VERSION"] == project["version"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]


def test_the_run_lines_of_header_and_readme_are_right(dockerfile: Any, dry_run: Callable[..., Any]) -> None:
    text = "\n".join(line.lstrip("# ") for line in dockerfile.comments)
    lines = text.replace("\\\n", " ").splitlines() + (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    typed = [line for line in lines if "docker run" in line and " train " in line]
    commands = [shlex.split(line[line.index(" train ") :]) for line in typed]
    assert len(commands) == 3
    for words in commands:
        dry_run(["dpdrun", *("recipes/quickstart.yaml" if word == "RECIPE" else word for word in words)])


def test_no_file_for_containers_names_a_registry() -> None:
    files = [ROOT / "Dockerfile", ROOT / "compose.yaml", *sorted((ROOT / "deploy").rglob("*.*"))]
    assert len(files) >= 5
    images = [image for path in files for image in re.findall(r"(?:image:|BASE[=:]) ?(\S+)", path.read_text("utf-8"))]
    assert len(images) >= 5
    assert [image for image in images if re.match(r"[^/]+\.[^/]+/", image)] == []
    assert [image for image in images if "latest" in image] == []
