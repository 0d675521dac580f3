"""Split a shell script into words and operators, with their quotes, variables and line numbers.

`shlex` splits a line as a shell does but loses which part was in single quotes and which `$name` is to be replaced, so
the words are read here: quotes, escapes, continued lines, comments, redirections and here-documents as in
POSIX.1-2017, "Shell Command Language", sections 2.2 to 2.7.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from dpdrun.errors import RecipeError

_BLANK = re.compile(r"(?:[ \t]|\\\n)+")
_REDIRECTION = re.compile(r"\d*(&>>|&>|<<<|<<-|<<|>&|<&|>>|>\||<>|>|<)")
_OPERATOR = re.compile(r";;&|&&|\|\||;;|;&|\|&|[;&|()\n]")
_UNQUOTED = re.compile(r"[^ \t\n;|&()<>'\"\\$`]+")
_QUOTED = re.compile(r'\\?[^"\\$`]*')
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!]")
_ARRAY = re.compile(r"[A-Za-z_]\w*\+?=")

ARRAY = "=("  # the operator between the name of an array and its elements


class Kind(Enum):
    """The kind of a part of a word: as it stands, `$name` or `${body}`, `$(body)` or a body in backticks."""

    TEXT = 1
    PARAMETER = 2
    SUBSTITUTION = 3


@dataclass(frozen=True)
class WordPart:
    """A part of a word."""

    kind: Kind
    body: str
    quoted: bool


@dataclass(frozen=True)
class Token:
    """A word before its variables are replaced, or an operator; `((...))` is one operator. Lines count from 1."""

    line: int
    parts: tuple[WordPart, ...] = ()
    operator: str = ""

    @property
    def plain(self) -> str | None:
        """Return an operator, or a word without variables and quotes, else None: keywords are such words."""
        if self.operator:
            return self.operator
        if any(part.kind != Kind.TEXT or part.quoted for part in self.parts):
            return None
        return "".join(part.body for part in self.parts)


def tokens(text: str, name: str) -> list[Token]:
    """Return all words and operators of a script, without redirections and here-documents.

    Raises:
        RecipeError: a quote or a bracket without its end; `name` says which script.
    """
    return _Lexer(text.replace("\r\n", "\n").replace("\r", "\n"), name).run()


class _Lexer:
    def __init__(self, text: str, name: str) -> None:
        self._text, self._name = text, name
        self._at, self._line = 0, 1
        self._found: list[Token] = []
        self._documents: list[tuple[str, bool]] = []  # here-documents that begin after this line: end, tabs stripped

    def run(self) -> list[Token]:
        text = self._text
        while self._at < len(text):
            if match := _BLANK.match(text, self._at):
                self._advance(match.end())
            elif text[self._at] == "#":
                self._at = self._end_of_line()
            elif text.startswith("((", self._at):
                self._operator(self._closing("((", "))") + 2)
            elif match := _REDIRECTION.match(text, self._at):
                self._redirect(match)
            elif match := _OPERATOR.match(text, self._at):
                self._operator(match.end())
                if match.group() == "\n":
                    self._skip_documents()
            else:
                self._found.append(word := self._word())
                if text.startswith("(", self._at) and _ARRAY.fullmatch(word.plain or ""):
                    self._found.append(Token(self._line, operator=ARRAY))
                    self._at += 1
        return self._found

    def _operator(self, end: int) -> None:
        self._found.append(Token(self._line, operator=self._text[self._at : end]))
        self._advance(end)

    def _redirect(self, mark: re.Match[str]) -> None:
        """Drop a redirection and its file."""
        self._advance(mark.end())
        if blank := _BLANK.match(self._text, self._at):
            self._advance(blank.end())
        if self._at < len(self._text) and self._text[self._at] not in "\n;|&()":
            word = self._word()
            if mark[1] in ("<<", "<<-"):
                end = "".join(part.body for part in word.parts if part.kind == Kind.TEXT)
                self._documents.append((end, mark[1] == "<<-"))

    def _skip_documents(self) -> None:
        for end, stripped in self._documents:
            while self._at < len(self._text):
                first = self._at
                self._advance(min(self._end_of_line() + 1, len(self._text)))
                line = self._text[first : self._at].rstrip("\n")
                if (line.lstrip("\t") if stripped else line) == end:
                    break
        self._documents.clear()

    def _word(self) -> Token:
        parts: list[WordPart] = []
        line, text = self._line, self._text
        while self._at < len(text):
            letter = text[self._at]
            if letter in " \t\n;|&()<>":
                break
            if letter == "'":
                end = self._find("'")
                parts.append(WordPart(Kind.TEXT, text[self._at + 1 : end], True))
                self._advance(end + 1)
            elif letter == '"':
                self._advance(self._at + 1)
                parts += self._double_quoted(line)
            elif letter == "\\":
                if not text.startswith("\\\n", self._at):
                    parts.append(WordPart(Kind.TEXT, text[self._at + 1 : self._at + 2], True))
                self._advance(min(self._at + 2, len(text)))
            elif letter in "$`":
                parts.append(self._dollar(quoted=False))
            else:
                parts.append(self._literal(_UNQUOTED, quoted=False))
        return Token(line, tuple(parts))

    def _double_quoted(self, line: int) -> list[WordPart]:
        parts: list[WordPart] = []
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter == '"':
                self._advance(self._at + 1)
                return parts or [WordPart(Kind.TEXT, "", True)]
            if letter == "\\" and self._text[self._at + 1 : self._at + 2] in tuple('$`"\\\n'):
                parts.append(WordPart(Kind.TEXT, self._text[self._at + 1].strip("\n"), True))
                self._advance(self._at + 2)
            elif letter in "$`":
                parts.append(self._dollar(quoted=True))
            else:
                parts.append(self._literal(_QUOTED, quoted=True))
        raise self._unclosed('"', line)

    def _literal(self, pattern: re.Pattern[str], *, quoted: bool) -> WordPart:
        match = pattern.match(self._text, self._at)
        assert match is not None
        self._advance(match.end())
        return WordPart(Kind.TEXT, match.group(), quoted)

    def _dollar(self, *, quoted: bool) -> WordPart:
        text, at = self._text, self._at
        if text[at] == "`":
            end = self._find("`")
            self._advance(end + 1)
            return WordPart(Kind.SUBSTITUTION, text[at + 1 : end], quoted)
        for opening, closing in (("$((", "))"), ("$(", ")"), ("${", "}")):
            if text.startswith(opening, at):
                end = self._closing(opening, closing)
                self._advance(end + len(closing))
                kind = Kind.PARAMETER if opening == "${" else Kind.SUBSTITUTION
                return WordPart(kind, text[at + len(opening) : end], quoted)
        match = _NAME.match(text, at + 1)
        self._advance(match.end() if match else at + 1)
        return WordPart(Kind.PARAMETER, match.group(), quoted) if match else WordPart(Kind.TEXT, "$", quoted)

    def _closing(self, opening: str, closing: str) -> int:
        """Return where a bracket that opens here ends; skip brackets, quotes and comments inside."""
        deep, at = 1, self._at + len(opening)
        first, last = opening[-1], closing[0]
        while at < len(self._text):
            letter = self._text[at]
            if deep == 1 and self._text.startswith(closing, at):
                return at
            if letter == "\\":
                at += 1
            elif letter == "'" and first != "{":
                at = self._find("'", at)
            elif letter == "#" and opening == "$(" and self._text[at - 1].isspace():
                at = self._text.find("\n", at)
                if at < 0:
                    break
            elif letter == first:
                deep += 1
            elif letter == last:
                deep -= 1
            at += 1
        raise self._unclosed(opening, self._line)

    def _find(self, mark: str, opening: int | None = None) -> int:
        """Return where the quote ends that opens at `opening`, or here."""
        end = self._text.find(mark, (self._at if opening is None else opening) + 1)
        if end < 0:
            raise self._unclosed(mark, self._line)
        return end

    def _unclosed(self, mark: str, line: int) -> RecipeError:
        return RecipeError(f"{self._name}:{line}: the {mark} that opens here is never closed")

    def _end_of_line(self) -> int:
        end = self._text.find("\n", self._at)
        return len(self._text) if end < 0 else end

    def _advance(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to
