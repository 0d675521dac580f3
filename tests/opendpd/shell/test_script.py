"""The commands of a script, with their values."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from dpdrun.errors import RecipeError
from dpdrun.opendpd.shell.script import MAX_COMMANDS, MAX_STATEMENTS, commands
from dpdrun.opendpd.shell.values import Unknown

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
seeds=(1 2); for s in ${seeds[@]}; do show "seed$s"; done
nothing=(); show "${nothing[@]}" empty; nothing+=(one); show $nothing
text="a"; text+="b"; show "$text"
twice() { show "$1" "$2"; show "$@"; }
twice x 'y z'
function run_python { show main.py "$@"; }
run_python --lr "$lr" 'a b'
export LR=$lr; LATER=1 show $LR
(show in a subshell) && show "${common[@]}" || show
show a | cat; show b > /dev/null
"""


def words(script: str) -> list[tuple[str | Unknown, ...]]:
    return [command.words for command in commands(script, "s.sh")]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is the reference here")
def test_as_bash() -> None:
    run = SCRIPT.replace("> /dev/null", "").replace("|| show", "|| true").replace("show", "say").replace("| cat", "")
    done = subprocess.run(["bash", "-c", run], capture_output=True, text=True, check=True)
    ours = [found[1:] for found in words(SCRIPT.replace("|| show", "|| true")) if found[0] == "show"]
    assert len(ours) == 18
    assert ["".join(f"<{word}>" for word in found) for found in ours] == done.stdout.splitlines()


def test_lines() -> None:
    assert [command.line for command in commands("a\nb \\\n c\nd", "s.sh")] == [1, 2, 4]


def test_all_branches_are_read_and_what_they_set_is_not_known_after_them() -> None:
    script = "x=1\nif a; then\n x=2\n show $x\nelse\n show $x\nfi\nshow $x"
    found = [command for command in words(script) if command[0] == "show"]
    assert found == [("show", "2"), ("show", "1"), ("show", Unknown("$x is unknown: line 2 sets it on a condition"))]


@pytest.mark.parametrize(
    "branches",
    [
        "while getopts g: option\ndo\ncase $option\nin\ng) x=2;;\nesac\ndone",
        "case $a in b|c) x=2;; (d) y=$(( 1 )); x=3; esac",
        "{ x=2; }",
        "( x=2 )",
        "until a; do x=2; done",
    ],
)
def test_every_statement_that_may_run_is_a_branch(branches: str) -> None:
    assert words(f"x=1\n{branches}\nshow $x")[-1] == ("show", Unknown("$x is unknown: line 2 sets it on a condition"))


def test_a_loop_over_nothing_shows_nothing_and_sets_nothing() -> None:
    assert words("x=(); y=1; for a in ${x[@]}; do y=2; show $a; done; show $y") == [("show", "1")]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("for x in a b; do echo", "s.sh:1: this statement has no done"),
        ("for x in a b\necho", "s.sh:1: this for has no do"),
        ("\nif a; then b", "s.sh:2: this statement has no then or elif or else or fi"),
        ("done", "s.sh:1: done closes nothing"),
        ("case x in a) b;;", "s.sh:1: this case has no esac"),
        ("list=(a b", "s.sh:1: this array has no )"),
        ("f() echo", "s.sh:1: the function f has no {"),
    ],
)
def test_what_is_no_script(script: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        commands(script, "s.sh")
    assert str(caught.value) == message


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
            "$lr is unknown: the values of its loop are unknown (line 1: $all is unknown",
        ),
        ("for s in {0..4}; do show $s; done", "(line 1: {0..4} is not supported; write its values in its place"),
        ("for ((i=9; i>0; i--)); do show $i; done", "(line 1: ((i=9; i>0; i--)) is not supported"),
        ("for i in $(seq 3); do show $i; done", "(line 1: $(seq 3) is not run here"),
        ("x=$(pick); x+=b\nshow $x", "$x is unknown: line 1 sets it, and there $(pick) is not run here"),
        ("x=(a); x+=b\nshow $x", "$x is unknown: line 1 appends a text to an array"),
        ("f() { show $1; }\nparallel f ::: 1 2", "$1 is unknown: it is an argument"),
        ("f() { show $1; }\nf $lr", "$1 is unknown: $lr is unknown: nothing sets it before"),
    ],
)
def test_what_is_not_known_says_why(script: str, why: str) -> None:
    (found,) = [command for command in words(script) if command[0] == "show"]
    assert isinstance(found[1], Unknown)
    assert why in found[1].why


def test_nothing_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LR", "5")
    assert words("show ${LR:-1e-3}") == [("show", "1e-3")]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("for ((i=0; i<2000; i++)); do a; done", f"s.sh:1: more than {MAX_COMMANDS:,} commands; paste the one command"),
        (
            "for ((i=0; i<999; i++)); do for ((j=0; j<999; j++)); do x=1; done; done",
            f"s.sh:1: more than {MAX_STATEMENTS:,} statem",
        ),
        ("a\nfor ((i=0; i<1000000000; i++)); do a; done", "s.sh:2: 0 to 999999999 are more than 10,000 values; paste"),
        ("for ((i=0; i<" + "9" * 5000 + "; i++)); do a; done", "are more than 10,000 values"),
        ("x=aaaaaaaa\n" + "x=$x$x\n" * 24, "s.sh:14: a word grows to more than 65,536 characters; paste the one"),
        ("x=" + "a" * 60_000 + "\ny=$x\nx+=$y", "s.sh:3: x grows to more than 65,536 characters"),
        ("x=(a a)\n" + 'x=("${x[@]}" "${x[@]}")\n' * 24, "s.sh:14: x grows to more than 10,000 elements"),
        ("x=" + "a" * 9000 + "\nshow ${y:-" + "$x " * 9 + "}", "s.sh:2: a word grows to more than 65,536 characters"),
        (
            "x=" + "a" * 9000 + "\nfor ((i=0; i<999; i++)); do show $x; done",
            "s.sh:2: the words so far grow to more than",
        ),
        ("# " + "a" * 300_000, "s.sh: more than 256 KiB; paste the one command"),
        ("f() { f; }\nf", "the function f calls itself"),
        ("{ " * 5000, "nested too deeply"),
    ],
)
def test_endless_scripts_are_refused(script: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        commands(script, "s.sh")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "comment", ["# part (if enabled)", "# (for all) it's $(", "#(case x", "# `unclosed", '# 6" (while']
)
@pytest.mark.parametrize(
    "script",
    [
        "COMMENT\nshow 1",
        "a\nCOMMENT\nshow 1",
        "  COMMENT\nshow 1 COMMENT\n",
        "if a; then COMMENT\nCOMMENT\n show 1\nfi",
        "a;COMMENT\nfor x in 1; do\n COMMENT\n show $x\ndone COMMENT\nCOMMENT",
        "x=(COMMENT\n 1 COMMENT\n COMMENT\n)\nshow ${x[0]}",
        "y=$(date COMMENT\n)\nshow 1",
        "a > b COMMENT\nshow 1",
    ],
)
def test_comments_are_no_commands(script: str, comment: str) -> None:
    found = words(script.replace("COMMENT", comment))
    assert ("show", "1") in found
    assert not [command for command in found if command[0] not in ("show", "a", "date")]


def test_a_number_sign_within_a_word_is_no_comment() -> None:
    assert words("x=(1 2); show a#b ${#x[@]} '#' \\# \"#\"") == [("show", "a#b", "2", "#", "#", "#")]
