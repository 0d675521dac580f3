from __future__ import annotations

from dpdrun.report.html_page import CSS, html_page


def test_the_page_around_a_body() -> None:
    page = html_page("a <b> & c", "<p>body</p>", ".mine { color: red; }\n")
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert "<title>a &lt;b&gt; &amp; c</title>" in page
    assert page.index(CSS) < page.index(".mine") < page.index("</style>") < page.index("<p>body</p>")
    assert page.endswith("</body>\n</html>\n")
    for text in ("prefers-color-scheme: dark", "@media print"):
        assert text in CSS
    for text in ("http", "url(", "@import", "<script"):
        assert text not in page
