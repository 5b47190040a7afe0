"""Every shared setting: its type, default, meaning and check, each written once.

`load` turns the merged YAML into a frozen `Config`, or reports every problem at once. `Config.spec` resolves one run:
what `run.json` records and what makes a run stale when it changes. Settings of one model, image source or extractor
stand in its own file and are found by `kind`.
"""

import ast
import importlib
import inspect
import itertools
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, Union

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializeAsAny,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, SchemaValidator, core_schema

from ganformer import artifacts, plugins
from ganformer.errors import ConfigError

# A name becomes a folder, a wildcard and a target.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Probability = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """Base of all settings: unknown keys are refused, values cannot be changed afterwards."""

    # Building late keeps plug-ins out of the import of this module, which they import themselves.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        # pydantic's use_attribute_docstrings does it for every class at once, which takes as long as all planning.
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in docstrings(cls).items():
            if name in properties:
                properties[name].setdefault("description", text)
        return schema

    def json(self) -> str:  # type: ignore[override]
        """The canonical text: the same for the same settings, however they were written."""
        return artifacts.canonical(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """sha256 (hex) of the canonical text."""
        return artifacts.digest(self.model_dump(mode="json"))


S = TypeVar("S", bound=Strict)


class _Plugged:
    """Mark of a field that takes the `Config` of any plug-in of `package`, chosen by its `kind`.

    A plug-in is imported when the first value of its kind is checked, not when this module is.
    """

    def __init__(self, package: str) -> None:
        self.package = package

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._checked)

    def _checked(self, value: Any) -> Strict:
        if isinstance(value, Strict):
            value = value.model_dump()
        checked: Strict = _union(self.package, plugins.names(self.package)).validate_python(value)
        return checked

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        members = tuple(_config(self.package, name) for name in plugins.names(self.package))
        union: Any = members[0] if len(members) == 1 else Union[members]  # noqa: UP007 - built at run time
        schema = handler(TypeAdapter(Annotated[union, Field(discriminator="kind")]).core_schema)
        for option in schema.get("oneOf", [schema]):  # a value names its kind, although each class knows its own
            member = handler.resolve_ref_schema(option)
            member["required"] = list(dict.fromkeys(["kind", *member.get("required", ())]))
        return schema


@cache
def _union(package: str, names: Sequence[str]) -> SchemaValidator:
    """Return the check of values of all plug-ins of a package, which imports one when it meets its name."""
    kinds: dict[Any, CoreSchema] = {
        name: core_schema.no_info_plain_validator_function(partial(_checked, package, name)) for name in names
    }
    return SchemaValidator(core_schema.tagged_union_schema(kinds, discriminator="kind"))


def _checked(package: str, name: str, value: Any) -> Strict:
    return _config(package, name).model_validate(value)


def _config(package: str, name: str) -> type[Strict]:
    """Return the settings class of a plug-in; ConfigError if its file has none that says the name of the file."""
    module = plugins.settings(package, name)
    found: type[Strict] | None = getattr(module, "Config", None)
    if found is None or "kind" not in found.model_fields or found.model_fields["kind"].default != name:
        raise ConfigError(
            f"{module.__name__}: is plug-in '{name}' of {package}, so it needs a class `Config` with the line "
            f'`kind: Literal["{name}"] = "{name}"`'
        )
    return found


