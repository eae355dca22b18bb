"""The papers, claim by claim: what each states, how it is decided, and what a check on this machine comes to."""

from leadline._core.claims import Published as Published
from leadline.studies.claims import (
    Evidence as Evidence,
    check as check,
    check_all as check_all,
    claim as claim,
    claims as claims,
    selected as selected,
)
from leadline.studies.figures import (
    curve as curve,
    draw as draw,
    figure as figure,
    figures as figures,
    published as published,
)
from leadline.studies.images import Images as Images, labelled_images as labelled_images
from leadline.studies.parts import (
    exact as exact,
    geometric_mean as geometric_mean,
    mean as mean,
    median as median,
    ratio as ratio,
)
