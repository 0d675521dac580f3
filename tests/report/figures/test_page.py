from __future__ import annotations

import base64
import struct
from html.parser import HTMLParser

from dpdrun.report.figures.page import Drawn, FigureSection, Missing, png_size, report_page
from dpdrun.report.figures.style import Picture

VOID = {"meta", "img", "br"}


class Tags(HTMLParser):
    """Checks that tags are closed in order; collects tags with attributes, and text by tag."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append((self.open[-1], data))


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


def picture(width: int) -> Picture:
    return Picture(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, 300), b"<svg/>")


SECTIONS = [
    FigureSection(
        "a, test",
        "described & such",
        [Drawn("PSD <1>", "psd-test", picture(770), "caption <b>"), Missing("Constellation", "no <symbols>")],
        ["bad is left out."],
    ),
    FigureSection("Training", "", [Drawn("curves", "training", picture(1575), "")]),
]


def test_everything_is_there_as_text() -> None:
    table = ("scores & all", ["<run>", "NMSE [dB]"], [["<i>a</i>", "-40.1"], ["b"]])
    tags = parsed(report_page("title <x>", [("name <", "value & more")], [table], SECTIONS))
    text = [content for _, content in tags.text]
    for each in (
        "title <x>", "name <", "value & more", "scores & all", "<run>", "<i>a</i>", "a, test", "described & such",
        "bad is left out.", "PSD <1>", "caption <b>", "Constellation", ": not drawn: no <symbols>",
    ):  # fmt: skip
        assert each in text
    assert {"b", "i", "x", "run"}.isdisjoint(tag for tag, _ in tags.seen)


def test_images_are_inside_and_described() -> None:
    page = report_page("t", [], [], SECTIONS)
    tags = parsed(page)
    images = [attributes for tag, attributes in tags.seen if tag == "img"]
    assert len(images) == 2
    prefix = "data:image/svg+xml;base64,"
    assert [base64.b64decode((each["src"] or "").removeprefix(prefix)) for each in images] == [b"<svg/>"] * 2
    assert all(each["alt"] for each in images)
    assert (images[0]["width"], images[0]["height"]) == ("770", "300")
    assert [attributes.get("class") for tag, attributes in tags.seen if tag == "figure"] == [None, "wide"]
    assert {"script", "link", "iframe"}.isdisjoint(tag for tag, _ in tags.seen)
    assert "http" not in page


def test_numbers_are_set_to_the_right() -> None:
    rows = [
        ["a", "-40.1", "3 of 4", "", "1,234"],
        ["7", "\N{MINUS SIGN}3e-5", "x", "-", "5"],
        ["b", "1.5 dB", "", "", "6"],
    ]
    tags = parsed(report_page("t", [], [("c", ["name", "n", "mixed", "empty", "count"], rows)], []))
    heads = [attributes.get("class") for tag, attributes in tags.seen if tag == "th"]
    assert heads == [None, "number", None, None, "number"]


def test_without_anything() -> None:
    tags = parsed(report_page("t", [], [("empty", [], [])], []))
    assert ("h1", "t") in tags.text


def test_size_of_a_png() -> None:
    assert png_size(picture(123).png) == (123, 300)
