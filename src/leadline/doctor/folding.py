"""Causes before symptoms: findings that follow from another become notes that name it."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from leadline._core.diagnosis import Finding, Remedy
from leadline._core.profile import Profile
from leadline._core.wording import listed
from leadline.doctor.layers import depth_of, pattern

# What stays true whatever else is wrong.
_INDEPENDENT = frozenset({"nonfinite", "degenerate-batch", "small-batch-norm", "unused-layer"})
_BACKWARD = frozenset({"gradient-explosion", "gradient-vanishing", "aligned-gradients"})
_CUTS = frozenset({"dead-units", "constant-output"})
_ALIKE = frozenset({"rank-collapse", "token-collapse", "constant-output", "aligned-gradients", "dead-units"})

# Cause -> what follows from it, in the order in which causes are looked for: a later one may follow from an earlier.
_CONSEQUENCES = {
    "degenerate-batch": _ALIKE - {"dead-units"},
    "dead-units": _ALIKE | {"gradient-vanishing", "activation-decay"},
    "constant-output": _ALIKE | {"gradient-vanishing", "activation-decay"},
    "activation-growth": frozenset(
        {
            "gradient-explosion",
            "gradient-vanishing",
            "overflow-risk",
            "saturation",
            "activation-decay",
            "aligned-gradients",
        }
    ),
    "activation-decay": frozenset({"gradient-vanishing"}),
    "saturation": frozenset({"gradient-vanishing"}) | _ALIKE,
    "rank-collapse": _ALIKE,
}
_SEVERITIES = ("error", "warning", "note")


def fold(profile: Profile, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings with one root per mechanism: errors first, then warnings, then notes, each in order of depth.

    More than three that say the same of layers of like names are told once, at the first. A parameter or an input that
    is not finite makes every other number void: what else was found is dropped. That networks with such figures seldom
    train is only told where nothing else says why.
    """
    merged = _merge(findings)
    if any(f.code == "nonfinite" and _void(f) for f in merged):
        merged = [f for f in merged if f.code in _INDEPENDENT]
    folded = _pair_rates(_demote(profile, merged))
    if any(f.severity != "note" and f.code != "unused-layer" for f in folded):
        folded = [f for f in folded if f.code != "hard-to-train"]
    ordered = sorted(folded, key=lambda f: (_SEVERITIES.index(f.severity), depth_of(profile, f.layer)))
    return tuple(_gather(ordered))


def _void(finding: Finding) -> bool:
    return "parameters" in finding.evidence or not finding.layer


def _merge(findings: Iterable[Finding]) -> list[Finding]:
    """One finding per code and layer: the most severe, with the sentences and the evidence of all."""
    merged: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = (finding.code, finding.layer)
        merged[key] = _joined(merged[key], finding) if key in merged else finding
    return list(merged.values())


def _joined(one: Finding, other: Finding) -> Finding:
    first, second = sorted((one, other), key=lambda f: _SEVERITIES.index(f.severity))
    sentence = second.message.removeprefix(f"{second.layer}: ")
    message = f"{first.message} {sentence[:1].upper()}{sentence[1:]}"
    return replace(first, message=message, evidence={**second.evidence, **first.evidence})


def _demote(profile: Profile, findings: list[Finding]) -> list[Finding]:
    """Every finding that follows from another as a note; of several of one code the first, of the root's own none."""
    left = {id(f): f for f in sorted(findings, key=lambda f: depth_of(profile, f.layer))}
    notes: list[Finding] = []
    for root in sorted((f for f in left.values() if f.severity != "note" and f.code in _CONSEQUENCES), key=_precedence):
        if id(root) not in left:
            continue
        followers = [f for f in left.values() if f is not root and _follows(profile, f, root)]
        for follower in followers:
            del left[id(follower)]
        firsts = {f.code: f for f in reversed(followers) if f.code != root.code}
        notes += [_as_consequence(f, root) for f in firsts.values()]
    return [*left.values(), *notes]


def _precedence(root: Finding) -> int:
    """A weight that is zero is the cause of dead units; otherwise these are the cause of an output that is constant."""
    return -1 if root.evidence.get("gain") == 0 else list(_CONSEQUENCES).index(root.code)