class _In:
    """Marks a field that takes the settings called `name` in a module, which is imported when a value is checked."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(getattr(importlib.import_module(self.module), self.name))


@cache
def docstrings(settings: type[Strict]) -> Mapping[str, str]:
    """The text below each field of a class and of those that it builds on, as written."""
    texts: dict[str, str] = {}
    for kind in reversed(settings.__mro__):
        for name in vars(kind).get("__annotations__", {}):
            texts.pop(name, None)  # written anew, perhaps without a text
        texts |= _texts(kind.__module__).get(kind.__qualname__, {})
    return texts


@cache
def _texts(module: str) -> Mapping[str, Mapping[str, str]]:
    """Of each class at the top of a module the text below each of its fields."""
    file = getattr(sys.modules[module], "__file__", None)
    if file is None:
        return {}
    nodes = ast.parse(Path(file).read_text(encoding="utf-8")).body
    return {
        node.name: {
            field.target.id: inspect.cleandoc(text.value.value)
            for field, text in itertools.pairwise(node.body)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
        }
        for node in nodes
        if isinstance(node, ast.ClassDef)
    }


# ------------------------------------------------------------------------------------------------ images


class ImageSpec(Strict):
    """Shape of images: `height` rows, `width` columns, `channels`; and their labels."""

    height: PositiveInt
    width: PositiveInt
    channels: Literal[1, 3, 4] = 3
    """1: grey, 3: colour, 4: colour and opacity."""
    classes: NonNegativeInt = 0
    """Number of classes; every image has the label of one. 0: there are no labels."""
    rows: PositiveInt | None = None
    """Rows in the middle that are the picture, between black bars or margins for random crops. None: all."""
    columns: PositiveInt | None = None
    """Columns in the middle that are the picture, between margins for random crops. None: all."""

    @property
    def picture(self) -> tuple[int, int]:
        """Rows and columns in the middle that are measured and shown."""
        return self.rows or self.height, self.columns or self.width

    def with_channels(self, channels: int) -> "ImageSpec":
        """This shape with so many channels."""
        return ImageSpec.model_validate({**self.model_dump(), "channels": channels})

    @property
    def canvas(self) -> "ImageSpec":
        """Shape that models are trained on where images of this shape are stored.

        Margins are left to the random crops. A ladder grows from 4 columns and whole rows, so that heights are
        multiples of a quarter of the width; a picture that is lower stands between black bars.
        """
        height, width = (self.height, self.width) if self.columns is None else self.picture
        step = max(1, width // 4)
        filled = -(-height // step) * step
        rows = self.picture[0] if self.picture[0] != filled else None
        return ImageSpec(height=filled, width=width, channels=self.channels, classes=self.classes, rows=rows)


class Source(Strict):
    """Where images come from. Every file in `ganformer/data/sources` has its own `Config(Source)`."""

    crop_ratio: ClassVar[float] = 1.0
    """Height over width that a data set's images are cropped to where it does not say."""
    r1_gamma: ClassVar[float | None] = None
    """Weight of the gradient penalty on these images in the paper, where they are in it."""
    channels: ClassVar[Literal[1, 3, 4] | None] = None
    """Channels of the images, where that is known of all that such a source can give."""

    kind: str

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files and folders it reads; the graph packs again when they change."""
        return ()


class Dataset(Strict):
    """One data set: its source, and how its images are cropped, resized and stored."""

    source: SerializeAsAny[Annotated[Source, _Plugged("ganformer.data.sources")]]
    resolution: PositiveInt = 256
    """Width of the packed images in pixels; a power of two from 8 to 1024."""
    ratio: Annotated[float, Field(ge=1 / 16, le=4)] | None = None
    """Height over width, from 1/16 to 4. The centre of this shape is cropped from every image. None: that of the source
    where it is a published data set, else 1."""
    letterbox: bool = False
    """Store squares with the picture between black bars, as GANformer's code did; measures leave the bars out."""
    crop_margin: Annotated[float, Field(ge=0, le=1)] = 0.0
    """By how much images are stored larger, as a part of their height and width: every training image is a random
    window then, measures take the one in the middle."""
    format: Name = "npy"
    """Pack format: a file name in `ganformer/data/formats`."""
    shard_images: PositiveInt = 10_000
    """Images in one shard of the pack."""
    shards: PositiveInt | None = None
    """Number of shards, of nearly equal size; None: as many as `shard_images` makes."""
    max_images: PositiveInt | None = None
    """Take at most this many images of the source, in its order."""
    on_error: Literal["fail", "skip"] = "fail"
    """What an unreadable image does: `fail` ends the packing after all bad files are listed, `skip` leaves it out."""
    classes: NonNegativeInt = 0
    """Number of classes that the source has labels of; models are conditioned on them. 0: labels are not used."""
    channels: Literal[1, 3, 4] | None = None
    """Channels of the packed images, 1: grey, 3: colour, 4: colour and opacity. None: 4 where every picture has an
    opacity channel and some are not opaque, 1 where every picture is grey, else 3."""
    mirror: bool = False
    """Flip every training image left to right with probability 1/2."""

    @field_validator("resolution")
    @classmethod
    def _is_power_of_two(cls, value: int) -> int:
        if not 8 <= value <= 1024 or value & (value - 1):
            nearest = min(1024, max(8, 2 ** round(math.log2(value))))
            raise ValueError(f"{value} is not a power of two from 8 to 1024; {nearest} is the nearest")
        return value

    @field_validator("format")
    @classmethod
    def _is_known_format(cls, value: str) -> str:
        return _known(value, "ganformer.data.formats")

    @model_validator(mode="after")
    def _has_room_for_bars(self) -> Self:
        if self.letterbox and (self.crop > 1 or self.crop_margin):
            what = f"ratio {self.crop:g} is more than 1" if self.crop > 1 else f"crop_margin is {self.crop_margin:g}"
            raise ValueError(f"letterbox puts bars above and below a whole picture, but {what}")
        return self

    @property
    def packing(self) -> "Dataset":
        """These settings without what only training reads, so that a change of that packs nothing again."""
        return self.model_copy(update={"mirror": False})

    @property
    def crop(self) -> float:
        """Height over width of what is cropped from every image."""
        return self.source.crop_ratio if self.ratio is None else self.ratio

    @property
    def known_channels(self) -> Literal[1, 3, 4] | None:
        """Channels of the packed images; None where they are found when the images are packed."""
        return self.channels or self.source.channels

    @property
    def image(self) -> ImageSpec:
        """Shape of the packed images, and the number of their classes; of 3 channels where that is not known yet."""
        rows, columns = max(1, round(self.resolution * self.crop)), self.resolution
        around: dict[str, int | None]
        if self.letterbox:
            around = {"height": columns, "width": columns, "rows": rows if rows < columns else None}
        elif self.crop_margin:
            height, width = (round(side * (1 + self.crop_margin)) for side in (rows, columns))
            around = {"height": height, "width": width, "rows": rows, "columns": columns}
        else:
            around = {"height": rows, "width": columns}
        return ImageSpec(**around, channels=self.known_channels or 3, classes=self.classes)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- training


