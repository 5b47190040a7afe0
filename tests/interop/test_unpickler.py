"""A pickle with a payload is refused with the name of what it asked for, and nothing in it is executed."""

import codecs
import collections
import importlib
import io
import pickle

import numpy as np
import pytest
import torch

from ganformer.errors import CheckpointError
from ganformer.interop import unpickler
from ganformer.interop.unpickler import Held, load
from tests.interop.official import PROTOCOLS, aged


class Call:
    """Pickled as a call of `function` with `arguments`, then with `state` handed to what comes out."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.reduced


def written(folder, value):
    path = folder / "snapshot.pkl"
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value))
    return path


def named(module, name, arguments):
    """Return a pickle that calls `module`.`name` with `arguments`, in opcodes."""
    return b"\x80\x03c" + module.encode() + b"\n" + name.encode() + b"\n" + arguments + b"R."


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("nt", "system"),
        ("subprocess", "check_output"),
        ("builtins", "eval"),
        ("builtins", "frozenset"),
        ("builtins", "object"),
        ("copy_reg", "_reconstructor"),
        ("_codecs", "decode"),
        ("builtins", "exec"),
        ("builtins", "open"),
        ("builtins", "getattr"),
        ("builtins", "__import__"),
        ("__builtin__", "eval"),
        ("pickle", "loads"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("numpy", "load"),
        ("numpy", "fromfile"),
        ("numpy.f2py.crackfortran", "myeval"),
        ("runpy", "run_path"),
        ("webbrowser", "open"),
        ("ganformer.interop.unpickler", "ALLOWED"),
        ("collections", "OrderedDict.fromkeys"),
        ("torch.nn.modules.dropout", "os.system"),
    ],
)
def test_what_no_snapshot_needs_is_refused_by_name(tmp_path, module, name):
    target = tmp_path / "pwned"
    text = f"touch {target}".encode()
    arguments = b"X" + len(text).to_bytes(4, "little") + text + b"\x85"  # BINUNICODE, TUPLE1
    with pytest.raises(CheckpointError, match=f"'{module}.{name}'") as caught:
        load(written(tmp_path, named(module, name, arguments)))
    assert "nothing in it was executed" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not target.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("depth", [0, 1])
def test_a_payload_does_not_run_in_any_protocol_or_place(tmp_path, protocol, depth):
    target = tmp_path / "pwned"
    payload = Call(eval, f"open({str(target)!r}, 'w').close()")
    value = {"G": payload, "D": 1} if depth else payload
    path = tmp_path / "snapshot.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    with pytest.raises(CheckpointError, match="eval'"):
        load(path)
    assert not target.exists()


def test_a_payload_inside_of_a_storage_does_not_run(tmp_path):
    target = tmp_path / "pwned"
    buffer = io.BytesIO()
    torch.save(Call(eval, f"open({str(target)!r}, 'w').close()"), buffer, _use_new_zipfile_serialization=False)
    load_from_bytes = importlib.import_module("torch.storage")._load_from_bytes
    with pytest.raises(CheckpointError, match=r"a pickle in the pickle that asks for .*eval'"):
        load(written(tmp_path, Call(load_from_bytes, buffer.getvalue())))
    assert not target.exists()


def test_a_zip_inside_of_a_storage_is_refused(tmp_path):
    buffer = io.BytesIO()
    torch.save(torch.zeros(2), buffer)
    load_from_bytes = importlib.import_module("torch.storage")._load_from_bytes
    with pytest.raises(CheckpointError, match=r"misuses torch\.storage"):
        load(written(tmp_path, Call(load_from_bytes, buffer.getvalue())))


def reconstruct(state, subtype=np.ndarray):
    return Call(np._core.multiarray._reconstruct, subtype, (0,), b"b", state=state)


FLOATS = np.dtype("f4")
OTHERS = "numpy.dtype: arrays of anything but numbers are not read;"
NO_NUMBERS = "numpy.ndarray: arrays of anything but numbers are not read;"
MISFIT = "numpy.ndarray: its bytes do not fit its shape;"
EVIL_ARRAYS = {
    "objects": (reconstruct((1, (1,), np.dtype("O"), False, [Call(print)])), OTHERS),
    "objects as scalar": (Call(np._core.multiarray.scalar, np.dtype("O"), b"12345678"), OTHERS),
    "texts": (reconstruct((1, (1,), np.dtype("U4"), False, b"1234567890123456")), OTHERS),
    "records": (reconstruct((1, (1,), np.dtype([("a", "O")]), False, b"12345678")), OTHERS),
    "a list of content": (reconstruct((1, (1,), FLOATS, False, [1.0])), NO_NUMBERS),
    "a type by its name": (reconstruct((1, (1,), "f4", False, b"1234")), NO_NUMBERS),
    "more numbers than bytes": (reconstruct((1, (1 << 40,), FLOATS, False, b"1234")), MISFIT),
    "fewer numbers than bytes": (reconstruct((1, (1,), FLOATS, False, b"12345678")), MISFIT),
    "a negative size": (reconstruct((1, (-1,), FLOATS, False, b"1234")), NO_NUMBERS),
    "no shape": (reconstruct((1, "", FLOATS, False, b"1234")), NO_NUMBERS),
    "a short state": (reconstruct((1, (1,), FLOATS, False)), "numpy.ndarray;"),
    "a state that is a list": (reconstruct([1, (1,), FLOATS, False, b"1234"]), "numpy.ndarray;"),
    "another class": (
        reconstruct((1, (1,), FLOATS, False, b"1234"), subtype=collections.OrderedDict),
        "numpy.ndarray;",
    ),
    "a call of the class": (Call(np.ndarray, (1 << 40,)), "numpy.ndarray;"),
}


@pytest.mark.parametrize("name", EVIL_ARRAYS)
def test_arrays_of_anything_but_whole_numbers_are_refused(tmp_path, name):
    value, said = EVIL_ARRAYS[name]
    with pytest.raises(CheckpointError) as caught:
        load(written(tmp_path, value))
    assert f"refused, it misuses {said}" in str(caught.value)


def test_an_array_is_empty_until_its_numbers_come(tmp_path):
    """Its shape asks for nothing: memory is taken for bytes that are there."""
    huge = Call(np._core.multiarray._reconstruct, np.ndarray, (1 << 40,), b"d")
    assert load(written(tmp_path, huge)).tensor.numel() == 0


@pytest.mark.parametrize("kind", ["O", "U4", "S4", "M8[s]", "c16", "V8"])
def test_only_types_of_numbers_are_made(tmp_path, kind):
    message = "refused, it misuses numpy.dtype: arrays of anything but numbers are not read"
    with pytest.raises(CheckpointError, match=message):
        load(written(tmp_path, np.dtype(kind)))


def typed(tensor):
    return torch.storage.TypedStorage(wrap_storage=tensor.untyped_storage(), dtype=tensor.dtype, _internal=True)


def rebuild(storage, offset, size, stride):
    return Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, collections.OrderedDict())


@pytest.mark.parametrize(
    ("offset", "size", "stride", "more"),
    [
        (3, (2,), (1,), ": the tensor does not fit its storage"),
        (0, (5,), (0,), ": the tensor does not fit its storage"),
        (0, (1 << 40,), (0,), ": the tensor does not fit its storage"),
        (0, (2, 2), (1 << 40, 1), ": the tensor does not fit its storage"),
        (0, (2, 2), (3, 1), ": the tensor does not fit its storage"),
        (4, (1,), (1,), ": the tensor does not fit its storage"),
        (-1, (2,), (1,), ""),
        (True, (2,), (1,), ""),
        (0, (2,), (-1,), ""),
        (0, (2,), (1 << 48,), ""),
        (0, 2, (1,), ""),
        (0, (2.0,), (1,), ""),
        (0, (2,), [1], ""),
    ],
)
def test_a_tensor_outside_of_its_storage_is_refused(tmp_path, offset, size, stride, more):
    with pytest.raises(CheckpointError) as caught:
        load(written(tmp_path, rebuild(typed(torch.arange(4.0)), offset, size, stride)))
    assert f"refused, it misuses torch._utils._rebuild_tensor_v2{more}; nothing in it" in str(caught.value)


def test_sizes_and_strides_of_a_tensor_are_as_many(tmp_path):
    with pytest.raises(CheckpointError, match="is damaged"):
        load(written(tmp_path, rebuild(typed(torch.arange(4.0)), 0, (2, 2), (1,))))


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize(
    ("offset", "size", "stride", "expected"),
    [
        (0, (4,), (1,), [0, 1, 2, 3]),
        (3, (1,), (1,), [3]),
        (1, (2,), (2,), [1, 3]),
        (0, (2, 2), (2, 1), [[0, 1], [2, 3]]),
        (0, (2, 2), (1, 2), [[0, 2], [1, 3]]),
        (2, (), (), 2),
        (0, (2, 0), (1, 1), [[], []]),
    ],
)
def test_a_tensor_within_its_storage_is_the_part_of_it(tmp_path, offset, size, stride, expected):
    held = load(written(tmp_path, rebuild(typed(torch.arange(4.0)), offset, size, stride)))
    assert held.tensor.tolist() == expected


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Call(collections.OrderedDict, state={"items": 1}), "is damaged"),
        (Call(np.dtype, "f4", state=(3, "?", None)), "refused, it misuses numpy.dtype;"),
        (Call(np.dtype, "f4", state=(3,)), "refused, it misuses numpy.dtype;"),
        (Call(np.dtype, "f4", state=3), "refused, it misuses numpy.dtype;"),
        (Call(np.dtype, "f4", state=(None, {"dtype": 1})), "refused, it misuses numpy.dtype;"),
        (
            Call(torch._utils._rebuild_parameter, 1, True, collections.OrderedDict()),
            "refused, it misuses torch._utils._rebuild_parameter;",
        ),
        (
            Call(torch._utils._rebuild_tensor_v2, 1, 0, (1,), (1,), False, collections.OrderedDict()),
            "refused, it misuses torch._utils._rebuild_tensor_v2;",
        ),
    ],
)
def test_a_state_that_does_not_belong_there_is_refused(tmp_path, value, said):
    with pytest.raises(CheckpointError) as caught:
        load(written(tmp_path, value))
    assert f"snapshot.pkl: {said}" in str(caught.value)


FUNCTION = "refused, it misuses a function; nothing in it was executed"
CLASS = r"is damaged or no pickle \(.*missing 1 required positional argument: 'state'\)"


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        (
            "collections",
            "OrderedDict",
            r"is damaged or no pickle \(cannot set '__setstate__' attribute of immutable type",
        ),
        ("numpy", "dtype", CLASS),
        ("numpy", "ndarray", FUNCTION),
        ("numpy._core.multiarray", "_reconstruct", FUNCTION),
        ("torch.storage", "_load_from_bytes", FUNCTION),
        ("torch.nn.modules.dropout", "Dropout", CLASS),
        ("dnnlib.tflib.network", "Network", CLASS),
        ("torch_utils.persistence", "_reconstruct_persistent_obj", FUNCTION),
        ("builtins", "set", FUNCTION),
        ("__builtin__", "bytearray", FUNCTION),
        ("_codecs", "encode", FUNCTION),
    ],
)
def test_the_parts_themselves_cannot_be_changed(tmp_path, module, name, said):
    slots = pickle.dumps((None, {"__setstate__": 1, "__defaults__": (1,), "_call": 1}), protocol=2)[2:-1]
    found = f"c{module}\n{name}\n".encode()
    load(written(tmp_path, b"\x80\x02" + found + b"."))
    with pytest.raises(CheckpointError, match=rf"snapshot\.pkl: {said}"):
        load(written(tmp_path, b"\x80\x02" + found + slots + b"b."))


def test_tensors_and_persistent_objects_take_no_state(tmp_path):
    tensor = rebuild(typed(torch.arange(4.0)), 0, (4,), (1,))
    tensor.reduced = (*tensor.reduced, {"tensor": 1})
    with pytest.raises(CheckpointError, match="refused, it misuses a tensor; nothing in it"):
        load(written(tmp_path, tensor))
    meta = pickle.dumps(({"state": {}},), protocol=2)[2:-1]
    made = named("torch_utils.persistence", "_reconstruct_persistent_obj", meta)
    assert load(written(tmp_path, made)).meta == {"state": {}}
    with pytest.raises(CheckpointError, match=r"refused, it misuses torch_utils\.persistence; nothing in it"):
        load(written(tmp_path, made[:-1] + b"}b."))


@pytest.mark.parametrize("kind", ["?", "i1", "u1", "<i2", ">i2", "i4", "i8", "f2", ">f4", "f8"])
def test_all_types_of_numbers_are_read(tmp_path, kind):
    array = np.array([0, 1, 1], kind)
    assert load(written(tmp_path, array)).tensor.numpy().dtype == array.dtype.newbyteorder("=")
    assert load(written(tmp_path, {"one": array[1]})) == {"one": 1}


def test_a_truncated_pickle_is_damaged(tmp_path):
    whole = pickle.dumps({"a": np.zeros(100, np.float32)})
    with pytest.raises(CheckpointError, match=r"snapshot\.pkl: is empty; fetch it again"):
        load(written(tmp_path, b""))
    for length in (1, 10, len(whole) // 2, len(whole) - 1):
        with pytest.raises(CheckpointError, match=r"is damaged or no pickle \([a-z].*\); fetch it again"):
            load(written(tmp_path, whole[:length]))


DEEP = b"}K\x01" + b"\x85" * 200_000 + b"K\x01s."  # a dict with a key of tuples in tuples


def test_a_pickle_that_would_exhaust_the_stack_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="refused, it has more than 50000 tuples, which no snapshot needs"):
        load(written(tmp_path, b"\x80\x02" + DEEP))


def test_a_storage_that_would_exhaust_the_stack_is_refused(tmp_path):
    buffer = io.BytesIO()
    torch.save(0, buffer, _use_new_zipfile_serialization=False)
    whole = buffer.getvalue()
    value = whole.index(b"\x80\x02K\x00.")  # the pickle of 0
    content = whole[:value] + b"\x80\x02" + DEEP + whole[value + 5 :]
    load_from_bytes = importlib.import_module("torch.storage")._load_from_bytes
    with pytest.raises(CheckpointError, match="refused, it has more than 50000 tuples"):
        load(written(tmp_path, Call(load_from_bytes, content)))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.pkl: cannot be read"):
        load(tmp_path / "absent.pkl")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
        np.arange(3, dtype=">f4"),
        np.arange(3, dtype=np.int32),
        np.zeros((0, 3), np.float32),
        np.array(2.5, np.float32),
    ],
)
def test_arrays_of_numbers_come_out_as_they_were(tmp_path, array, protocol):
    path = tmp_path / "snapshot.pkl"
    path.write_bytes(aged(pickle.dumps(array, protocol=protocol), protocol))
    held = load(path)
    assert isinstance(held, Held)
    assert held.tensor.dtype == torch.from_numpy(array.astype(array.dtype.newbyteorder("="))).dtype
    assert np.array_equal(held.tensor.numpy(), array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scalars_and_containers_come_out_as_plain_values(tmp_path, protocol):
    value = collections.OrderedDict(a=np.float32(0.1), b=[np.int64(3), (None, True)], c="text")
    value |= {"set": {1, "é"}, "empty": set(), "bytes": [b"", b"a\xff\0"], "more": [bytearray(), bytearray(b"\xfe")]}
    path = tmp_path / "snapshot.pkl"
    path.write_bytes(aged(pickle.dumps(value, protocol=protocol), protocol))
    assert load(path) == {**value, "a": float(np.float32(0.1)), "b": [3, (None, True)]}


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("refused, it misuses set; nothing in it was executed", Call(set, "text")),
        ("refused, it misuses set; nothing in it was executed", Call(set, ([1],))),
        ("is damaged or no pickle (unhashable type: 'list'); fetch it again", Call(set, [[1]])),
        ("refused, it misuses bytes; nothing in it was executed", Call(bytes, 1 << 60)),
        ("refused, it misuses bytearray; nothing in it was executed", Call(bytearray, 1 << 60)),
        ("refused, it misuses bytearray; nothing in it was executed", Call(bytearray, "text", "utf-16")),
        ("refused, it misuses _codecs.encode; nothing in it was executed", Call(codecs.encode, "text", "rot13")),
        ("refused, it misuses _codecs.encode; nothing in it was executed", Call(codecs.encode, b"text", "latin1")),
        (
            "refused, it misuses torch.storage; nothing in it was executed",
            Call(importlib.import_module("torch.storage")._load_from_bytes, 3),
        ),
    ],
)
def test_what_makes_containers_makes_nothing_else(tmp_path, said, value):
    with pytest.raises(CheckpointError) as caught:
        load(written(tmp_path, value))
    assert str(caught.value) == f"{tmp_path / 'snapshot.pkl'}: {said}"


def test_bytes_as_protocol_2_writes_them(tmp_path):
    assert load(written(tmp_path, Call(bytearray, "a\xfe", "latin-1"))) == bytearray(b"a\xfe")
    assert load(written(tmp_path, Call(codecs.encode, "a\xfe", "latin1"))) == b"a\xfe"


def test_as_many_tuples_as_the_limit_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickler, "TUPLES", 3)
    value = [(1,), (2, 3), (4, 5, 6)]
    assert load(written(tmp_path, value)) == value
    with pytest.raises(CheckpointError, match="it has more than 3 tuples"):
        load(written(tmp_path, [*value, (7,)]))


def test_a_tensorflow_network_is_what_its_state_says(tmp_path):
    assert load(written(tmp_path, b"\x80\x02cdnnlib.tflib.network\nNetwork\n)\x81}b.")).state == {}


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
def test_tensors_and_parameters_come_out_as_they_were(tmp_path, dtype, protocol):
    base = torch.arange(24).to(dtype).reshape(4, 6)
    values = {"whole": base, "part": base[1:3, ::2], "turned": base.T, "scalar": torch.tensor(7).to(dtype)}
    if dtype.is_floating_point:
        values["parameter"] = torch.nn.Parameter(base)
    found = load(written(tmp_path, pickle.dumps(values, protocol=protocol)))
    for name, value in values.items():
        assert found[name].tensor.dtype == dtype
        assert torch.equal(found[name].tensor, value)


@pytest.mark.parametrize(
    "argument",
    [
        b"K\x01",  # a number
        b"}",  # a dictionary without a state
        b"}X\x05\x00\x00\x00stateK\x01s",  # a dictionary whose state is a number
    ],
)
def test_a_persistent_object_has_a_dictionary_as_its_state(tmp_path, argument):
    pickled = named("torch_utils.persistence", "_reconstruct_persistent_obj", argument + b"\x85")
    with pytest.raises(CheckpointError, match=r"it misuses torch_utils\.persistence"):
        load(written(tmp_path, pickled))


def test_a_tensorflow_network_has_a_dictionary_as_its_state(tmp_path):
    pickled = b"\x80\x02cdnnlib.tflib.network\nNetwork\n)\x81K\x01b."
    with pytest.raises(CheckpointError, match=r"it misuses dnnlib\.tflib\.network\.Network"):
        load(written(tmp_path, pickled))
