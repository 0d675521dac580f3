"""The words of a shell script, against Python's shlex where it can judge."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dpdrun.errors import RecipeError
from dpdrun.opendpd.shell.words import Kind, Token, WordPart, tokens


def texts(found: list[Token]) -> list[str]:
    """Words and operators as text, where nothing is to be replaced."""
    assert all(part.kind == Kind.TEXT for token in found for part in token.parts)
    return [token.operator or "".join(part.body for part in token.parts) for token in found]


@given(st.text(alphabet="ab-='\"\\ ", max_size=20))
def test_quotes_and_escapes_as_shlex_reads_them(text: str) -> None:
    try:
        expected = shlex.split(text)
    except ValueError:  # a quote without its end, or a backslash at the end
        assume(False)
    assert texts(tokens(text, "a script")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python main.py --lr 1e-4 # not this", ["python", "main.py", "--lr", "1e-4"]),
        ("a#b c", ["a#b", "c"]),
        ("a \\\n  b", ["a", "b"]),
        ("a \\\r\n  b", ["a", "b"]),
        ("a && b; c | d &", ["a", "&&", "b", ";", "c", "|", "d", "&"]),
        ("a > log 2>&1 >>more b", ["a", "b"]),
        ("a <<EOF\nnot this\nEOF\nb", ["a", "\n", "b"]),
        ("a <<-'EOF'\nnot $this\n\tEOF\nb", ["a", "\n", "b"]),
        ("(( i < 3 )) x", ["(( i < 3 ))", "x"]),
        ("a=(b) f() c (", ["a=", "=(", "b", ")", "f", "(", ")", "c", "("]),
    ],
)
def test_what_is_a_word(text: str, expected: list[str]) -> None:
    assert texts(tokens(text, "a script")) == expected


def test_what_is_to_be_replaced() -> None:
    (word,) = tokens('--lr=$lr"${a:-x y}"\'$no\'$(date)`who`$((1 + 2))""', "a script")
    assert word.parts == (
        WordPart(Kind.TEXT, "--lr=", False),
        WordPart(Kind.PARAMETER, "lr", False),
        WordPart(Kind.PARAMETER, "a:-x y", True),
        WordPart(Kind.TEXT, "$no", True),
        WordPart(Kind.SUBSTITUTION, "date", False),
        WordPart(Kind.SUBSTITUTION, "who", False),
        WordPart(Kind.SUBSTITUTION, "1 + 2", False),
        WordPart(Kind.TEXT, "", True),
    )


def test_lines_are_counted() -> None:
    found = tokens("a 'b\nc' \\\n d\n\ne", "a script")
    assert [token.line for token in found if not token.operator] == [1, 1, 3, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [("a\n'b", "s.sh:2: the ' that opens"), ('"$x', 's.sh:1: the " that opens'), ("${x", "the ${ that opens")],
)
def test_what_never_ends(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        tokens(text, "s.sh")
    assert message in str(caught.value)