class TrainingSettings(Strict):
    """How long and in which portions a run trains; the same for every kind of model."""

    kimg: PositiveFloat = 25_000.0
    """Length of the training in thousands of real images shown; rounded up to whole batches."""
    batch: PositiveInt = 32
    """Images in one step, over all accumulated portions."""
    microbatch: PositiveInt | None = None
    """Images in one forward pass; gradients of `batch / microbatch` passes are averaged. None: the whole batch."""
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


class AdversarialSettings(Strict):
    """The game between generator and discriminator, for every model that plays it (StyleGAN2, section 2 and 4)."""

    loss: Literal["logistic", "hinge", "wgan", "lsgan", "relativistic-hinge"] = "logistic"
    """What both players minimise (`ganformer/training/losses.py`)."""
    generator_learning_rate: PositiveFloat = 0.002
    discriminator_learning_rate: PositiveFloat = 0.002
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.0
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    r1_gamma: NonNegativeFloat = 10.0
    """Weight of the gradient penalty on real images (R1). A data set of the paper brings its own, which only
    `per_dataset` and a model's entry override."""
    r1_interval: PositiveInt = 16
    """R1 is computed every this many steps, with its weight multiplied by it (lazy regularisation)."""
    gradient_penalty: NonNegativeFloat = 0.0
    """Weight λ of the penalty on gradients between real and generated images that are not 1 long (WGAN-GP: 10)."""
    path_length_weight: NonNegativeFloat = 0.0
    """Weight of path-length regularisation of the generator; 0 leaves it out."""
    path_length_interval: PositiveInt = 4
    """Path-length regularisation is computed every this many steps."""
    generator_correction: bool = False
    """Whether rate and betas of the generator's Adam allow for updates of path-length regularisation where it is left
    out, too, as in the codes of StyleGAN2-ADA and GANformer: with 4 as interval 0.002 is 0.0016, and 0.99 is 0.992."""
    style_mixing: Probability = 0.9
    """Probability that the layers behind a random point get the latents of a second draw."""
    component_mixing: Probability = 0.0
    """Probability that the components behind a random one are those of a second draw, where there are components."""
    ema_kimg: PositiveFloat = 10.0
    """Half-life of the moving average of the generator's weights, in thousands of images."""
    ema_rampup: PositiveFloat | None = None
    """The half-life is at most this part of the images seen so far; None: no ramp-up."""
    augmentation: AnyAugmentation = NoAugmentation(kind="none")
    """How images are changed, real and generated ones alike, before the discriminator sees them."""


class Adversarial(AdversarialSettings):
    """Settings of the game, and what differs for single data sets."""

    per_dataset: Mapping[Name, AdversarialSettings] = {}


