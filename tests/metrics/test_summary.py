"""Lines about the numbers of a run: how often, of which seeds and images, and with which networks."""

from typing import Any

from ganformer.metrics.summary import of_run
from ganformer.records.metrics import Measured
from tests.run_records import CONTENT


def measured(**recipe: Any) -> Measured:
    settings = {"extractor": {"kind": "vgg16"}, "images": 2000, "real_images": 12_345, "picture": [11, 16], **recipe}
    subject = {"run": CONTENT["run"], "step": 8, "kimg": 1.0, "weights_sha256": "8" * 64, "recipe": settings}
    values = {
        "fd": {"name": "fid2k", "value": 12.3456789},
        "fd_std": {"name": "fid2k_std", "value": 0.123},
        "is": {"name": "is2k", "value": 3.0},
    }
    return Measured(**subject, values=values, reference={"data_sha256": "d" * 64})


def test_a_plain_evaluation() -> None:
    assert of_run(measured()).splitlines() == [
        "fid2k      12.3457 ± 0.12",
        "is2k       3",
        f"real       12,345 images, data {'d' * 12}",
        "fake       2,000 images of step 8, seeds 0 to 1999, truncation none",
        'extractor  {"kind":"vgg16"}',
        "images     16×11 pixels",
    ]


def test_mirror_images_rounds_paths_and_networks_of_single_metrics() -> None:
    found = of_run(
        measured(
            mirrored=True,
            seed=3,
            repeats=2,
            path_length={"images": 4},
            extractors={"spatial-frechet": {"kind": "inception-2015"}},
            measures={"kid": {"subsets": 100, "size": 1000}},
        )
    )
    assert [" ".join(line.split()) for line in found.splitlines()[2:]] == [
        f"real 12,345 images and their mirror images, data {'d' * 12}",
        "fake 2,000 images, 2 times of step 8, seeds 6000 to 9999, truncation none",
        'extractor {"kind":"vgg16"}',
        'of spatial-frechet {"kind":"inception-2015"}',
        "kid subsets 100, size 1000",
        'paths {"images":4}',
        "images 16×11 pixels",
    ]