def _follows(profile: Profile, finding: Finding, root: Finding) -> bool:
    """Whether the root's code explains the finding, and the root stands where its cause would.

    A fault of one layer shows forward behind it, and backward at it or at its neighbour (the activation between two
    maps belongs to either); one that lets nothing pass may stop the gradient of any layer. A drift along the chain
    explains what lies behind its onset; it leaves the drift of the gradient to itself.
    """
    if finding.code not in _CONSEQUENCES[root.code] or _of_a_weight(finding):
        return False
    if not root.layer:
        return True
    at, cause = _place(profile, finding.layer), _place(profile, root.layer)
    if finding.code == "aligned-gradients":
        return True
    if finding.code in _BACKWARD:
        cut = root.code in _CUTS and root.severity == "error"
        return not _drift(finding) and not _drift(root) and (cut or abs(at - cause) <= 1)
    if finding.code == root.code and not _drift(root):
        return at > cause and not _drift(finding)
    return at >= cause


def _of_a_weight(finding: Finding) -> bool:
    """Whether it is the weight itself that is wrong, whatever reaches it."""
    return "gain" in finding.evidence or "weight_rank" in finding.evidence


def _place(profile: Profile, layer: str) -> int:
    """Place along the chain where the layer is of it, otherwise that of the next one of the chain."""
    return bisect_left(profile.chain, depth_of(profile, layer), key=lambda each: each.depth)


def _drift(finding: Finding) -> bool:
    return "rate" in finding.evidence


def _as_consequence(finding: Finding, root: Finding) -> Finding:
    cause = f"{root.code} at {root.layer}" if root.layer else root.code
    return replace(
        finding,
        severity="note",
        message=f"{finding.message} Follows from {cause}.",
        evidence={**finding.evidence, "follows_from": cause},
        remedies=(Remedy(text=f"Cure {cause} first."),),
    )


# Drift backward -> the drifts forward that have the same cause where the rates agree.
_PAIRS = {
    "gradient-vanishing": ("rank-collapse", "activation-decay"),
    "gradient-explosion": ("activation-growth",),
}


def _pair_rates(findings: list[Finding]) -> list[Finding]:
    """Of a backward and a forward drift of the same rate, the forward one becomes a warning that names the other."""
    paired = list(findings)
    for backward in (f for f in findings if f.code in _PAIRS and f.severity == "error" and _drift(f)):
        for i, forward in enumerate(paired):
            if forward.code in _PAIRS[backward.code] and forward.severity == "error" and _same_rate(forward, backward):
                message = f"{forward.message} The same cause as {backward.code}."
                paired[i] = replace(forward, severity="warning", message=message)
    return paired


def _same_rate(forward: Finding, backward: Finding) -> bool:
    if not _drift(forward):
        return False
    # The distinction is a share of squared lengths.
    halved = 2 if str(forward.evidence.get("metric", "")).endswith("distinction") else 1
    ratio = abs(forward.evidence["rate"]) / halved / abs(backward.evidence["rate"])
    return 0.5 < ratio < 2


def _gather(findings: list[Finding], *, most: int = 3) -> Iterator[Finding]:
    """Of more than ``most`` findings that say the same of like layers the first, which names the others."""
    groups = defaultdict(list)
    for finding in findings:
        groups[_kind(finding)].append(finding)
    for finding in findings:
        group = groups[_kind(finding)]
        if len(group) <= most:
            yield finding
        elif finding is group[0]:
            yield _once(group)


def _kind(finding: Finding) -> tuple[str, ...]:
    module = pattern(str(finding.evidence.get("module", "")))
    cause = str(finding.evidence.get("follows_from", ""))
    if finding.code == "unused-layer" and "*" in (around := pattern(finding.layer).rpartition(".")[0]):
        return finding.code, finding.severity, around
    return finding.code, finding.severity, pattern(finding.layer), module, cause


def _once(group: list[Finding]) -> Finding:
    first = group[0]
    layers = [finding.layer for finding in group]
    message = f"{first.message} Likewise {listed(layers[1:])}."
    return replace(first, message=message, evidence={**first.evidence, "layers": layers})
