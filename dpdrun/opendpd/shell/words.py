"""Split a shell script into words and operators, with their quotes, variables and line numbers.

`shlex` splits a line as a shell does but loses which part was in single quotes and which `$name` is to be replaced, so
the words are read here: quotes, escapes, continued lines, comments, redirections and here-documents as in
POSIX.1-2017, "Shell Command Language", sections 2.2 to 2.7.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dpdrun.errors import RecipeError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]|[@*#?$!]")
_OPERATORS = (";;&", "&&", "||", ";;", ";&", "|&", ";", "&", "|", "(", ")", "\n")
_REDIRECTIONS = ("&>>", "<<-", "<<<", "&>", ">>", "<<", ">&", "<&", ">|", "<>", ">", "<")


@dataclass(frozen=True)
class Literal:
    """Literal text."""

    text: str
    quoted: bool


@dataclass(frozen=True)
class Parameter:
    """`$name` or `${body}`."""

    body: str
    quoted: bool


@dataclass(frozen=True)
class Substitution:
    """`$(body)`, `$((body))` or a body in backticks; never run."""

    body: str
    quoted: bool


Part = Literal | Parameter | Substitution


@dataclass(frozen=True)
class Word:
    """One word before its variables are replaced; `line` is counted from 1."""

    parts: tuple[Part, ...]
    line: int

    @property
    def plain(self) -> str | None:
        """Return the text of a word without variables and quotes, else None: keywords are such words."""
        if any(not isinstance(part, Literal) or part.quoted for part in self.parts):
            return None
        return "".join(part.text for part in self.parts if isinstance(part, Literal))


@dataclass(frozen=True)
class Operator:
    """A separator of commands, or `((...))` with its body; `glued`: a word ends right before it."""

    text: str
    line: int
    glued: bool = False


Token = Word | Operator


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
        glued = False
        while self._at < len(self._text):
            if self._skip_blank():
                glued = False
                continue
            if not glued and self._text[self._at] == "#":
                self._at = self._end_of_line()
                continue
            glued = self._next(glued)
        return self._found

    def _next(self, glued: bool) -> bool:
        """Read one token; `glued`: a word ends right before it. Returns whether it is a word itself."""
        text = self._text
        if text.startswith("((", self._at) and not glued:
            line, end = self._line, self._closing("((", "))")
            self._found.append(Operator(text[self._at : end + 2], line))
            self._advance(end + 2)
            return False
        for mark in _REDIRECTIONS:
            if text.startswith(mark, self._at):
                self._redirect(mark, glued)
                return False
        for mark in _OPERATORS:
            if text.startswith(mark, self._at):
                self._found.append(Operator(mark, self._line, glued))
                self._advance(self._at + len(mark))
                if mark == "\n":
                    self._skip_documents()
                return False
        self._found.append(self._word())
        return True

    def _redirect(self, mark: str, glued: bool) -> None:
        """Drop a redirection, its file and the number of the stream before it."""
        before = self._found[-1] if self._found else None
        if glued and isinstance(before, Word) and (before.plain or "").isdecimal():
            self._found.pop()
        self._advance(self._at + len(mark))
        while self._skip_blank():
            pass
        if self._at < len(self._text) and self._text[self._at] not in "\n;|&()":
            word = self._word()
            if mark in ("<<", "<<-"):
                end = "".join(part.text for part in word.parts if isinstance(part, Literal))
                self._documents.append((end, mark == "<<-"))

    def _skip_documents(self) -> None:
        for end, stripped in self._documents:
            while self._at < len(self._text):
                first = self._at
                self._advance(min(self._end_of_line() + 1, len(self._text)))
                line = self._text[first : self._at].rstrip("\n")
                if (line.lstrip("\t") if stripped else line) == end:
                    break
        self._documents.clear()

    def _word(self) -> Word:
        parts: list[Part] = []
        line = self._line
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter in " \t\n;|&()<>":
                break
            if letter == "'":
                end = self._find("'", self._at + 1, "'")
                parts.append(Literal(self._text[self._at + 1 : end], True))
                self._advance(end + 1)
            elif letter == '"':
                self._advance(self._at + 1)
                parts += self._double_quoted(line)
            elif letter == "\\":
                if self._text.startswith("\\\n", self._at):
                    self._advance(self._at + 2)
                    continue
                parts.append(Literal(self._text[self._at + 1 : self._at + 2], True))
                self._advance(min(self._at + 2, len(self._text)))
            elif letter in "$`":
                parts.append(self._dollar(quoted=False))
            else:
                match = re.compile(r"[^ \t\n;|&()<>'\"\\$`]+").match(self._text, self._at)
                assert match is not None
                parts.append(Literal(match.group(), False))
                self._advance(match.end())
        return Word(tuple(parts), line)

    def _double_quoted(self, line: int) -> list[Part]:
        parts: list[Part] = [Literal("", True)]
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter == '"':
                self._advance(self._at + 1)
                return parts
            if letter == "\\" and self._text[self._at + 1 : self._at + 2] in tuple('$`"\\\n'):
                escaped = self._text[self._at + 1]
                parts.append(Literal("" if escaped == "\n" else escaped, True))
                self._advance(self._at + 2)
            elif letter in "$`":
                parts.append(self._dollar(quoted=True))
            else:
                match = re.compile(r'\\?[^"\\$`]*').match(self._text, self._at)
                assert match is not None
                parts.append(Literal(match.group(), True))
                self._advance(match.end())
        raise self._unclosed('"', line)

    def _dollar(self, *, quoted: bool) -> Part:
        text, at = self._text, self._at
        if text[at] == "`":
            end = self._find("`", at + 1, "`")
            self._advance(end + 1)
            return Substitution(text[at + 1 : end], quoted)
        for opening, closing in (("$((", "))"), ("$(", ")"), ("${", "}")):
            if text.startswith(opening, at):
                end = self._closing(opening, closing)
                body = text[at + len(opening) : end]
                self._advance(end + len(closing))
                return Parameter(body, quoted) if opening == "${" else Substitution(body, quoted)
        match = _NAME.match(text, at + 1)
        if match is None:
            self._advance(at + 1)
            return Literal("$", quoted)
        self._advance(match.end())
        return Parameter(match.group(), quoted)

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
                at = self._find("'", at + 1, "'")
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

    def _find(self, mark: str, start: int, shown: str) -> int:
        end = self._text.find(mark, start)
        if end < 0:
            raise self._unclosed(shown, self._line)
        return end

    def _unclosed(self, mark: str, line: int) -> RecipeError:
        return RecipeError(f"{self._name}:{line}: the {mark} that opens here is never closed")

    def _skip_blank(self) -> bool:
        for blank in ("\\\n", " ", "\t"):
            if self._text.startswith(blank, self._at):
                self._advance(self._at + len(blank))
                return True
        return False

    def _end_of_line(self) -> int:
        end = self._text.find("\n", self._at)
        return len(self._text) if end < 0 else end

    def _advance(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to