class Model(Strict):
    """A model. Every file in `ganformer/models` has its own `Config(Model)`."""

    has_attention_maps: ClassVar[bool] = False
    """Whether the figure of attention maps can be drawn of it."""

    kind: str

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files beside the images that its training reads; those in `results/weights` are fetched by a job."""
        return ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if conflicts := list(self.conflicts()):
            raise ValueError("; ".join(conflicts))
        return self

    def conflicts(self) -> Iterable[str]:
        """What does not fit between these settings, whatever the images, one sentence each; they are refused then."""
        return ()

    def resolved(self, training: TrainingSettings) -> Self:
        """These settings with what follows from the training filled in; a `Spec` holds them so."""
        return self

    def problems(self, image: ImageSpec, training: TrainingSettings) -> Iterable[str]:
        """What does not fit between these settings, images of this shape and this training, one sentence each."""
        return ()


class AdversarialModel(Model):
    """A model that plays the adversarial game; what it sets here wins over the section `adversarial`."""

    adversarial: AdversarialSettings = AdversarialSettings()


AnyModel = SerializeAsAny[Annotated[Model, _Plugged("ganformer.models")]]


class Spec(Strict):
    """One run, fully resolved: whatever changes its weights, and nothing else."""

    image: ImageSpec
    finds_channels: bool = False
    """Tells whether the channels are those of the pack, whatever `image` says: then this is the plan of a run, which
    `with_channels` resolves."""
    mirror: bool
    model: AnyModel
    training: TrainingSettings
    seed: NonNegativeInt

    @model_validator(mode="after")
    def _resolve(self) -> Self:
        self.__dict__["model"] = self.model.resolved(self.training)  # frozen from here on
        return self

    @model_validator(mode="after")
    def _microbatch_divides_batch(self) -> Self:
        training = self.training
        if training.microbatch is not None and training.batch % training.microbatch:
            raise ValueError(f"training.microbatch {training.microbatch} does not divide batch {training.batch}")
        return self

    def with_channels(self, channels: int) -> "Spec":
        """This run on images of so many channels, where its plan left them to the data; else itself.

        Raises ConfigError where its model does not fit them.
        """
        if not self.finds_channels:
            return self
        image = self.image.with_channels(channels)
        spec = parse(Spec, {**self.model_dump(), "image": image.model_dump(), "finds_channels": False}, "spec")
        if problems := list(spec.model.problems(spec.image, spec.training)):
            raise ConfigError(_report("spec", [("model", problem) for problem in problems]))
        return spec

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
        """sha256 (hex) of what decides the weights after every step: all settings but `kimg` and `snapshots`.

        Runs of one trajectory are parts of each other, so a longer one goes on where a shorter one ended. What a model
        derives from `kimg` (`Model.resolved`) belongs to the trajectory.
        """
        return trajectory(self.model_dump(mode="json"))

    def kimg_at(self, step: int) -> float:
        """Thousands of real images shown after `step` steps."""
        return step * self.training.batch / 1000


def trajectory(spec: Mapping[str, Any]) -> str:
    """The trajectory of a spec as a record has it, whatever settings there have been since it was written."""
    training = {key: value for key, value in spec["training"].items() if key not in ("kimg", "snapshots")}
    return artifacts.digest({**spec, "training": training})


# -------------------------------------------------------------------------------------------- evaluation


class Extractor(Strict):
    """A network that turns images into features. Every file in `ganformer/metrics/extractors` has its own."""

    kind: str

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files of weights it reads; those in `results/weights` are fetched by a job of their own."""
        return ()

    @property
    def metrics(self) -> frozenset[str] | None:
        """Metrics that its features are for; None: all."""
        return None


SHORT = {
    "fid": "frechet",
    "fd": "frechet",
    "fid-infinity": "frechet-infinity",
    "is": "inception-score",
    "pr": "precision-recall",
    "dc": "density-coverage",
    "sfid": "spatial-frechet",
}
"""Metrics by the names that the field has for their values."""
SomePathLength = SerializeAsAny[Annotated[Strict, _In("ganformer.settings.path_length", "PathLength")]]
AnyExtractor = SerializeAsAny[Annotated[Extractor, _Plugged("ganformer.metrics.extractors")]]


