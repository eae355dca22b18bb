"""Numbers in words and tables: three significant digits, a true minus sign, short exponents."""

import math
from collections.abc import Sequence

# Depth in links beyond which an extrapolation is told as lying there, and not in a number.
FARTHEST = 10_000
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float) -> str:
    """``value`` in three significant digits, for a column of a table.

    >>> [number(v) for v in (0.0, 1.5, -1234, 3.2e-9, math.inf, math.nan)]
    ['0', '1.50', '−1234', '3.20e−9', '∞', '–']
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if isinstance(value, int) and abs(value) < 10_000_000:
        return str(value).replace("-", "−")
    mantissa, exponent = f"{value:.2e}".split("e")
    power = int(exponent)
    text = f"{value:.{max(0, 2 - power)}f}" if -3 <= power < 5 else f"{mantissa}e{power}"
    return text.replace("-", "−")


def figure(value: float, *, signed: bool = False) -> str:
    """``value`` in three significant digits without idle zeros, for a sentence; ``signed`` with a plus where it is one.

    >>> [figure(v) for v in (-0.5, 65504.0, 2.4e-6, math.inf, math.nan)], figure(0.05, signed=True)
    (['−0.5', '65504', '2.4e−6', '∞', 'nan'], '+0.05')
    """
    if math.isnan(value):
        return "nan"
    mantissa, e, power = number(value).partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{'+' if signed and value > 0 else ''}{mantissa}{e}{power}"


def factor(decades: float) -> str:
    """Ten to the power of ``decades``, as a factor in a sentence; also where no float holds it.

    >>> factor(1.5), factor(-3.0), factor(400.2), factor(math.inf)
    ('31.6', '0.001', '10⁴⁰⁰', '∞')
    """
    if abs(decades) <= 6 or not math.isfinite(decades):
        return figure(10**decades)
    return "10" + f"{decades:.0f}".translate(_RAISED)


def decades(value: float) -> str:
    """A number of decades.

    >>> decades(1.0), decades(-0.389)
    ('1 decade', '−0.389 decades')
    """
    return f"{figure(value)} decade{'' if figure(value) == '1' else 's'}"


def portion(share: float) -> str:
    """A share of a whole, at the head of "of …".

    >>> portion(1.0), portion(0.25), portion(3e-6)
    ('all', '25 %', '3e−4 %')
    """
    return "all" if share >= 1 else f"{figure(100 * share)} %"


def count(quantity: int, noun: str) -> str:
    """``quantity`` and its noun, in the plural where it is one.

    >>> count(1, "error"), count(3, "layer"), count(0, "note")
    ('1 error', '3 layers', '0 notes')
    """
    return f"{quantity} {noun}" if quantity == 1 else f"{quantity} {noun}s"


def reach(depth: float) -> str:
    """A depth in links, as far as it can be told.

    >>> reach(41.6), reach(2.9e6), reach(math.inf), reach(math.nan)
    ('42', 'more than 10,000', '∞', '–')
    """
    if not math.isfinite(depth):
        return number(depth)
    return f"more than {FARTHEST:,}" if depth > FARTHEST else str(round(depth))


def listed(items: Sequence[str], *, shown: int = 3) -> str:
    """Names in a row; of many the first ones and how many more there are.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c", "d", "e"])
    ('a', 'a and b', 'a, b, c and 2 more')
    """
    if len(items) <= 1:
        return "".join(items)
    head, last = (items[:-1], items[-1]) if len(items) <= shown else (items[:shown], f"{len(items) - shown} more")
    return f"{', '.join(head)} and {last}"
