r"""Formulas as MathML, written while the pages are built: nothing is fetched and no script runs.

Arithmatex leaves ``\(…\)`` and ``\[…\]`` in elements of its class; browsers draw the MathML that takes their place.
"""

import html
import re

from latex2mathml.converter import convert

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
# What the converter does not know -> what it does.
_WORDS = (
    (r"\\mathrm\{(\w)\}(\\,)?", r"\\text{\1}\\,"),  # one upright letter
    (r"\\_", "_"),
    (r"(\\[Bb]ig[lr])\\\|", r"\1‖"),
    (r"\\sim\b", "∼ "),
    (r"\\operatorname\{(\w+)\}", r"\\,\\text{\1}\\,"),
)
# What it draws -> what reads better.
_PRIME = "&#x02032;"
_MARKS = (
    # Fonts have the prime raised already: on the line, or it is too small to see.
    (rf"<msup>(<mi>[^<]*</mi>)<mi>{_PRIME}</mi></msup>", rf"<mrow>\1<mtext>{_PRIME}</mtext></mrow>"),
    (rf"<msup>(<mi>[^<]*</mi>)<mrow><mi>{_PRIME}</mi>", rf"<msup><mrow>\1<mtext>{_PRIME}</mtext></mrow><mrow>"),
    # A function's name stands off from an argument without brackets.
    (r"(<mi>(?:log|exp|sin|cos)</mi>)(?!<mo)", r'\1<mspace width="0.17em" />'),
)


def on_page_content(content: str, **kwargs: object) -> str:
    """The page with its formulas drawn."""
    return _FORMULA.sub(_drawn, content)


def _drawn(found: re.Match[str]) -> str:
    element, bracket, formula = found.groups()
    return f'<{element} class="maths">{mathml(html.unescape(formula), block=bracket == "[")}</{element}>'


def mathml(formula: str, *, block: bool = False) -> str:
    r"""A formula of LaTeX as MathML.

    >>> mathml(r"\chi_1").removeprefix('<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline">')
    '<mrow><msub><mi>&#x003C7;</mi><mn>1</mn></msub></mrow></math>'
    """
    for pattern, known in _WORDS:
        formula = re.sub(pattern, known, formula)
    drawn = convert(formula, display="block" if block else "inline")
    for pattern, better in _MARKS:
        drawn = re.sub(pattern, better, drawn)
    return drawn
