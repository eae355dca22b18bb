"""The rules by code: each a plain function of a profile, with its limits as arguments."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from leadline._core.diagnosis import CODES, Finding
from leadline._core.names import check_choice
from leadline._core.profile import Profile
from leadline._core.sources import Source
from leadline.doctor.remedies import Parts, remedies_for

Check = Callable[..., Iterator[Finding]]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A function that yields the findings of one code.

    Attributes:
        code: One of ``CODES``.
        check: ``check(profile, *, limit=…)``; its keyword defaults are the limits, its docstring their reason.
        source: Where the rule comes from.
    """

    code: str
    check: Check
    source: Source

    @property
    def limits(self) -> dict[str, Any]:
        """Keyword -> default of every limit."""
        parameters = inspect.signature(self.check).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    @property
    def reason(self) -> str:
        """What the rule looks at and why its limits are what they are."""
        return inspect.getdoc(self.check) or ""

    def __call__(self, profile: Profile, **limits: Any) -> Iterator[Finding]:
        """The findings of this rule, each with the remedies that suit the network, and the rule's source."""
        parts: Parts | None = None
        for finding in self.check(profile, **limits):
            parts = parts or Parts.of(profile)
            yield replace(finding, remedies=remedies_for(finding, parts), source=finding.source or self.source)


_RULES: list[Rule] = []


def rule(code: str, *, source: Source) -> Callable[[Check], Check]:
    """Register the decorated function as a rule for ``code``."""
    check_choice("code", code, CODES)

    def register(check: Check) -> Check:
        _RULES.append(Rule(code=code, check=check, source=source))
        return check

    return register


def known_rules() -> tuple[Rule, ...]:
    """Every rule, in the order of ``CODES``."""
    import leadline.doctor.rules  # noqa: F401  (importing the package registers them)

    order = list(CODES)
    return tuple(sorted(_RULES, key=lambda each: order.index(each.code)))
