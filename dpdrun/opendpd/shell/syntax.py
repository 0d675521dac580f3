"""Parse a shell script into simple commands, loops, branches and functions.

POSIX.1-2017, "Shell Command Language", section 2.9, and the arrays and counting loops of bash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dpdrun.errors import RecipeError
from dpdrun.opendpd.shell.words import Operator, Token, Word, tokens

ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\+?=)(.*)", re.DOTALL)

_ENDS = {"done", "fi", "esac", "}", "then", "else", "elif", "do"}


@dataclass
class Simple:
    """Words, and the arrays that are assigned before them: (name, = or +=, elements)."""

    words: list[Word] = field(default_factory=list)
    arrays: list[tuple[str, str, list[Word]]] = field(default_factory=list)
    line: int = 0


@dataclass
class Loop:
    """`for variable in over`; `over` is the head `((...))` of a counting loop."""

    variable: str
    over: list[Word] | str
    body: list[Statement]
    line: int


@dataclass
class Branches:
    """Bodies of which any may run."""

    bodies: list[list[Statement]]
    line: int


@dataclass
class Function:
    """A function and its body."""

    name: str
    body: list[Statement]


Statement = Simple | Loop | Branches | Function


def parse(text: str, name: str) -> list[Statement]:
    """Return the statements of a script.

    Raises:
        RecipeError: it is not a shell script; `name` says which.
    """
    return _Parser(tokens(text, name), name).all()


class _Parser:
    def __init__(self, found: list[Token], name: str) -> None:
        self._tokens, self._at, self._name = found, 0, name

    def all(self) -> list[Statement]:
        body = self._statements(())
        if self._at < len(self._tokens):
            raise self._error(f"{self._shown()} closes nothing")
        return body

    def _statements(self, ends: tuple[str, ...], line: int = 0) -> list[Statement]:
        body: list[Statement] = []
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if isinstance(token, Operator):
                if token.text in ends:
                    return body
                if token.text == "(":
                    self._at += 1
                    body += self._statements((")",), token.line)
                self._at += 1
                continue
            if token.plain in ends:
                return body
            if token.plain in _ENDS:
                raise self._error(f"{token.plain} closes nothing")
            body.append(self._statement(token))
        if ends:
            raise RecipeError(f"{self._name}:{line}: this statement has no {' or '.join(ends)}")
        return body

    def _statement(self, token: Word) -> Statement:
        line, word = token.line, token.plain
        if word == "for":
            return self._loop(line)
        if word in ("if", "while", "until"):
            return self._branches(line, "fi" if word == "if" else "done")
        if word == "case":
            return self._case(line)
        if word == "{":
            self._at += 1
            return Branches([self._until("}", line)], line)
        if self._is_function():
            return self._function(token)
        return self._simple(line)

    def _until(self, end: str, line: int) -> list[Statement]:
        body = self._statements((end,), line)
        self._at += 1
        return body

    def _loop(self, line: int) -> Loop:
        self._at += 1
        head = self._tokens[self._at] if self._at < len(self._tokens) else None
        self._at += 1
        over: list[Word] | str
        if isinstance(head, Operator) and head.text.startswith("(("):
            over, variable = head.text, ""
        else:
            variable = (head.plain if isinstance(head, Word) else None) or "?"
            words = []
            while isinstance(self._peek(), Word) and self._plain() != "do":
                words.append(self._take())
            over = words[1:]  # after `in`
        while isinstance(self._peek(), Operator):
            self._at += 1
        if self._plain() not in ("do", "{"):
            raise RecipeError(f"{self._name}:{line}: this for has no do")
        end = "done" if self._plain() == "do" else "}"
        self._at += 1
        return Loop(variable, over, self._until(end, line), line)

    def _branches(self, line: int, end: str) -> Branches:
        bodies: list[list[Statement]] = []
        while self._plain() != end:
            self._at += 1
            bodies.append(self._statements(("then", "elif", "else", "fi") if end == "fi" else ("do", "done"), line))
        self._at += 1
        return Branches(bodies, line)

    def _case(self, line: int) -> Branches:
        while self._peek() is not None and self._plain() != "in":
            self._at += 1
        self._at += 1
        bodies: list[list[Statement]] = []
        while self._peek() is not None and self._plain() != "esac":
            while self._peek() is not None and self._plain() != "esac" and self._operator() != ")":
                self._at += 1  # the pattern
            if self._operator() == ")":
                self._at += 1
                bodies.append(self._statements((";;", ";&", ";;&", "esac"), line))
                self._at += self._plain() != "esac"
        if self._peek() is None:
            raise RecipeError(f"{self._name}:{line}: this case has no esac")
        self._at += 1
        return Branches(bodies, line)

    def _is_function(self) -> bool:
        if self._plain() == "function":
            return True
        after = self._tokens[self._at + 1 : self._at + 3]
        return [token.text for token in after if isinstance(token, Operator)] == ["(", ")"]

    def _function(self, token: Word) -> Function:
        if token.plain == "function":
            self._at += 1
        name = self._plain() or "?"
        self._at += 1
        while isinstance(self._peek(), Operator):
            self._at += 1
        if self._plain() != "{":
            raise self._error(f"the function {name} has no {{")
        self._at += 1
        return Function(name, self._until("}", token.line))

    def _simple(self, line: int) -> Simple:
        found = Simple(line=line)
        while isinstance(self._peek(), Word):
            word = self._take()
            match = ASSIGNMENT.fullmatch(word.plain or "")
            after = self._peek()
            if match and not match[3] and isinstance(after, Operator) and after.text == "(" and after.glued:
                self._at += 1
                found.arrays.append((match[1], match[2], self._array(line)))
            else:
                found.words.append(word)
        return found

    def _array(self, line: int) -> list[Word]:
        words = []
        while (token := self._peek()) is not None:
            self._at += 1
            if isinstance(token, Word):
                words.append(token)
            elif token.text == ")":
                return words
        raise RecipeError(f"{self._name}:{line}: this array has no )")

    def _peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self) -> Word:
        word = self._tokens[self._at]
        assert isinstance(word, Word)
        self._at += 1
        return word

    def _plain(self) -> str | None:
        token = self._peek()
        return token.plain if isinstance(token, Word) else None

    def _operator(self) -> str | None:
        token = self._peek()
        return token.text if isinstance(token, Operator) else None

    def _shown(self) -> str:
        return self._operator() or self._plain() or "this"

    def _error(self, message: str) -> RecipeError:
        line = self._tokens[min(self._at, len(self._tokens) - 1)].line
        return RecipeError(f"{self._name}:{line}: {message}")
