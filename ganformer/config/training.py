"""Settings of runs: training, losses and optimisers, augmentation, models, and the resolved run."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializationInfo,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from ganformer import artifacts
from ganformer.config import drive
from ganformer.config.base import Name, Plugged, Probability, Strict, parse, report
from ganformer.config.data import ImageSpec
from ganformer.errors import ConfigError

WITHOUT_INFLUENCE = (
    "kimg",
    "snapshots",
    "activation_checkpointing",
    "replay",
    "on_divergence",
)  # on the weights after a step


class TrainingSettings(Strict):
    """Length of training and its batches; the same for every kind of model."""

    kimg: PositiveFloat = 25_000.0
    """Length of the training in thousands of real images shown; rounded up to whole batches."""
    batch: PositiveInt = 32
    """Images in one step, over all accumulated microbatches."""
    microbatch: PositiveInt | None = None
    """Images in one forward pass; gradients of `batch / microbatch` passes are averaged. None: the whole batch."""
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32"
    """Type of the convolutions and features; weights, latents, attention weights, losses and optimisers are float32.

    `tf32` is float32 whose factors GPUs round to 10 bits. `bfloat16` has 8 bits, and half the memory; so has
    `float16`, with 11 bits, but numbers of at most 65,504: outputs of layers are limited to 256, styles are divided by
    the largest one, and gradients that are not finite are replaced, as in StyleGAN2-ADA. For GPUs without bfloat16."""
    activation_checkpointing: bool = False
    """Keep only what passes between the blocks of networks, and compute the rest again for gradients: less memory, more
    time, the same weights bit for bit."""
    replay: bool = True
    """Record the operations of a step in the first steps and repeat them without Python: less time for small networks,
    the same weights bit for bit. Not with `activation_checkpointing`."""
    on_divergence: Literal["stop", "keep"] = "stop"
    """If a loss is no longer finite: stop with an error, or keep the run as it was at the snapshot before, so that it
    is a row of tables, which say so. With several GPUs it always stops."""
    snapshots: PositiveInt = 4
    """Number of evenly spaced points, the end among them, whose weights are kept for learning curves."""


class Training(TrainingSettings):
    """Training settings, and what differs for single data sets."""

    per_dataset: Mapping[Name, TrainingSettings] = {}


class NoAugmentation(Strict):
    """The discriminator sees images as they are."""

    kind: Literal["none"]


class Ada(Strict):
    """Adaptive discriminator augmentation (Karras et al. 2020, "Training GANs with limited data")."""

    kind: Literal["ada"]
    target: Annotated[float, Field(ge=-1, le=1)] = 0.6
    """Mean sign of the discriminator's scores of real images that the probability of changes is adapted towards."""
    kimg: PositiveFloat = 500.0
    """Thousands of real images in which the probability can go from 0 to 1."""
    interval: PositiveInt = 4
    """The probability is adapted every this many steps."""
    transforms: Annotated[
        tuple[Literal["blitting", "geometry", "colour", "filter", "noise", "cutout"], ...], Field(min_length=1)
    ] = ("blitting", "geometry", "colour")
    """Groups of changes (appendix B of the paper); they are made in its order, in whichever order they are named."""


class DiffAugment(Strict):
    """Differentiable augmentation (Zhao et al. 2020): every image is changed."""

    kind: Literal["diffaugment"]
    policy: Annotated[tuple[Literal["colour", "translation", "cutout"], ...], Field(min_length=1)] = (
        "colour",
        "translation",
        "cutout",
    )
    """Changes, in the order in which they are made."""


AnyAugmentation = Annotated[Ada | DiffAugment | NoAugmentation, Field(discriminator="kind")]


LossName = Literal["logistic", "hinge", "wgan", "lsgan", "lsgan-sigmoid", "relativistic-hinge"]
"""Names of losses in `ganformer/training/losses.py`."""


AUTO_GAMMA = 0.0002
"""γ of R1 times the batch, for each pixel (StyleGAN2-ADA's code, `--cfg=auto`)."""


def _weight(value: Any) -> float | Literal["auto"]:
    """Return a weight as a float, or `auto`; ValueError if it is neither. Numbers may be texts, as elsewhere."""
    if value == "auto":
        return "auto"
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError(f"{value!r} is neither a number from 0 nor auto")
    return number


Gamma = Annotated[NonNegativeFloat | Literal["auto"], BeforeValidator(_weight)]


