"""The numbers of black and white as a setting of sources."""

from typing import Annotated

from pydantic import AfterValidator

from ganformer.data import decoding


def _ascending(limits: decoding.Limits) -> decoding.Limits:
    if limits[0] >= limits[1]:
        raise ValueError("limits {:g} and {:g} are not the values of black and white".format(*limits))
    return limits


Limits = Annotated[decoding.Limits, AfterValidator(_ascending)]
"""Two numbers of which the first, black, is lower."""
