"""A page as a reader without JavaScript, and as a browser, would take it apart."""

import json
from html.parser import HTMLParser

VOID = {"meta", "br", "wbr", "link", "img", "input", "hr"}


class Reading(HTMLParser):
    """Words outside of scripts and styles, attributes by tag, scripts, and tags that were left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.strays: list[str] = []
        self._script_type = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self._script_type = dict(attrs).get("type") or ""

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.strays.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append((self._script_type, data))
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def figures(self) -> dict:
        (data,) = [text for kind, text in self.scripts if kind == "application/json"]
        return json.loads(data, parse_constant=_refuse)


def _refuse(word: str):
    raise AssertionError(f"{word} is no JSON")
