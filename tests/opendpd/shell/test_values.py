"""Parameter expansion, against the shell itself."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from dpdrun.opendpd.shell.values import Unknown, UnknownValueError, Value, expand
from dpdrun.opendpd.shell.words import tokens

SETTINGS = "lr=1e-3; empty=; spaced='a  b'; list=(gru 'two words' tcn); i=1"
VALUES: dict[str, Value] = {
    **{"lr": "1e-3", "empty": "", "spaced": "a  b", "i": "1"},
    "list": ("gru", "two words", "tcn"),
}
EXPANSIONS = [
    *("$lr", "--lr=$lr", "${lr}x", "'$lr'", '"$lr"', "$empty", '"$empty"', "a$empty", "$spaced", '"$spaced"'),
    *("x$spaced", "${none:-d}", "${empty:-d e}", '"${empty-d}"', "${lr:-d}", "${none:-$lr}", "'{0..3}'", "{}"),
    *("$list", "${list[0]}", "${list[$i]}", "${list[${i}]}", "${list[i]}", "${#list[@]}", "${#lr[@]}"),
    *('"${list[@]}"', "${list[@]}", '-"${list[@]}"-'),
]


def expanded(text: str, values: dict[str, Value]) -> list[str]:
    return [word for token in tokens(text, "a script") for word in expand(token.parts, values)]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is the reference here")
@pytest.mark.parametrize("text", EXPANSIONS)
def test_as_bash(text: str) -> None:
    script = f"{SETTINGS}\nset -- {text}\nfor word; do printf '%s\\n' \"$word\"; done"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert expanded(text, VALUES) == done.stdout.splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$none", "$none is unknown: nothing sets it before"),
        ("x${none}y", "$none is unknown"),
        ("$1", "$1 is unknown: it is an argument of the script"),
        ("$asked", "$asked is unknown: line 3 sets it on a condition"),
        ("$(nproc)", "$(nproc) is not run here; write its value in its place"),
        ("${lr//e/f}", "${lr//e/f} is not supported; write its value in its place"),
        ("${none:?needed}", "${none:?needed} is not supported"),
        ("${lr%-3}", "${lr%-3} is not supported"),
        ("${#lr}", "${#lr} is not supported"),
        ("--seed={0..4}", "--seed={0..4} is not supported; write its values in its place"),
        ("{gru,tcn}", "{gru,tcn} is not supported; write its values in its place"),
        ("${list[7]}", "it has no element 7"),
    ],
)
def test_what_cannot_be_known(text: str, message: str) -> None:
    with pytest.raises(UnknownValueError) as caught:
        expanded(text, {**VALUES, "asked": Unknown("line 3 sets it on a condition")})
    assert message in str(caught.value)
