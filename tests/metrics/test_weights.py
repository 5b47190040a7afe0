"""Weights are taken from the files that are known, read without executing anything, and from no others."""

import hashlib
import io
import os
import pickle
import re
import shutil
import warnings
import zipfile
from dataclasses import replace

import pytest
import torch
from torch import nn

from ganformer.data.fetching import download
from ganformer.data.fetching.download import Remote
from ganformer.errors import CheckpointError, DataError
from ganformer.metrics import weights
from ganformer.metrics.weights import File, Published

SHAPES = {"first.weight": (4, 3), "first.factor": (4,), "second.bias": (2,)}
PLAIN = File("tiny.pth", "0" * 64, ("https://here/tiny.pth", "https://there/tiny.pth"), {n: n for n in SHAPES})
SCRIPT = File(
    "tiny.pt", "1" * 64, ("https://script/tiny.pt",), {"first.weight": "a.b.weight", "second.bias": "a.number"}
)
TINY = Published("the tiny network", (PLAIN, SCRIPT), SHAPES)


class Holder(nn.Module):
    """A module that only has tensors, and settings that a file of weights may also hold."""

    def __init__(self):
        super().__init__()
        self.stride = 2
        self.sizes = [1, 2]
        self.title = "text"


def script(tensors, path):
    """Write an archive of TorchScript with these tensors: parameters where they are called weight, else buffers."""
    root = Holder()
    for name, tensor in tensors.items():
        *modules, leaf = name.split(".")
        module = root
        for part in modules:
            if not hasattr(module, part):
                module.add_module(part, Holder())
            module = getattr(module, part)
        if leaf == "weight":
            module.register_parameter(leaf, nn.Parameter(tensor, requires_grad=False))
        else:
            module.register_buffer(leaf, tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is of yesterday
        torch.jit.save(torch.jit.script(root.eval()), path)


def known(path, index=0):
    """Return the tiny network, of which this file is the one at `index`."""
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    files = [replace(file, sha256=sha) if i == index else file for i, file in enumerate(TINY.files)]
    return replace(TINY, files=tuple(files))


@pytest.fixture
def state():
    return {name: torch.randn(shape, generator=torch.Generator().manual_seed(1)) for name, shape in SHAPES.items()}


@pytest.fixture
def plain(state, tmp_path):
    path = tmp_path / "tiny.pth"
    torch.save(state, path)
    return path


@pytest.fixture
def archive(state, tmp_path):
    path = tmp_path / "tiny.pt"
    script({theirs: state[name] for name, theirs in SCRIPT.names.items()}, path)
    return path


# ------------------------------------------------------------------------------------------------ files that are known


def test_weights_come_by_their_names_in_the_network(plain, archive, state):
    loaded = weights.load(known(plain), plain)
    assert loaded.keys() == SHAPES.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in SHAPES)
    loaded = weights.load(known(archive, 1), archive)
    assert loaded.keys() == SCRIPT.names.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in SCRIPT.names)


def test_half_precision_and_tensors_that_the_network_has_no_place_for_do_not_matter(state, tmp_path):
    path = tmp_path / "tiny.pt"
    halves = {theirs: state[name].half() for name, theirs in SCRIPT.names.items()}
    script({**halves, "other.weight": torch.zeros(5)}, path)
    loaded = weights.load(known(path, 1), path)
    assert loaded.keys() == SCRIPT.names.keys()
    assert loaded["first.weight"].dtype == torch.float32
    assert torch.equal(loaded["first.weight"], state["first.weight"].half().float())


def test_tensors_keep_their_strides(tmp_path):
    path = tmp_path / "strided.pt"
    tensor = torch.arange(24.0).reshape(2, 3, 4)
    script({"a.weight": tensor.transpose(0, 2), "b.empty": torch.zeros(0, 3)}, path)
    found = weights.read(path)
    assert torch.equal(found["a.weight"], tensor.transpose(0, 2))
    assert found["b.empty"].shape == (0, 3)


