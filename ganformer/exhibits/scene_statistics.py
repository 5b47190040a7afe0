"""Table 2 of the paper: distances between properties of generated and real images."""

from typing import Literal

from ganformer.report.properties import Properties, draw

__all__ = ["Config", "draw"]


class Config(Properties):
    """Settings of table 2: distances (chi-square) between properties of generated and of real images."""

    kind: Literal["scene-statistics"] = "scene-statistics"
    place = 70