class Evaluation(Strict):
    """Which numbers are measured, on what."""

    extractor: AnyExtractor
    extractors: Mapping[Name, AnyExtractor] = {}
    """Networks of single metrics, by the names of these, where it is another one than `extractor`."""
    images: PositiveInt = 50_000
    """Number of generated images. Real statistics use the whole data set."""
    mirrored: bool = False
    """Real statistics are over all images and their mirror images."""
    metrics: tuple[Name, ...] = ("frechet", "frechet-error", "inception-score", "precision-recall")
    """File names in `ganformer/metrics/measures`, or `fid`, `is`, `pr`, `dc`, `sfid`, `fid-infinity` for them."""
    seed: Annotated[int, Field(ge=0, le=1000)] = 0
    """Which images are generated: those of the seeds from seed × images on."""
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    """How often everything is measured, each time on other images; values are the mean then. The paper: 10."""
    path_length: SomePathLength | None = None
    """Perceptual path lengths, measured where a model has paths; None: not measured."""

    @field_validator("metrics")
    @classmethod
    def _are_known_metrics(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_known(SHORT.get(name, name), "ganformer.metrics.measures") for name in value))

    @field_validator("extractors")
    @classmethod
    def _are_by_metrics(cls, value: Mapping[str, AnyExtractor]) -> Mapping[str, AnyExtractor]:
        return {SHORT.get(name, name): extractor for name, extractor in value.items()}

    @model_validator(mode="after")
    def _extractors_are_of_metrics(self) -> Self:
        for name in self.extractors:
            if name not in self.metrics:
                raise ValueError(f"extractors: '{name}' is not in metrics; {plugins.choices(name, self.metrics)}")
        for name in self.metrics:
            possible = self.extractors.get(name, self.extractor).metrics
            if possible is not None and name not in possible:
                raise ValueError(
                    f"metrics: '{name}' is not measured with spatial features, only {', '.join(sorted(possible))} are; "
                    "choose another network for it in extractors"
                )
        return self

    @property
    def seeds(self) -> range:
        """Those of the generated images, in the first of several rounds."""
        return range(self.seed * self.images, (self.seed + 1) * self.images)

    def parts(self) -> dict[str, "Evaluation"]:
        """What is measured with each network, by a name for files that no other settings of a network have."""
        parts: dict[str, Evaluation] = {}
        for metric in self.metrics:
            extractor = self.extractors.get(metric, self.extractor)
            name = f"{extractor.kind}-{extractor.digest[:8]}"
            before = parts[name].metrics if name in parts else ()
            # Nothing that real images do not depend on, lest they are measured again where it changes.
            parts[name] = Evaluation(
                extractor=extractor.model_dump(),  # type: ignore[arg-type]
                mirrored=self.mirrored,
                metrics=(*before, metric),
            )
        return parts


class Parsing(Strict):
    """What reads objects in images, for tables 2 and 3. Every file in `ganformer/analysis/parsers` has its own."""

    kind: str

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files of weights it reads."""
        return ()

    def problems(self, dataset: Dataset) -> Iterable[str]:
        """What does not fit between these settings and a data set, one sentence each."""
        return ()


AnyParsing = SerializeAsAny[Annotated[Parsing, _Plugged("ganformer.analysis.parsers")]]


class Parsers(Strict):
    """One parser, to be chosen by its kind."""

    parser: AnyParsing


# ------------------------------------------------------------------------------------------- experiments


RUN = "results/runs/{dataset}/{model}/seed{seed}"
"""Folder of one run."""


class Experiment(Strict):
    """One table or figure, a target by its name. Every file in `ganformer/exhibits` has its own `Config`."""

    shape: ClassVar[Literal["table", "figure"]]
    """What it is; its files are in `results/tables` or `results/figures`."""
    forms: ClassVar[tuple[str, ...]]
    """Suffixes of its files, without the .json that the report page reads."""
    place: ClassVar[int]
    """Place in the report: kinds are shown in ascending order of it."""

    kind: str
    title: str
    datasets: Annotated[tuple[Name, ...], Field(min_length=1)]
    models: Annotated[tuple[Name, ...], Field(min_length=1)]
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (0,)
    extended: bool = False
    """Made by the target `extended` only, not by `all`, since it takes long."""

    def runs(self) -> Iterator[tuple[str, str, int]]:
        """Yield every (data set, model, seed) that it needs."""
        return itertools.product(self.datasets, self.models, self.seeds)

    @classmethod
    def references(cls, raw: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
        """Yield the names of data sets and models that an entry, not yet checked, uses: key, section, name."""
        for section in ("datasets", "models"):
            yield from ((f"{section}.{i}", section, name) for i, name in enumerate(as_sequence(raw.get(section))))

    def problems(self, configuration: "Config") -> Iterable[tuple[str, str]]:
        """Yield what does not fit the whole configuration: a key of this entry, and a sentence."""
        return ()

    def inputs(self, name: str, configuration: "Config") -> Iterable[Path]:
        """Return the files that the entry `name` is drawn from, in the order in which they are passed to `draw`."""
        raise NotImplementedError

    def stem(self, name: str) -> Path:
        """Return the path of the files of the entry `name`, without suffix."""
        return Path("results", f"{self.shape}s", name)

    def of_runs(self, file: str) -> list[Path]:
        """Return the path of `file` in the folder of every run."""
        return [Path(RUN.format(dataset=dataset, model=model, seed=seed), file) for dataset, model, seed in self.runs()]

    def metrics(self, configuration: "Config", *, every_snapshot: bool = False) -> list[Path]:
        """Return the measurements of every run, at the end of its training or at every snapshot."""
        return [
            Path(RUN.format(dataset=dataset, model=model, seed=seed), f"metrics/step-{step}.json")
            for dataset, model, seed in self.runs()
            for step in configuration.spec(dataset, model, seed).snapshot_steps[0 if every_snapshot else -1 :]
        ]


AnyExperiment = SerializeAsAny[Annotated[Experiment, _Plugged("ganformer.exhibits")]]


# ------------------------------------------------------------------------------------------ the whole of it


SECTIONS = ("datasets", "models", "measured_against", "parsing", "experiments")
"""Parts of the configuration that consist of entries with names of one's own."""