def test_missing_weights_are_fetched(plain, tmp_path, monkeypatch):
    asked = []

    def fetch(remote, folder):
        asked.append(remote)
        folder.mkdir()
        shutil.copy(plain, folder / remote.name)

    monkeypatch.setattr(download, "fetch", fetch)
    network, path = known(plain), tmp_path / "new" / "own name.pth"
    for _ in range(2):
        weights.load(network, path)
    assert asked == [Remote("own name.pth", PLAIN.urls, sha256=network.files[0].sha256)]


def test_the_name_of_another_file_asks_for_that_one(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(download, "fetch", lambda remote, folder: asked.append((remote, folder)))
    weights.fetch(TINY, tmp_path / "tiny.pt")
    assert asked == [(Remote("tiny.pt", SCRIPT.urls, sha256=SCRIPT.sha256), tmp_path)]


def test_weights_that_cannot_be_fetched_are_asked_for(tmp_path, monkeypatch):
    def fetch(remote, folder):
        raise DataError(f"{folder / remote.name}: could not be fetched; why")

    monkeypatch.setattr(download, "fetch", fetch)
    path = tmp_path / "tiny.pth"
    message = (
        rf"^{path}: could not be fetched; why\nThese are the weights of the tiny network; if you have tiny\.pth or "
        r"tiny\.pt elsewhere, name its place in evaluation\.extractor\.weights$"
    )
    with pytest.raises(DataError, match=message):
        weights.load(TINY, path)


# ------------------------------------------------------------------------------------------------ files that are not


def refusal(path):
    with pytest.raises(CheckpointError) as raised:
        weights.load(TINY, path)
    return str(raised.value)


def test_other_values_are_refused_by_their_sum(plain):
    sha = hashlib.sha256(plain.read_bytes()).hexdigest()
    assert refusal(plain) == (
        f"{plain}: is not the tiny network: its tensors have the right names and shapes, but other values (sha256 "
        f"{sha}, expected {'0' * 64} of tiny.pth or {'1' * 64} of tiny.pt); delete it to have it fetched again, or "
        "correct evaluation.extractor.weights"
    )


def test_other_values_of_the_other_layout_are_refused_too(archive):
    assert "its tensors have the right names and shapes, but other values (sha256 " in refusal(archive)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            {"features.0.weight": (64, 3, 3, 3)},
            "missing: first.weight, first.factor, second.bias; not known: features.0.weight (sha256 ",
        ),
        ({**SHAPES, "second.bias": (7,)}, "mis-shaped: second.bias [7] instead of [2] (sha256 "),
        ({"first.weight": (4, 3), "more": (1,)}, "missing: first.factor, second.bias (sha256 "),
        ({"a.b.weight": (4, 3)}, "missing: a.number (sha256 "),
    ],
)
def test_another_network_is_told_by_its_tensors(found, said, tmp_path):
    path = tmp_path / "tiny.pth"
    torch.save({name: torch.zeros(shape) for name, shape in found.items()}, path)
    assert refusal(path).startswith(f"{path}: is not the tiny network: its content does not fit the model; {said}")


@pytest.mark.parametrize("value", [[1, 2], {"epoch": 3}, torch.zeros(3)])
def test_what_holds_no_tensors_by_name_is_refused(value, tmp_path):
    path = tmp_path / "tiny.pth"
    torch.save(value, path)
    assert f"{path}: is not the tiny network: holds something else than tensors by name (sha256 " in refusal(path)


def test_what_is_no_file_of_weights_is_refused(tmp_path):
    path = tmp_path / "tiny.pth"
    path.write_bytes(b"<html>not found</html>")
    said = refusal(path)
    assert said.startswith(
        f"{path}: is not the tiny network: is a web page, as servers send where a file is not to be had (sha256 "
    )
    assert said.count(str(path)) == 1
    assert said.endswith("; delete it to have it fetched again, or correct evaluation.extractor.weights")


