"""Docstrings as the pages read them: examples are code, and sources are named as to a reader."""

import re

import griffe

from leadline._core.sources import WORKS

_KEY = re.compile(rf"\b({'|'.join(set(WORKS) - {'leadline'})})\b")
# An example that stands by itself, outside any section.
_BARE = re.compile(r"(?:^>>> .*\n?(?:^\S.*\n?)*)+", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Brings our docstrings into the form that the pages' parser knows."""

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """One docstring."""
        if obj.docstring:
            obj.docstring.value = prepared(obj.docstring.value)


def prepared(text: str) -> str:
    r"""A docstring with its examples in a section called so, and its sources spelled out.

    >>> prepared("Twice.\n\n>>> 1 + 1\n2")
    'Twice.\n\nExamples:\n    >>> 1 + 1\n    2'
    >>> prepared("Source:\n    he2015, eq. 10.")
    'Source:\n    He et al. 2015 (arXiv:1502.01852), eq. 10.'
    """
    text = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
    text = _BARE.sub(lambda found: "Examples:\n" + re.sub(r"^(?=.)", "    ", found[0], flags=re.MULTILINE), text)
    return _KEY.sub(lambda found: WORKS[found[1]], text)
