"""Parameter expansion, against the shell itself."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from dpdrun.opendpd.shell.values import Unknown, UnknownValueError, Value, expand
from dpdrun.opendpd.shell.words import Word, tokens

SETTINGS = "lr=1e-3; empty=; spaced='a  b'; list=(gru 'two words' tcn); i=1; path=runs/apa.v2.sh; Word=gRu"
VALUES: dict[str, Value] = {
    **{"lr": "1e-3", "empty": "", "spaced": "a  b", "i": "1", "path": "runs/apa.v2.sh", "Word": "gRu"},
    "list": ("gru", "two words", "tcn"),
}
EXPANSIONS = [
    *("$lr", "--lr=$lr", "${lr}x", "'$lr'", '"$lr"', "$empty", '"$empty"', "a$empty", "$spaced", '"$spaced"'),
    *(
        "x$spaced",
        "${none:-d}",
        "${empty:-d e}",
        '"${empty-d}"',
        "${lr:-d}",
        "${none:-$lr}",
        "${lr:+yes}",
        "${none:+y}",
    ),
    *(
        "$list",
        "${list[0]}",
        "${list[$i]}",
        "${list[i]}",
        '"${list[@]}"',
        "${list[@]}",
        '-"${list[@]}"-',
        "${#list[@]}",
    ),
    *("${path%.sh}", "${path%%.*}", "${path#*/}", "${path##*.}", "${path%.py}", "${Word^^}", "${Word,,}", "${#lr}"),
    *("{0..3}", "{3..1}", "a{b,c}d", '"{0..3}"', "$(seq 2)", "$(seq 2 4)"),
]


def expanded(text: str, values: dict[str, Value]) -> list[str]:
    return [
        field for word in tokens(text, "a script") if isinstance(word, Word) for field in expand(word, dict(values))
    ]


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
        ("$(nproc)", "$(nproc) is not run here"),
        ("${lr//e/f}", "${lr//e/f} is not supported; write its value in its place"),
        ("${list[7]}", "it has no element 7"),
        ("${none:?needed}", "$none is unknown"),
    ],
)
def test_what_cannot_be_known(text: str, message: str) -> None:
    with pytest.raises(UnknownValueError) as caught:
        expanded(text, {**VALUES, "asked": Unknown("line 3 sets it on a condition")})
    assert message in str(caught.value)


def test_a_default_may_be_assigned() -> None:
    values: dict[str, Value] = {}
    (word,) = tokens("${lr:=1e-4}", "a script")
    assert isinstance(word, Word)
    assert expand(word, values) == ["1e-4"]
    assert values == {"lr": "1e-4"}
