"""Choices that several commands offer."""

from __future__ import annotations

from enum import StrEnum


class Split(StrEnum):
    """The splits of a capture."""

    train = "train"
    val = "val"
    test = "test"


class TableFormat(StrEnum):
    """How to print a table: for people or for programs."""

    table = "table"
    json = "json"