class Config(Strict):
    """The reproduction as data: `config.yaml` and its overlays."""

    datasets: Mapping[Name, Dataset]
    models: Mapping[Name, AnyModel]
    training: Training = Training()
    adversarial: Adversarial = Adversarial()
    evaluation: Evaluation
    measured_against: Mapping[Name, Name] = {}
    """Data sets whose runs are measured against the images of another one, such as parts of it."""
    parsing: Mapping[Name, AnyParsing] = {}
    """What reads objects in images of a data set; those of the source `scenes` have a parser without being named."""
    best_by: str = "fd"
    """The value, as it is called in metrics.json, that tells which snapshot of a run is the best one."""
    experiments: Mapping[Name, AnyExperiment] = {}

    def text(self) -> str:
        """Canonical text that `load` turns into this configuration again: what was set, and nothing that was not.

        A default that is written down would win over what a section says.
        """
        return artifacts.canonical(self.model_dump(mode="json", exclude_unset=True))

    def spec(self, dataset: str, model: str, seed: int) -> Spec:
        """The resolved run: type defaults < section < data set's own < its `per_dataset` < the model's own entry."""
        entry = self.models[model]
        if isinstance(entry, AdversarialModel):
            recommended = self.datasets[dataset].source.r1_gamma
            section: Adversarial = self.adversarial
            if recommended is not None:
                section = section.model_copy(update={"r1_gamma": recommended})
            shared = _merged(AdversarialSettings, section, self.adversarial.per_dataset.get(dataset))
            entry = entry.model_copy(update={"adversarial": _merged(AdversarialSettings, shared, entry.adversarial)})
        return Spec(
            image=self.datasets[dataset].image.canvas,
            finds_channels=self.datasets[dataset].known_channels is None,
            mirror=self.datasets[dataset].mirror,
            model=entry.model_dump(),  # type: ignore[arg-type]
            training=_merged(TrainingSettings, self.training, self.training.per_dataset.get(dataset)),
            seed=seed,
        )

    def parser(self, dataset: str) -> Parsing:
        """What reads objects in the images of a data set; ConfigError where nothing does."""
        source = self.datasets[dataset].source.kind
        if dataset in self.parsing:
            return self.parsing[dataset]
        if source not in plugins.names("ganformer.analysis.parsers"):
            raise ConfigError(f"nothing reads objects in images of '{dataset}'; name a parser as parsing.{dataset}")
        return parse(Parsers, {"parser": {"kind": source}}, f"parsing.{dataset}").parser

    def reals(self, dataset: str) -> str:
        """The data set whose images those of runs on this one are measured against."""
        return self.measured_against.get(dataset, dataset)

    def only(self, experiments: Iterable[str]) -> Self:
        """This configuration with no other tables and figures than these."""
        return self.model_copy(update={"experiments": {name: self.experiments[name] for name in experiments}})

    def usual(self) -> Self:
        """This configuration without the tables and figures that only the target `extended` makes."""
        return self.only(name for name, experiment in self.experiments.items() if not experiment.extended)

    def runs(self) -> Iterator[tuple[str, str, int]]:
        """Every (data set, model, seed) that some experiment needs, once."""
        needed = (experiment.runs() for experiment in self.experiments.values())
        return iter(dict.fromkeys(itertools.chain.from_iterable(needed)))