def test_what_is_damaged_is_refused(tmp_path):
    path = tmp_path / "tiny.pth"
    path.write_bytes(b"\x80\x02 and no more")
    assert refusal(path).startswith(f"{path}: is not the tiny network: is damaged or was not written by torch.save (")


def test_a_folder_is_refused(tmp_path):
    assert refusal(tmp_path) == (f"{tmp_path}: cannot be read (Is a directory); correct evaluation.extractor.weights")


# ------------------------------------------------------------------------------------------------ hostile archives


def rewritten(path, ending, data):
    """Return the archive with other bytes in the files whose names end so."""
    with zipfile.ZipFile(path) as old:
        content = {name: old.read(name) for name in old.namelist()}
    assert any(name.endswith(ending) for name in content)
    with zipfile.ZipFile(path, "w") as new:
        for name, bytes_ in content.items():
            new.writestr(name, data if name.endswith(ending) else bytes_)
    return path


class Call:
    """Unpickled, it calls something."""

    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


def unreadable(path):
    with pytest.raises(CheckpointError) as raised:
        weights.read(path)
    said = str(raised.value)
    assert re.fullmatch(
        rf"{path}: its tensors cannot be read \((.*)\), and nothing in it was executed; fetch it again", said, re.DOTALL
    )
    return said


def test_nothing_in_an_archive_is_executed(archive, tmp_path):
    made = tmp_path / "made"
    tree = pickle.dumps(Call(os.mkdir, str(made)), protocol=2)
    assert "it asks for 'posix.mkdir', which no snapshot needs" in unreadable(rewritten(archive, "/data.pkl", tree))
    assert not made.exists()


def test_programs_in_an_archive_are_not_run(archive, state):
    found = weights.read(rewritten(archive, ".py", b"this is no program"))
    assert torch.equal(found["a.b.weight"], state["first.weight"])


def test_tensors_must_have_the_numbers_that_the_tree_speaks_of(archive):
    assert "/data/0 is not of 2 numbers" in unreadable(rewritten(archive, "/data/0", b"1234"))


def test_what_is_no_tensor_cannot_be_asked_for(archive):
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol=2)
    pickler.persistent_id = lambda value: ("file", "/etc/passwd") if value == "there" else None
    pickler.dump("there")
    said = unreadable(rewritten(archive, "/data.pkl", stream.getvalue()))
    assert "it asks for something else than numbers of a tensor" in said


def test_deep_tuples_are_refused(archive):
    tree = b"\x80\x02)" + b"\x85" * 60_000 + b"."
    assert "it has more than 50000 tuples, which no weights need" in unreadable(rewritten(archive, "/data.pkl", tree))


def test_a_module_that_holds_itself_is_refused(archive):
    tree = b"\x80\x02c__torch__\nM\nq\x00)\x81q\x01}X\x04\x00\x00\x00selfh\x01sb."
    assert "recursion" in unreadable(rewritten(archive, "/data.pkl", tree))


@pytest.mark.parametrize("tree", [b"", b"\x80\x02", b"\x80\x02c__torch__\nM\n)\x81K\x01b."])
def test_damaged_trees_are_refused(archive, tree):
    unreadable(rewritten(archive, "/data.pkl", tree))


@pytest.mark.parametrize("cut", [10, 100, 1000])
@pytest.mark.parametrize("kind", ["plain", "archive"])
def test_a_cut_file_is_refused(kind, cut, request):
    path = request.getfixturevalue(kind)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(CheckpointError, match=rf"^{path}: is damaged, it ends too early; fetch it again$"):
        weights.read(path)
    assert f"{path}: is not the tiny network: is damaged, it ends too early (sha256 " in refusal(path)


def test_changed_numbers_are_found_by_their_checksum(archive):
    content = archive.read_bytes()
    with zipfile.ZipFile(archive) as opened:
        number = next(name for name in opened.namelist() if name.endswith("/data/0"))
        inside = opened.read(number)
    place = content.index(inside)
    archive.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert "Bad CRC-32" in unreadable(archive)
