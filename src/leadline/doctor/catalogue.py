"""Everything that the doctor can find, for a reader: what each code means, when it is said, and what to do."""

from dataclasses import dataclass

from leadline._core.diagnosis import CODES, Remedy
from leadline.doctor.registry import Rule, known_rules
from leadline.doctor.remedies import WAYS


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One code.

    Attributes:
        code: The code.
        what: What it says, in a phrase.
        rules: The rules that find it: each with its ``limits``, their ``reason`` and its ``source``.
        remedies: What to do, most promising first; a finding brings those that suit its network.
    """

    code: str
    what: str
    rules: tuple[Rule, ...]
    remedies: tuple[Remedy, ...]


def catalogue() -> tuple[Entry, ...]:
    """One entry a code, in the order of ``CODES``.

    Example:
        >>> entry = {each.code: each for each in catalogue()}["small-batch-norm"]
        >>> entry.what
        'batch statistics are taken over few values'
        >>> entry.rules[0].limits, str(entry.rules[0].source)
        ({'limit': 8, 'error': 2}, 'Ioffe 2017 (arXiv:1702.03275), section 3')
    """
    known = known_rules()
    return tuple(
        Entry(
            code=code,
            what=what,
            rules=tuple(rule for rule in known if rule.code == code),
            remedies=tuple(way.remedy for way in WAYS[code]),
        )
        for code, what in CODES.items()
    )