def load(raw: Mapping[str, Any], where: str = "config.yaml") -> Config:
    """Checks merged YAML. Raises ConfigError with all problems, each with its YAML path; `where` names the files.

    An entry of a section that is null is left out: so an overlay takes away what another file has. The word null is
    null: what stands in braces behind Snakemake's option --config arrives as words.
    """
    raw = {
        section: {name: entry for name, entry in entries.items() if entry is not None}
        if isinstance(entries, Mapping) and section in SECTIONS
        else entries
        for section, entries in _with_nulls(raw).items()
    }
    problems = list(_unknown_names(raw))
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_report(where, [*_problems(Config, error), *problems])) from None
    if not problems:
        problems = list(_unfit_runs(config))
    if problems:
        raise ConfigError(_report(where, problems))
    return config


def merged(files: Iterable[Path]) -> dict[str, Any]:
    """Content of YAML files, later ones over earlier ones, mappings key by key, as Snakemake merges configurations.

    Raises ConfigError where a file cannot be read or is no mapping.
    """
    content: dict[str, Any] = {}
    for file in files:
        try:
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
        except (ValueError, yaml.YAMLError) as error:
            raise ConfigError(f"{file}: is not valid YAML ({error})") from error
        if not isinstance(found, dict):
            raise ConfigError(f"{file}: is no configuration, which is a mapping of sections")
        content = _updated(content, found)
    return content


def _updated(base: Any, other: Any) -> Any:
    if not (isinstance(base, Mapping) and isinstance(other, Mapping)):
        return other
    return {**base, **{key: _updated(base.get(key), value) for key, value in other.items()}}


def parse(kind: type[S], raw: Any, where: str) -> S:
    """Checks one piece of settings; ConfigError with all its problems, `where` names the piece."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_report(where, _problems(kind, error))) from None


def parse_experiment(raw: Any, where: str) -> Experiment:
    """Return the checked settings of one table or figure of any kind; ConfigError with all problems of it."""
    kind = as_mapping(raw).get("kind")
    if kind is None:
        raise ConfigError(f"{where}: 'kind' is missing")
    if kind not in plugins.names("ganformer.exhibits"):
        raise ConfigError(
            f"{where}: kind '{kind}' is unknown; {plugins.choices(str(kind), plugins.names('ganformer.exhibits'))}"
        )
    return parse(_config("ganformer.exhibits", kind), raw, where)  # type: ignore[return-value]


def schema_text() -> str:
    """JSON schema of `config.yaml`, for editors; `workflow/config.schema.json` is a copy that a test keeps current."""
    return (
        json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}, indent=2)
        + "\n"
    )


# ------------------------------------------------------------------------------------------------ details


def _with_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_nulls(inside) for key, inside in value.items()}
    return None if value == "null" else value


def _known(name: str, package: str) -> str:
    if name not in plugins.names(package):
        raise ValueError(f"'{name}' is unknown; {plugins.choices(name, plugins.names(package))}")
    return name


def _merged(kind: type[S], base: Strict, other: Strict | None) -> S:
    """`base` with what `other` sets explicitly, cut down to the fields of `kind`."""
    values = base.model_dump(include=set(kind.model_fields))
    if other is not None:
        values |= other.model_dump(include=set(kind.model_fields), exclude_unset=True)
    return kind.model_validate(values)


def _unknown_names(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """References to data sets and models that the configuration does not define."""
    defined = {section: list(as_mapping(raw.get(section))) for section in ("datasets", "models")}
    for section in ("training", "adversarial"):
        for name in as_mapping(as_mapping(raw.get(section)).get("per_dataset")):
            yield from _undefined(f"{section}.per_dataset.{name}", name, "datasets", defined)
    for name in as_mapping(raw.get("parsing")):
        yield from _undefined(f"parsing.{name}", name, "datasets", defined)
    for name, other in as_mapping(raw.get("measured_against")).items():
        for each in (name, other):
            yield from _undefined(f"measured_against.{name}", each, "datasets", defined)
    for experiment, entry in as_mapping(raw.get("experiments")).items():
        kind = as_mapping(entry).get("kind")
        is_known = kind in plugins.names("ganformer.exhibits")
        settings = plugins.settings("ganformer.exhibits", str(kind)).Config if is_known else Experiment
        for path, section, name in settings.references(as_mapping(entry)):
            yield from _undefined(f"experiments.{experiment}.{path}", name, section, defined)


def _undefined(path: str, name: Any, section: str, defined: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    if name not in defined[section]:
        yield path, f"'{name}' is not an entry of {section}; {plugins.choices(str(name), defined[section])}"


def _unfit_runs(config: Config) -> Iterator[tuple[str, str]]:
    """What only shows when a run is put together."""
    seen = set()
    for dataset, model, seed in config.runs():
        if (dataset, model) in seen:
            continue
        seen.add((dataset, model))
        try:
            spec = config.spec(dataset, model, seed)
        except ValidationError as error:
            yield f"training for data set {dataset}", "; ".join(_message(e, {}) for e in error.errors())
            continue
        for problem in spec.model.problems(spec.image, spec.training):
            yield f"models.{model}", f"{problem} (images of data set {dataset})"
    for name, other in config.measured_against.items():
        yield from of_one_shape(config, f"measured_against.{name}", name, other)
    for name, experiment in config.experiments.items():
        for key, problem in experiment.problems(config):
            yield f"experiments.{name}.{key}", problem


def of_one_shape(config: Config, path: str, name: str, other: str) -> Iterator[tuple[str, str]]:
    """Yield a problem if the pictures of two data sets are of different shapes."""
    here, there = (config.datasets[each].image.picture for each in (name, other))
    if here != there:
        yield (
            path,
            f"pictures of {name} are of {here[1]}×{here[0]} pixels, those of {other} of {there[1]}×{there[0]}; give "
            "both one resolution and ratio",
        )


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return `value`, and nothing in its place if it is no mapping."""
    return value if isinstance(value, Mapping) else {}


