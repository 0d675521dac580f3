"""The commands of a script, with their values."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from dpdrun.errors import RecipeError
from dpdrun.opendpd.shell.script import MAX_COMMANDS, Unclear, commands

SCRIPT = r"""
say() { printf '<%s>' "$@"; printf '\n'; }
lr=1e-3 n=2
hidden=(11 8)
common=(--lr "${lr}" --frame 50)
common+=(--seed "$n")
show --plain 'single $lr' "double $lr" \
    --continued # a comment
for name in gru 'two words'; do
  for ((i=0; i<${#hidden[@]}; i++)); do
    show --loop "$name" "${hidden[$i]}"
  done
done
for s in {1..2}; do show "seed$s"; done
text="a"; text+="b"; show "$text"
twice() { show "$1" "$2"; show "$@"; }
twice x 'y z'
export LR=$lr; LATER=1 show $LR
(show in a subshell) && show "${common[@]}" || show
show a | cat; show b > /dev/null
"""


def words(script: str) -> list[tuple[str | Unclear, ...]]:
    return [command.words for command in commands(script, "s.sh")]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is the reference here")
def test_as_bash() -> None:
    run = SCRIPT.replace("> /dev/null", "").replace("|| show", "|| true").replace("show", "say").replace("| cat", "")
    done = subprocess.run(["bash", "-c", run], capture_output=True, text=True, check=True)
    ours = [found[1:] for found in words(SCRIPT.replace("|| show", "|| true")) if found[0] == "show"]
    assert len(ours) == 15
    assert ["".join(f"<{word}>" for word in found) for found in ours] == done.stdout.splitlines()


def test_lines() -> None:
    assert [command.line for command in commands("a\nb \\\n c\nd", "s.sh")] == [1, 2, 4]


def test_all_branches_are_read_and_what_they_set_is_not_known_after_them() -> None:
    script = "x=1\nif a; then\n x=2\n show $x\nelse\n show $x\nfi\nshow $x"
    found = [command for command in words(script) if command[0] == "show"]
    assert found == [("show", "2"), ("show", "1"), ("show", Unclear("$x is unknown: line 2 sets it on a condition"))]


def test_what_a_branch_sets_to_the_same_stays_known() -> None:
    assert words("x=1\nif a; then x=1; fi\nshow $x")[-1] == ("show", "1")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("show $lr", "$lr is unknown: nothing sets it before"),
        ("lr=$(pick)\nshow $lr", "$lr is unknown: line 1 sets it, and there $(pick) is not run here"),
        ("show $1", "$1 is unknown: it is an argument of the script"),
        (
            "for lr in $all; do show $lr; done",
            "$lr is unknown: it runs over what is not known (line 1: $all is unknown",
        ),
        ("f() { show $1; }\nparallel f ::: 1 2", "$1 is unknown: it is an argument"),
        ("f() { show $1; }\nf $lr", "$1 is unknown: $lr is unknown: nothing sets it before"),
    ],
)
def test_what_is_not_known_says_why(script: str, why: str) -> None:
    (found,) = [command for command in words(script) if command[0] == "show"]
    assert isinstance(found[1], Unclear)
    assert why in found[1].why


def test_nothing_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LR", "5")
    assert words("show ${LR:-1e-3}") == [("show", "1e-3")]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("for i in {1..2000}; do a; done", f"more than {MAX_COMMANDS} commands"),
        ("for i in {1..999}; do for j in {1..999}; do x=1; done; done", "its loops never seem to end"),
        ("f() { f; }\nf", "the function f calls itself"),
        ("{ " * 5000, "nested too deeply"),
    ],
)
def test_endless_scripts_end(script: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        commands(script, "s.sh")


def test_endless_ranges_are_not_known() -> None:
    (found,) = words("show {1..99999999999}")
    assert isinstance(found[1], Unclear)
