"""The statements of a shell script."""

from __future__ import annotations

import pytest

from dpdrun.errors import RecipeError
from dpdrun.opendpd.shell.syntax import Branches, Function, Loop, Simple, parse


def test_statements() -> None:
    script = """
        lr=1; list=(a b)
        for x in a b; do echo; done
        for ((i=0; i<3; i++)); do echo; done
        if [[ $a == b ]]; then echo; elif c; then echo; else echo; fi
        while read; do echo; done < file
        case $x in a|b) echo;; *) echo; echo ;; esac
        name() { echo; }
        function other { echo; }
        { echo; }
        ( echo )
    """
    found = parse(script, "s.sh")
    kinds = [Simple, Simple, Loop, Loop, Branches, Branches, Branches, Function, Function, Branches, Simple]
    assert [type(statement) for statement in found] == kinds
    branches = [statement for statement in found if isinstance(statement, Branches)]
    assert [len(statement.bodies) for statement in branches] == [5, 2, 2, 1]  # conditions are bodies too
    assert [f.name for f in found if isinstance(f, Function)] == ["name", "other"]


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
        parse(script, "s.sh")
    assert str(caught.value) == message