def as_sequence(value: Any) -> Sequence[Any]:
    """Return `value`, and nothing in its place if it is no list."""
    return value if isinstance(value, list | tuple) else ()


def _report(where: str, problems: Sequence[tuple[str, str]]) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join([f"{where}: {count}", *(f"  {path}: {text}" if path else f"  {text}" for path, text in problems)])


def _problems(kind: type[Strict], error: ValidationError) -> list[tuple[str, str]]:
    root = kind.model_json_schema()
    found = []
    for details in error.errors():
        path, node = _locate(root, details)
        found.append((path, _message(details, node)))
    return found


def _locate(root: Mapping[str, Any], details: ErrorDetails) -> tuple[str, Mapping[str, Any]]:
    """YAML path of an error, and the schema of the mapping that holds it.

    pydantic puts the chosen `kind` into the path of what is inside; YAML has no such level.
    """
    node: Mapping[str, Any] = root
    path: list[str] = []
    parent: Mapping[str, Any] = root
    for part in details["loc"]:
        node = _resolve(root, node)
        tags = node.get("discriminator", {}).get("mapping", {})
        if part in tags:
            node = {"$ref": tags[part]}
            continue
        parent = node
        if isinstance(part, int):
            node = node.get("items", {})
        elif part in node.get("properties", {}):
            node = node["properties"][part]
        else:
            inside = node.get("additionalProperties")
            # Names that must match a pattern stand apart.
            named: Mapping[str, Any] = next(iter(node.get("patternProperties", {}).values()), {})
            node = inside if isinstance(inside, Mapping) else named
            if part == "[key]":
                continue
        path.append(str(part))
    return ".".join(path), parent


def _resolve(root: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        node = root["$defs"][node["$ref"].rpartition("/")[2]]
    for option in node.get("anyOf", ()):  # Optional[X]
        if option.get("type") != "null":
            return _resolve(root, option)
    return node


def _message(details: ErrorDetails, parent: Mapping[str, Any]) -> str:
    value, context = details["input"], details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            return f"unknown key; {plugins.choices(str(details['loc'][-1]), list(parent.get('properties', {})))}"
        case "missing":
            return "is missing"
        case "literal_error":
            return f"{value!r} is not {context['expected']}"
        case "union_tag_invalid":
            allowed = [tag.strip("' ") for tag in context["expected_tags"].split(",")]
            return f"kind '{context['tag']}' is unknown; {plugins.choices(context['tag'], allowed)}"
        case "union_tag_not_found":
            return "'kind' is missing"
        case "value_error":
            return str(context["error"])
        case _:
            return f"{details['msg']}, got {value!r}"
