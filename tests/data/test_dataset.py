"""Reading packs: any image at any time, across shards and processes, and clear words about damaged ones."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from ganformer import artifacts, ledger, plugins
from ganformer.config import Dataset
from ganformer.data.batches import batch
from ganformer.data.dataset import Images, verify
from ganformer.data.packing.pack import pack
from ganformer.data.shuffle import Order
from ganformer.errors import DataError


@pytest.fixture(scope="module", params=plugins.names("ganformer.data.formats"))
def original(request, tmp_path_factory):
    """Provide a pack of 11 images in shards of 4."""
    folder = tmp_path_factory.mktemp("original")
    settings = {
        "source": {"kind": "scenes", "images": 11},
        "resolution": 16,
        "format": request.param,
        "shard_images": 4,
    }
    pack(Dataset.model_validate(settings), folder)
    return folder


@pytest.fixture
def damaged(original, tmp_path):
    """Provide a copy of the pack that a test may damage."""
    for path in original.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def shards(folder):
    return sorted(folder.glob("images-*"))


def test_images_come_in_the_order_asked_for(original):
    images = Images(original)
    assert len(images) == 11
    assert (images.image.height, images.image.width, images.image.channels) == (16, 16, 3)
    everything = images.read(np.arange(11))
    assert len(np.unique(everything.reshape(11, -1), axis=0)) == 11
    wanted = np.array([10, 0, 3, 4, 4, 8, 7])
    assert (images.read(wanted) == everything[wanted]).all()
    assert images.read(np.array([], np.int64)).shape == (0, 3, 16, 16)


def test_pack_is_named_by_its_folder_or_its_manifest(original):
    path = original / "manifest.json"
    assert Images(original).digest == Images(path).digest == artifacts.read_json(path)["content"]


def test_relative_path_of_a_manifest(original, monkeypatch):
    monkeypatch.chdir(original)
    assert len(Images(Path("manifest.json"))) == 11


def test_another_process_opens_its_own_shards(original):
    images = Images(original)
    everything = images.read(np.arange(11))
    sent = pickle.dumps(images)
    assert len(sent) < 1000
    assert (pickle.loads(sent).read(np.arange(11)) == everything).all()


@pytest.mark.parametrize("index", [-1, 11])
def test_index_outside_is_refused(original, index):
    with pytest.raises(IndexError, match="of 11 images"):
        Images(original).read(np.array([0, index]))


def test_batch_follows_the_order(original):
    images, order = Images(original), Order(11, seed=3)
    tensor, _ = batch(images, order, 8, 6, images.image, mirror=False)
    assert (tensor.dtype, tensor.shape) == (torch.uint8, (6, 3, 16, 16))
    assert torch.equal(tensor, torch.from_numpy(images.read(order.indices(8, 6))))


def test_mirroring_is_a_function_of_the_position(original):
    images, order = Images(original), Order(11, seed=3)
    plain, mirrored = (batch(images, order, 0, 40, images.image, mirror=mirror)[0] for mirror in (False, True))
    coins = order.coins(0, 40)
    assert 8 < coins.sum() < 32
    for coin, one, other in zip(coins, plain, mirrored, strict=True):
        assert torch.equal(one.flip(-1) if coin else one, other)
    assert torch.equal(batch(images, order, 17, 5, images.image, mirror=True)[0], mirrored[17:22])


def packed(out, **settings):
    dataset = Dataset.model_validate({"source": {"kind": "scenes", "images": 11}, "resolution": 16, **settings})
    pack(dataset, out)
    return dataset, Images(out)


def test_picture_that_is_no_whole_number_of_quarters_stands_between_bars(tmp_path):
    dataset, images = packed(tmp_path / "pack", ratio=0.7)
    assert (images.image.height, images.image.width) == (11, 16)
    canvas = dataset.image.canvas
    assert (canvas.height, canvas.width, canvas.picture) == (12, 16, (11, 16))
    tensor, _ = batch(images, Order(11, seed=3), 0, 11, canvas, mirror=True)
    assert tensor.shape == (11, 3, 12, 16)
    assert not tensor[:, :, 11:].any()
    bare, _ = batch(images, Order(11, seed=3), 0, 11, images.image, mirror=True)
    assert torch.equal(tensor[:, :, :11], bare)


def test_random_windows_are_taken_from_larger_images(tmp_path):
    dataset, images = packed(tmp_path / "pack", crop_margin=0.25, ratio=0.5)
    assert (images.image.height, images.image.width, images.image.picture) == (10, 20, (8, 16))
    canvas = dataset.image.canvas
    assert (canvas.height, canvas.width, canvas.picture) == (8, 16, (8, 16))
    order = Order(11, seed=3)
    tensor, _ = batch(images, order, 0, 60, canvas, mirror=False)
    originals, places = images.read(order.indices(0, 60)), order.places(0, 60, (3, 5))
    assert {tuple(place) for place in places.tolist()} > {(0, 0), (0, 4), (2, 0), (2, 4)}
    for window, original, (top, left) in zip(tensor.numpy(), originals, places, strict=True):
        assert (window == original[:, top : top + 8, left : left + 16]).all()
    assert torch.equal(batch(images, order, 17, 5, canvas, mirror=False)[0], tensor[17:22])


@pytest.mark.parametrize("layout", plugins.names("ganformer.data.formats"))
def test_what_was_read_does_not_stay_in_memory(tmp_path, monkeypatch, mapped, layout):
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 256, (120, 256, 256, 3), np.uint8))
    source = {"kind": "arrays", "path": tmp_path / "noise.npy"}
    pack(Dataset.model_validate({"source": source, "format": layout, "shard_images": 50}), tmp_path / "pack")
    images, alike = Images(tmp_path / "pack"), np.load(tmp_path / "noise.npy").transpose(0, 3, 1, 2)
    assert images.read(np.array([0])).shape == (1, 3, 256, 256)
    monkeypatch.setattr("ganformer.data.dataset.MAX_READ_BYTES", 2_000_000)
    before = mapped()
    for number in range(120):  # 24 MB
        assert (images.read(np.array([number]))[0] == alike[number]).all()
    assert mapped() < before + 8_000_000


def test_threads_read_while_others_forget(original, monkeypatch):
    monkeypatch.setattr("ganformer.data.dataset.MAX_READ_BYTES", 0)
    images = Images(original)
    expected = Images(original).read(np.arange(11))
    orders = [np.random.default_rng(seed).permutation(11) for seed in range(60)]
    with ThreadPoolExecutor(8) as threads:
        for order, read in zip(orders, threads.map(images.read, orders), strict=True):
            assert (read == expected[order]).all()


@pytest.mark.parametrize("layout", plugins.names("ganformer.data.formats"))
def test_flipped_byte_is_noticed_when_a_shard_is_first_read(tmp_path, layout):
    _, images = packed(tmp_path / "pack", format=layout)
    shard = tmp_path / "pack" / images.manifest.shards[0].file
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match="not the bytes that were packed; pack the data set again"):
        Images(tmp_path / "pack", check=True).read(np.arange(3))
    with pytest.raises(DataError, match="the pack is damaged"):
        verify(tmp_path / "pack")


def test_checking_goes_along_to_other_processes(original):
    assert pickle.loads(pickle.dumps(Images(original, check=True))).is_checked
    assert not pickle.loads(pickle.dumps(Images(original))).is_checked


def test_whole_pack_is_verified(original):
    read = []
    verify(original, read.append)
    files = [path for path in original.iterdir() if path.name not in ("manifest.json", ledger.NAME)]
    assert sum(read) == sum(path.stat().st_size for path in files)


def test_damage_is_found_by_verifying(damaged):
    with shards(damaged)[1].open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    (damaged / "masks.npy").unlink()
    with pytest.raises(DataError) as failed:
        verify(damaged)
    message = str(failed.value)
    assert "the pack is damaged; pack the data set again" in message
    assert f"{shards(damaged)[1]}: not the bytes that were packed" in message
    assert f"{damaged / 'masks.npy'}: missing" in message
    assert shards(damaged)[0].name not in message


def test_missing_pack(tmp_path):
    with pytest.raises(
        DataError, match=r"manifest\.json: missing, so there is no complete pack here .* pack the data set \(again\)"
    ):
        Images(tmp_path / "absent")


def test_missing_shard(damaged):
    shards(damaged)[2].unlink()
    with pytest.raises(
        DataError, match=r"images-00002\.\w+: this shard of the pack is missing; pack the data set again"
    ):
        Images(damaged)


def test_cut_shard(damaged):
    path = shards(damaged)[0]
    path.write_bytes(path.read_bytes()[:-100])
    images = Images(damaged)
    images.read(np.array([4]))
    with pytest.raises(
        DataError, match=r"images-00000\.\w+: is not the shard that was packed \(.*\); pack the data set"
    ):
        images.read(np.array([4, 0]))


def test_shard_of_another_pack(damaged):
    first, _, last = shards(damaged)
    first.write_bytes(last.read_bytes())
    with pytest.raises(DataError, match="is not the shard that was packed"):
        Images(damaged).read(np.array([0]))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"version": 1}, "version 1 is not 2"),
        ({"count": -1}, r"count is -1 \(Input should be greater.*\), so it is no manifest of a pack"),
        ({"count": 10}, "json: count is 10, but its shards hold 11 images, so it is no manifest of a pack"),
        ({"shards": [{"file": "../x.npy", "count": 1, "sha256": ""}]}, r"shards\.0\.file"),
        ({"colour": "red"}, r"colour is 'red' \(Extra inputs are not permitted\), so it is no manifest"),
    ],
)
def test_foreign_manifest(damaged, edit, message):
    path = damaged / "manifest.json"
    artifacts.write_json(path, {**artifacts.read_json(path), **edit})
    with pytest.raises(DataError, match=f"{message}.*; pack again"):
        Images(damaged)


def test_manifest_of_no_images(damaged):
    path = damaged / "manifest.json"
    rejected = [{"path": "a.png", "reason": "is not an image of a known format"}]
    artifacts.write_json(path, {**artifacts.read_json(path), "count": 0, "shards": [], "rejected": rejected})
    for look in (Images, verify):
        with pytest.raises(DataError, match=r"json: holds no images, as 1 were not usable .*; fix or remove"):
            look(damaged)


def test_manifest_that_is_not_json(damaged):
    (damaged / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="is not valid JSON"):
        Images(damaged)
