"""What the files that put dpdrun into containers and clusters say, and their command lines carried out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from dpdrun.commands import app

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Step:
    """One instruction of a Dockerfile: its word, its --flags, and the rest as it is written."""

    word: str
    flags: dict[str, str]
    rest: str

    @property
    def words(self) -> list[str]:
        """Of the exec form; fails on the shell form."""
        found = json.loads(self.rest)
        assert isinstance(found, list)
        return found


@dataclass
class Stage:
    """From one FROM to the next."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)

    def all(self, word: str) -> list[Step]:
        return [step for step in self.steps if step.word == word]

    def one(self, word: str) -> Step:
        (step,) = self.all(word)
        return step


@dataclass
class Dockerfile:
    """A Dockerfile: its comment lines, the arguments before the first stage, the stages."""

    comments: list[str]
    arguments: dict[str, str]
    stages: list[Stage]


def _parse(text: str) -> Dockerfile:
    found = Dockerfile([line for line in text.splitlines() if line.startswith("#")], {}, [])
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in code.replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        word, _, rest = line.partition(" ")
        flags: dict[str, str] = {}
        while flag := re.match(r"\s*--([\w-]+)=(\S+)\s+", rest):
            flags[flag[1]] = flag[2]
            rest = rest[flag.end() :]
        rest = rest.strip()
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.stages.append(Stage(base, name))
        elif not found.stages:
            name, _, value = rest.partition("=")
            found.arguments[name] = value
        else:
            found.stages[-1].steps.append(Step(word, flags, rest))
    return found


@pytest.fixture(scope="session")
def dockerfile() -> Dockerfile:
    return _parse((ROOT / "Dockerfile").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def in_context() -> Callable[[str], bool]:
    """Whether `.dockerignore` lets a path (a/b/c.py) through: of the patterns that match, the last decides."""
    patterns = []
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            parts = re.split(r"(\*\*/|\*\*|\*)", line.lstrip("!"))
            known = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*"}
            regex = "".join(known.get(part, re.escape(part)) for part in parts)
            patterns.append((re.compile(f"{regex}(/.*)?"), line.startswith("!")))
    assert patterns

    def let_through(path: str) -> bool:
        return [True, *(kept for pattern, kept in patterns if pattern.fullmatch(path))][-1]

    return let_through


@pytest.fixture
def dry_run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Carry out a command line of these files, `dpdrun train ...`, with --dry-run, in the repository."""

    def run(words: list[str], **environment: str) -> Result:
        assert words[:2] == ["dpdrun", "train"], words
        monkeypatch.chdir(ROOT)
        result = CliRunner().invoke(app, [*words[1:], "--dry-run"], env={"COLUMNS": "100", **environment})
        assert result.exit_code == 0, result.output
        assert "optim.lr" in result.stdout
        return result

    return run


@pytest.fixture
def tool() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program that the development environment has beside its Python."""

    def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        path = [str(Path(sys.executable).parent), os.environ["PATH"]]
        return subprocess.run(
            [name, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT,
            env={**os.environ, "PATH": os.pathsep.join(path)},
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def manifests() -> Callable[[str], dict[str, dict[str, Any]]]:
    """The objects of a file of deploy/kubernetes, by kind."""

    def read(name: str) -> dict[str, dict[str, Any]]:
        text = (ROOT / "deploy" / "kubernetes" / name).read_text(encoding="utf-8")
        found = list(yaml.safe_load_all(text))
        return {each["kind"]: each for each in found}

    return read


@pytest.fixture(scope="session")
def expanded() -> Callable[[list[str], dict[str, str]], list[str]]:
    """Arguments of a pod as Kubernetes expands them: $(NAME) of its environment, which must know every name."""

    def expand(words: list[str], environment: dict[str, str]) -> list[str]:
        return [re.sub(r"\$\((\w+)\)", lambda name: environment[name[1]], word) for word in words]

    return expand
