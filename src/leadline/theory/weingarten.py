"""Exact moments of entries of Haar orthogonal matrices, symbolic in the dimension."""

from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING

from leadline._core.errors import AssumptionError
from leadline._core.extras import require

if TYPE_CHECKING:
    from sympy import Expr, Symbol


def haar_moment(entries: Iterable[tuple[int, int]], *, d: "int | Symbol") -> "Fraction | Expr":
    r"""Expectation of a product of entries of a Haar orthogonal matrix, $\mathrm{E}\,O_{i_1 j_1} \cdots O_{i_m j_m}$.

    By Weingarten calculus,

    $$\sum_{\pi, \sigma} \mathrm{Wg}_d(\pi^{-1}\sigma)\, \delta_\pi(i)\, \delta_\sigma(j),$$

    the sum over all pairings of the m factors; 0 for odd m, and wherever an index occurs an odd number of times in
    the rows or in the columns.

    Args:
        entries: Pairs (row, column), counted from 0; in any order. The cost grows fast with their number:
            milliseconds for six, a second for eight.
        d: The dimension, or a sympy symbol for it.

    Returns:
        A ``Fraction`` for a number, a sympy expression for a symbol; valid for dimensions of at least half the number
        of factors, as rational functions of d have poles below.

    Raises:
        AssumptionError: If an index does not occur in the dimension, or a pairing of the factors does not fit into it
            (2 d below their number).
        MissingExtraError: If haarpy is not installed (``pip install 'leadline[symbolic]'``).

    Source:
        collins2006 (arXiv:math-ph/0402073), corollary 3.4, as implemented by haarpy.

    Example:
        >>> from sympy import Symbol, factor
        >>> factor(haar_moment([(0, 0), (0, 0), (1, 1), (1, 1)], d=Symbol("d")))
        (d + 1)/(d*(d - 1)*(d + 2))
        >>> haar_moment([(0, 0)] * 4, d=10)
        Fraction(1, 40)
    """
    haarpy = require("haarpy", extra="symbolic")
    entries = list(entries)
    lowest = min((min(pair) for pair in entries), default=0)
    highest = max((max(pair) for pair in entries), default=0)
    if lowest < 0 or (isinstance(d, int) and (highest >= d or 2 * d < len(entries))):
        raise AssumptionError(
            f"A product of {len(entries)} entries with indices from {lowest} to {highest} needs indices from 0 on and "
            f"a dimension of at least {max(highest + 1, (len(entries) + 1) // 2)}, got d={d}."
        )
    if not entries or len(entries) % 2:
        return Fraction(1 - len(entries) % 2)
    rows, columns = zip(*entries, strict=True)
    value = haarpy.haar_integral_orthogonal((rows, columns), d)
    return Fraction(value) if isinstance(value, int) else value
