"""Settings of k-GAN."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ganformer.config import Ability, ImageSpec, TrainingSettings
from ganformer.config.ladders import StyleBasedModel, Width


class Config(StyleBasedModel):
    """Settings of k-GAN; the defaults are the values of GANformer's TensorFlow code."""

    kind: Literal["kgan"] = "kgan"

    abilities: ClassVar[frozenset[Ability]] = frozenset({"latents", "components"})

    components: Annotated[int, Field(ge=2)] = 8
    """Number of latents; each has latent_size / components values."""
    merge: Literal["softmax", "sum", "max", "leaves"] = "softmax"
    """Composition of the components: weighted pixel by pixel by softmaxed scores, all added, the highest score alone,
    or one upon the other, covering the ones before."""
    merge_resolution: Width | None = 32
    """Width of the features at which components are merged; a power of two. None: the width of the image; then whole
    images are composed."""
    generator_architecture: Literal["orig", "skip", "resnet"] = "skip"
    """Architecture of the generator (StyleGAN2, figure 7)."""

    def conflicts(self) -> Iterator[str]:
        """Yield one sentence for every conflict between these settings."""
        if rest := self.latent_size % self.components:
            multiple = max(self.components, self.latent_size - rest)
            yield f"latent_size {self.latent_size} is not divisible by components {self.components}; {multiple} is"

    @property
    def component_size(self) -> int:
        """Values of one component."""
        return self.latent_size // self.components

    def problems(self, image: ImageSpec, training: TrainingSettings) -> Iterator[str]:
        """Yield one sentence for every conflict of these settings with images of this shape and this training."""
        yield from super().problems(image, training)
        if self.merge_resolution is not None and self.merge_resolution > image.width:
            yield (
                f"merge_resolution {self.merge_resolution} is wider than the images; "
                f"set it to at most {image.width}, their width"
            )
