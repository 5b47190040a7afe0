"""Stand-in for torchvision, which the tests do without: its interface, and a segmentor that can be worked out.

Objects are what is red, green or blue in an image: the mask's probability is that of the channel, the score what
`scores` says, the class what `classes` says.
"""

import sys
from types import ModuleType, SimpleNamespace

import torch
from torch import nn

CATEGORIES = ["__background__", "person", "bicycle", "car", "N/A", "chair"]
RED, GREEN, BLUE = 0, 1, 2


class MaskHead(nn.Module):
    """Has an older name for its tensor, as torchvision's does."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 1, bias=False)

    def _load_from_state_dict(self, state, prefix, metadata, *arguments):
        if metadata.get("version") is None and prefix + "mask_fcn1.weight" in state:
            state[prefix + "conv.weight"] = state.pop(prefix + "mask_fcn1.weight")
        super()._load_from_state_dict(state, prefix, metadata, *arguments)


class MaskRCNN(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.mask_head = MaskHead(channels)
        self.classes = nn.Parameter(torch.zeros(3))
        self.scores = nn.Parameter(torch.zeros(3))

    def forward(self, images):
        assert isinstance(images, list) and not self.training
        return [self.look(image) for image in images]

    def look(self, image):
        assert image.dtype == torch.float32 and image.ndim == 3 and 0 <= image.min() <= image.max() <= 1
        masks = self.mask_head.conv(self.norm(image[None])).transpose(0, 1)  # N 1 H W
        # An image without a colour has no object of it; the networks keep nothing below 0.05.
        kept = (masks.amax(dim=(1, 2, 3)) > 0) & (self.scores > 0.05)
        boxes = torch.tensor([[0.0, 0.0, *image.shape[:0:-1]]]).expand(int(kept.sum()), 4)
        return {"boxes": boxes, "labels": self.classes.long()[kept], "scores": self.scores[kept], "masks": masks[kept]}


def _builder(channels):
    def build(*, weights=None, weights_backbone="IMAGENET1K_V1"):
        assert weights is None and weights_backbone is None, "nothing is to be fetched"
        return MaskRCNN(channels)

    return build


def install(monkeypatch):
    """Put it in the place of torchvision."""
    files = {
        "maskrcnn_resnet50_fpn": "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
        "maskrcnn_resnet50_fpn_v2": "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
    }

    def published(name):
        url = f"https://example.org/models/{files[name]}"
        return SimpleNamespace(COCO_V1=SimpleNamespace(url=url, meta={"categories": CATEGORIES}))

    package, models, detection = (ModuleType(f"torchvision{end}") for end in ("", ".models", ".models.detection"))
    package.__version__ = "0.0"
    package.models, models.detection = models, detection
    models.get_model_weights = published
    detection.maskrcnn_resnet50_fpn, detection.maskrcnn_resnet50_fpn_v2 = _builder(3), _builder(4)
    for module in (package, models, detection):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def write_weights(path, classes=(1, 3, 5), scores=(0.9, 0.8, 0.7), **changes):
    """Write a file of weights: class and score of red, green and blue regions."""
    network = MaskRCNN()
    with torch.no_grad():
        network.mask_head.conv.weight[:] = torch.eye(3)[:, :, None, None]
        network.classes[:], network.scores[:] = torch.tensor(classes), torch.tensor(scores)
    # Older files name the mask's tensor otherwise, and do not count batches.
    state = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("tracked")}
    state["mask_head.mask_fcn1.weight"] = state.pop("mask_head.conv.weight")
    torch.save({name: tensor for name, tensor in (state | changes).items() if tensor is not None}, path)
    return path
