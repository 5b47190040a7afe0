"""Settings of torchvision's segmentors."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ganformer import artifacts
from ganformer.config import Parsing

Model = Literal["maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"]


class Config(Parsing):
    """An instance segmentor of torchvision with COCO's classes; it needs the package torchvision."""

    kind: Literal["torchvision"] = "torchvision"
    model: Model = "maskrcnn_resnet50_fpn"
    """Network: Mask R-CNN (He et al. 2017), or its better trained second version."""
    weights: Path
    """File of its weights, a state dict."""
    threshold: Annotated[float, Field(ge=0.05, le=1)] = 0.5
    """Least score of an object; the networks give none below 0.05."""
    mask_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Least probability of a pixel of an object."""
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Classes to look at; None: all 80."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The file of weights."""
        return (self.weights,)

    @property
    def file(self) -> Path:
        """Place of the file of weights."""
        return artifacts.placed(self.weights)
