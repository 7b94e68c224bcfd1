"""HTML to plain text, as mails need it: standard library alone, nothing is fetched or run.

Blocks and line breaks become lines, list items get a dash, entities their characters; scripts, styles and comments are
gone. Quoted replies stay. What stands in angle brackets and is no HTML (``<ada@example.org>``) stays as it is.
"""

import re
from html import unescape
from html.parser import HTMLParser

__all__ = ["to_plain"]

_GONE = {"script", "style", "head", "title", "template", "noscript"}
_BLOCKS = {
    *("address", "article", "aside", "blockquote", "dd", "div", "dl", "dt", "fieldset", "figure", "footer", "form"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre", "section", "table"),
    *("tbody", "tfoot", "thead", "tr", "ul", "li", "br"),
}
_INLINE = {
    *("a", "abbr", "b", "big", "body", "center", "cite", "code", "del", "em", "font", "html", "i", "img", "ins"),
    *("kbd", "label", "link", "mark", "meta", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup"),
    *("td", "th", "tt", "u", "var", "caption", "col", "colgroup", "base", "input", "button", "wbr", "time", "picture"),
}
_KNOWN = _GONE | _BLOCKS | _INLINE
_MARKUP = re.compile(r"</?[A-Za-z!]|&[#A-Za-z]")


def to_plain(text: str) -> str:
    r"""The text that a reader of the HTML would see; a text without markup is not touched.

    >>> to_plain("<p>Hi&nbsp;Ada,</p><p>it <b>broke</b>.<br>Bye<style>p {}</style></p>")
    'Hi Ada,\nit broke.\nBye'
    >>> to_plain("5 < 6, says <ada@example.org>")
    '5 < 6, says <ada@example.org>'
    """
    if not _MARKUP.search(text):
        return text
    parser = _Plain()
    parser.feed(text)
    parser.close()
    return parser.plain() if parser.marked else text


class _Plain(HTMLParser):
    """Collects what is seen."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self.gone = 0
        self.pre = 0
        self.marked = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._known(tag):
            self._add(self.get_starttag_text() or "")
            return
        self.gone += tag in _GONE
        self.pre += tag == "pre"
        if tag in _BLOCKS:
            self._add("\n" + ("- " if tag == "li" else ""))
        elif tag in {"td", "th"}:
            self._add("\t")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._known(tag):
            self._add(self.get_starttag_text() or "")
        elif tag in _BLOCKS:
            self._add("\n")

    def handle_endtag(self, tag: str) -> None:
        if not self._known(tag):
            self._add(f"</{tag}>")
            return
        self.gone -= tag in _GONE and self.gone > 0
        self.pre -= tag == "pre" and self.pre > 0
        if tag in _BLOCKS and tag != "br":
            self._add("\n")

    def handle_data(self, data: str) -> None:
        self._add(data if self.pre else re.sub(r"\s+", " ", data))

    def handle_entityref(self, name: str) -> None:
        self._entity(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._entity(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        self.marked = True

    def _entity(self, written: str) -> None:
        self.marked = True
        self._add(unescape(written).replace("\xa0", " "))

    def _known(self, tag: str) -> bool:
        known = tag in _KNOWN or ":" in tag  # Office writes <o:p>
        self.marked |= known
        return known

    def _add(self, text: str) -> None:
        if not self.gone:
            self.parts.append(text)

    def plain(self) -> str:
        """Lines without blanks around them, at most one empty line between two."""
        lines = [re.sub(r"[ \t]*\t[ \t]*", "\t", line).strip() for line in "".join(self.parts).split("\n")]
        text = "\n".join(re.sub(r" {2,}", " ", line) if not line.startswith(" ") else line for line in lines)
        return re.sub(r"\n{2,}", "\n", text).strip()
