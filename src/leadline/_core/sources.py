"""Where a statement comes from."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Source:
    """A paper and the place in it, or our own derivation (key ``"leadline"``).

    Attributes:
        key: Key of the work in ``WORKS``.
        locator: Theorem, equation, section or figure; may be empty.
    """

    key: str
    locator: str = ""

    def __str__(self) -> str:
        work = WORKS[self.key]
        return f"{work}, {self.locator}" if self.locator else work


# Key -> how the work is named to a reader.
WORKS = {
    "bjorck2018": "Bjorck et al. 2018 (arXiv:1806.02375)",
    "daneshmand2020": "Daneshmand et al. 2020 (arXiv:2003.01652)",
    "daneshmand2021": "Daneshmand et al. 2021 (arXiv:2106.03970)",
    "meterez2023": "Meterez et al. 2023 (arXiv:2310.02012)",
    "yang2019": "Yang et al. 2019 (arXiv:1902.08129)",
    "schoenholz2017": "Schoenholz et al. 2017 (arXiv:1611.01232)",
    "poole2016": "Poole et al. 2016 (arXiv:1606.05340)",
    "glorot2010": "Glorot and Bengio 2010 (AISTATS)",
    "he2015": "He et al. 2015 (arXiv:1502.01852)",
    "lu2020": "Lu et al. 2020 (arXiv:1903.06733)",
    "dong2021": "Dong et al. 2021 (arXiv:2103.03404)",
    "zhang2019": "Zhang et al. 2019 (arXiv:1901.09321)",
    "saxe2014": "Saxe et al. 2014 (arXiv:1312.6120)",
    "ioffe2017": "Ioffe 2017 (arXiv:1702.03275)",
    "micikevicius2018": "Micikevicius et al. 2018 (arXiv:1710.03740)",
    "stewart1980": "Stewart 1980 (SIAM J. Numer. Anal. 17)",
    "mezzadri2007": "Mezzadri 2007 (arXiv:math-ph/0609050)",
    "xiao2018": "Xiao et al. 2018 (arXiv:1806.05393)",
    "sedghi2019": "Sedghi et al. 2019 (arXiv:1805.10408)",
    "mishkin2016": "Mishkin and Matas 2016 (arXiv:1511.06422)",
    "martens2021": "Martens et al. 2021 (arXiv:2110.01765)",
    "zhang2022": "Zhang et al. 2022 (arXiv:2203.08120)",
    "leadline": "leadline's own derivation or measurement",
}