class AdversarialSettings(Strict):
    """The game between generator and discriminator, for every model that plays it (StyleGAN2, section 2 and 4)."""

    loss: LossName = "logistic"
    """Loss of both networks (`ganformer/training/losses.py`)."""
    generator_learning_rate: PositiveFloat = 0.002
    discriminator_learning_rate: PositiveFloat = 0.002
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.0
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    r1_gamma: Gamma = 10.0
    """Weight γ of the gradient penalty on real images (R1). A data set of the paper brings its own, which only
    `per_dataset` and a model's entry override. `auto`: 0.0002 · height · width / `training.batch`, the rule of
    StyleGAN2-ADA's code; a run records the number."""
    r1_interval: PositiveInt = 16
    """R1 is computed every this many steps, with its weight multiplied by it (lazy regularisation)."""
    gradient_penalty: NonNegativeFloat = 0.0
    """Weight λ of the penalty on gradients between real and generated images that are not 1 long (WGAN-GP: 10)."""
    path_length_weight: NonNegativeFloat = 0.0
    """Weight of path-length regularisation of the generator; 0 leaves it out."""
    path_length_interval: PositiveInt = 4
    """Path-length regularisation is computed every this many steps."""
    generator_correction: bool = False
    """Correct rate and betas of the generator's Adam for path-length updates even if there are none, as the codes of
    StyleGAN2-ADA and GANformer do: with 4 as interval 0.002 becomes 0.0016, and 0.99 becomes 0.992."""
    style_mixing: Probability = 0.9
    """Probability that the layers behind a random point get the latents of a second draw."""
    component_mixing: Probability = 0.0
    """Probability that the components behind a random one are from a second draw, if there are components."""
    ema_kimg: PositiveFloat = 10.0
    """Half-life of the moving average of the generator's weights, in thousands of images."""
    ema_rampup: PositiveFloat | None = None
    """The half-life is at most this part of the images seen so far; None: no ramp-up."""
    augmentation: AnyAugmentation = NoAugmentation(kind="none")
    """Augmentation of real and generated images before the discriminator."""
    frozen_discriminator_layers: NonNegativeInt = 0
    """FreezeD (Mo et al. 2020): the layers of this many resolutions of the discriminator, from the image's on, keep the
    weights that training starts from. For runs that start from another run (`initial`) on few images."""

    @property
    def gamma(self) -> float:
        """Weight of R1; ConfigError if it is still `auto`, which a `Spec` replaces by a number."""
        if self.r1_gamma == "auto":
            raise ConfigError("adversarial.r1_gamma: is 'auto' outside of a run; make a Spec, or give a number")
        return self.r1_gamma

    def for_images(self, image: ImageSpec, training: TrainingSettings) -> Self:
        """Return these settings with γ by the rule `auto`."""
        return self.model_copy(update={"r1_gamma": AUTO_GAMMA * image.height * image.width / training.batch})

    # Left out where it is 0, as in records of earlier versions, whose digests stay. Among given settings a 0 stays: it
    # overrides that of a section.
    @model_serializer(mode="wrap")
    def _without_default(self, serialise: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        is_kept = self.frozen_discriminator_layers or info.exclude_unset
        return serialise(self) if is_kept else without(serialise(self), "frozen_discriminator_layers")


class Adversarial(AdversarialSettings):
    """Settings of the game, and what differs for single data sets."""

    per_dataset: Mapping[Name, AdversarialSettings] = {}


Ability = Literal["latents", "components", "attention maps", "codes"]
ABILITIES: Mapping[Ability, str] = {
    "latents": "latents that are mapped",
    "components": "components",
    "attention maps": "attention maps",
    "codes": "codes",
}
"""Parts of models as messages name them."""


class Model(Strict):
    """A model. Every file in `ganformer/models` has its own `Config(Model)`."""

    abilities: ClassVar[frozenset[Ability]] = frozenset()
    """Parts of the model that there are to look at."""

    kind: str

    @property
    def initial_record(self) -> Path | None:
        """The run.json of the run that training starts from; None: it starts from random weights."""
        return None

    @property
    def initial_snapshot(self) -> str | None:
        """The snapshot in Google Drive that training starts from, to be imported first; None if there is none."""
        return None

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files beside the images that its training reads; files in `results/weights` are fetched by a job."""
        return ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if conflicts := list(self.conflicts()):
            raise ValueError("; ".join(conflicts))
        return self

    def conflicts(self) -> Iterable[str]:
        """Yield problems of these settings with each other, whatever the images, one sentence each."""
        return ()

    def resolved(self, training: TrainingSettings) -> Self:
        """Return these settings with what follows from the training filled in; a `Spec` holds them so."""
        return self

    def problems(self, image: ImageSpec, training: TrainingSettings) -> Iterable[str]:
        """Yield problems of these settings with images of this shape and this training, one sentence each."""
        return ()


class AdversarialModel(Model):
    """A model that plays the adversarial game; its own settings win over the section `adversarial`."""

    abilities: ClassVar[frozenset[Ability]] = frozenset({"latents"})

    adversarial: AdversarialSettings = AdversarialSettings()
    initial: Path | None = None
    """Run of the same kind whose weights training starts from: its folder, run.json or weights. Or a snapshot of
    official code in Google Drive, fetched and imported first: `gdrive:` and a published name or the id of the file, as
    `ganformer import` takes it. Weights of the same name and shape are taken, all others are new, and the log says
    which: so images, classes and resolution may be others. Optimisers are new. None: training starts from random
    weights."""

    @field_validator("initial")
    @classmethod
    def _check_snapshot(cls, initial: Path | None) -> Path | None:
        if drive.is_one(initial):
            try:
                drive.folder(str(initial))
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return initial

    @property
    def initial_snapshot(self) -> str | None:
        """The snapshot in Google Drive that training starts from, to be imported first; None if there is none."""
        return str(self.initial) if drive.is_one(self.initial) else None

    @property
    def initial_record(self) -> Path | None:
        """The run.json of the run that training starts from."""
        if self.initial is None:
            return None
        if drive.is_one(self.initial):
            return drive.folder(str(self.initial)) / "run.json"
        is_file = self.initial.suffix in (".json", ".safetensors")
        return self.initial.with_name("run.json") if is_file else self.initial / "run.json"

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The record of the run that training starts from."""
        return (self.initial_record,) if self.initial_record else ()

    def problems(self, image: ImageSpec, training: TrainingSettings) -> Iterable[str]:
        """Yield the problem that layers are to keep the weights which training starts from, but it starts from none."""
        frozen = self.adversarial.frozen_discriminator_layers
        if frozen and self.initial is None:
            yield (
                f"adversarial.frozen_discriminator_layers {frozen} would keep layers with random weights; set "
                "initial to a run to start from, or leave it out"
            )

    # Left out where it is not set, as in records of earlier versions, whose digests stay.
    @model_serializer(mode="wrap")
    def _without_default(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return serialise(self) if self.initial else without(serialise(self), "initial")


AnyModel = SerializeAsAny[Annotated[Model, Plugged("ganformer.models")]]


class Spec(Strict):
    """One run, fully resolved: whatever changes its weights, and nothing else."""

    image: ImageSpec
    finds_channels: bool = False
    """True if the channels are taken from the pack, whatever `image` says: then this is the plan of a run, which
    `with_channels` resolves."""
    mirror: bool
    model: AnyModel
    training: TrainingSettings
    seed: NonNegativeInt
    initial_sha256: str | None = None
    """sha256 of the weights that training starts from, if the model names a run; see `with_initial`."""

    @model_serializer(mode="wrap")
    def _without_default(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return serialise(self) if self.initial_sha256 else without(serialise(self), "initial_sha256")

    @model_validator(mode="after")
    def _resolve(self) -> Self:
        model = self.model.resolved(self.training)
        if isinstance(model, AdversarialModel) and model.adversarial.r1_gamma == "auto":
            game = model.adversarial.for_images(self.image, self.training)
            model = model.model_copy(update={"adversarial": game})
        self.__dict__["model"] = model  # frozen from here on
        return self

    @model_validator(mode="after")
    def _microbatch_divides_batch(self) -> Self:
        training = self.training
        if training.microbatch is not None and training.batch % training.microbatch:
            raise ValueError(f"training.microbatch {training.microbatch} does not divide batch {training.batch}")
        return self

    def with_channels(self, channels: int) -> "Spec":
        """Return this run on images of so many channels, where its plan left them to the data; else itself.

        Raises ConfigError if its model does not fit them.
        """
        if not self.finds_channels:
            return self
        image = self.image.with_channels(channels)
        spec = parse(Spec, {**self.model_dump(), "image": image.model_dump(), "finds_channels": False}, "spec")
        if problems := list(spec.model.problems(spec.image, spec.training)):
            raise ConfigError(report("spec", [("model", problem) for problem in problems]))
        return spec

    def with_initial(self, sha256: str) -> "Spec":
        """Return this run from weights of this sha256, which decide its weights whatever the path they are at."""
        return parse(Spec, {**self.model_dump(), "initial_sha256": sha256}, "spec")

    @property
    def steps(self) -> int:
        """Number of training steps."""
        return math.ceil(self.training.kimg * 1000 / self.training.batch)

    @property
    def snapshot_steps(self) -> tuple[int, ...]:
        """Numbers of finished steps at which weights are kept, ascending; the last one is `steps`."""
        count = min(self.training.snapshots, self.steps)
        return tuple(round(self.steps * (i + 1) / count) for i in range(count))

    @property
    def trajectory(self) -> str:
        """sha256 (hex) of what decides the weights after every step: all settings but `WITHOUT_INFLUENCE`.

        Runs of one trajectory are parts of each other, so a longer one resumes where a shorter one ended. What a model
        derives from `kimg` (`Model.resolved`) belongs to the trajectory.
        """
        return trajectory(self.model_dump(mode="json"))

    def kimg_at(self, step: int) -> float:
        """Return thousands of real images shown after `step` steps."""
        return step * self.training.batch / 1000


def trajectory(spec: Mapping[str, Any]) -> str:
    """Return the trajectory of a spec as a record has it, whatever settings there have been since it was written."""
    training = without(spec["training"], *WITHOUT_INFLUENCE)
    model = without(spec["model"], "initial")  # `initial_sha256` says which weights there are, wherever they are
    return artifacts.digest({**spec, "training": training, "model": model})


def without(settings: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return settings but those of these names."""
    return {key: value for key, value in settings.items() if key not in names}
