"""The few errors of our own: those that a caller would want to catch."""


class UsageError(ValueError):
    """A wrong call: the message says in one sentence what was expected, what came and what to do.

    The command line prints the message alone and exits with status 2.
    """


class AssumptionError(ValueError):
    """The hypotheses of a theorem are not met, so its formula says nothing."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""
