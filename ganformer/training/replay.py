"""Functions of tensors whose operations are recorded once and then repeated without Python.

Half of a step of a small network is Python and the bookkeeping of autograd. The operations of a loss and of its
gradients are the same in each step, so they are recorded beneath autograd and repeated by TorchScript's interpreter:
the same operators in the same order, on the same random numbers, hence the same bits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor
from torch.jit._fuser import optimized_execution
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

FIRST_CALLS = 2  # calls before a function is recorded: by then everything exists that is made once
MEMORY_FORMATS = {torch.contiguous_format: 0, torch.preserve_format: 1, torch.channels_last: 2}  # TorchScript's numbers
ATEN = torch.ops.aten


class Replayed:
    """`function` of tensors, repeated from a recording after its first calls.

    The function must do the same operations on the same parameters and buffers in each call with inputs of the same
    shapes. Two calls in a row are recorded to make sure of it: if they differ (by a Python number that changes, or a
    buffer that is replaced), or if an operation waits for a value, a line says so, and `function` goes on being called.
    Its results are tensors without gradients, or None, in tuples, lists and dictionaries. `name` is the function's in
    that line.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function = function
        self._name = name
        self._calls: dict[Any, _Calls] = {}

    def __call__(self, *inputs: Tensor) -> Any:
        key = tuple((value.shape, value.stride(), value.dtype) for value in inputs)
        calls = self._calls.setdefault(key, _Calls())
        if calls.program is not None:
            return calls.program(inputs)
        calls.count += 1
        if calls.count <= FIRST_CALLS or calls.is_refused:
            return self._function(*inputs)
        with Recording(inputs) as recording:
            results = self._function(*inputs)
            recording.end(results)
        try:
            if calls.recording is not None:
                calls.program = Program(recording.like(calls.recording))
            calls.recording = recording if calls.program is None else None
        except _CannotRepeatError as error:
            calls.is_refused, calls.recording = True, None
            print(f"{self._name} is computed in Python, slower, as {error}", flush=True)
        return results

    @property
    def programs(self) -> list["Program"]:
        """Recordings that are repeated, one for each shape of the inputs."""
        return [calls.program for calls in self._calls.values() if calls.program is not None]


class _CannotRepeatError(Exception):
    """A function cannot be repeated from a recording."""


@dataclass
class _Calls:
    """Calls of a function with inputs of certain shapes."""

    count: int = 0
    is_refused: bool = False
    recording: "Recording | None" = None
    program: "Program | None" = None


@dataclass(frozen=True)
class Slot:
    """Place of a tensor in a recording."""

    number: int


@dataclass(frozen=True)
class Operation:
    """An operator, its arguments in the order of its schema, and its results; each tensor is a `Slot`."""

    operator: Any
    arguments: tuple[Any, ...]
    results: Any


class Recording(TorchDispatchMode):
    """The operations inside this context, on `inputs` and on tensors that were there before; keeps no other alive."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self.captured: dict[Slot, Tensor] = {}
        """Tensors that were there before."""
        self.results: list[Slot | None] = []
        self.structure: Any = None
        """Structure of the results, of `torch.utils._pytree`."""
        self._slots = WeakTensorKeyDictionary()
        self._count = 0
        self._obstacle = ""
        self.inputs = [self._new(value) for value in inputs]

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        arguments = _each_tensor(self._slot, _in_order(operator, args, kwargs or {}))
        results = operator(*args, **(kwargs or {}))
        if _waits(operator, args):
            self._obstacle = self._obstacle or f"{operator} waits for values"
        if operator is ATEN.detach.default:
            self._slots[results] = self._slots[args[0]]
        else:
            slots = _each_tensor(self._result, results)
            self.operations.append(Operation(operator, arguments, slots))
        return results

    def end(self, results: Any) -> None:
        """Take note of the results of the function."""
        leaves, self.structure = pytree.tree_flatten(results)
        self.results = [None if value is None else self._slot(value) for value in leaves]

    def like(self, other: "Recording") -> "Recording":
        """Return this recording; raise _CannotRepeatError if `other`, of an earlier call, differs."""
        if obstacle := self._obstacle or other._obstacle:
            raise _CannotRepeatError(obstacle)
        for now, before in zip_longest(self.operations, other.operations):
            if now != before:
                raise _CannotRepeatError(f"its operations change from call to call: {before}, then {now}")
        made_of_numbers = {op.arguments[0] for op in self.operations if op.operator is ATEN.lift_fresh.default}
        for slot, tensor in self.captured.items():
            earlier = other.captured[slot]
            if earlier is not tensor and not (slot in made_of_numbers and torch.equal(earlier, tensor)):
                raise _CannotRepeatError(f"it uses another tensor of shape {[*tensor.shape]} in each call")
        return self

    def _slot(self, tensor: Tensor) -> Slot:
        """Return the slot of an argument or result; a tensor that no operation made was there before."""
        slot: Slot | None = self._slots.get(tensor)
        if slot is None:
            slot = self._new(tensor)
            self.captured[slot] = tensor
        return slot

    def _result(self, tensor: Tensor) -> Slot:
        """Return the slot of what an operation returns: a new one, unless it is one of its arguments."""
        slot: Slot | None = self._slots.get(tensor)
        return self._new(tensor) if slot is None else slot

    def _new(self, tensor: Tensor) -> Slot:
        self._slots[tensor] = slot = Slot(self._count)
        self._count += 1
        return slot


def _each_tensor(change: Callable[[Tensor], Slot], values: Any) -> Any:
    """Return an operator's arguments or results with each tensor, also in lists, changed."""
    if isinstance(values, Tensor):
        return change(values)
    if isinstance(values, list | tuple):
        return type(values)([_each_tensor(change, value) for value in values])
    return values


def _in_order(operator: Any, args: Sequence[Any], kwargs: Any) -> tuple[Any, ...]:
    """Return all arguments of an operator in the order of its schema, the defaults among them."""
    arguments = operator._schema.arguments
    rest = arguments[len(args) :]
    return (*args, *(kwargs.get(argument.name, argument.default_value) for argument in rest))


def _waits(operator: Any, args: Sequence[Any]) -> bool:
    """Return whether Python waits for values that an operator computes, or for a shape that follows from values."""
    if operator is ATEN.index.Tensor:  # of its indices only masks decide about a shape
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    tags = operator.tags
    return torch.Tag.data_dependent_output in tags or torch.Tag.dynamic_output_shape in tags


class Program:
    """A recording as a function, run by TorchScript's interpreter. Raises _CannotRepeatError if it cannot be."""

    def __init__(self, recording: Recording) -> None:
        self._captured = [tensor.detach() for tensor in recording.captured.values()]
        self._results, self._structure = recording.results, recording.structure
        try:
            self._run = torch._C._create_function_from_graph("replayed", _graph(recording))
        except (RuntimeError, TypeError, AttributeError) as error:
            (reason, *_) = str(error).splitlines()
            raise _CannotRepeatError(f"TorchScript cannot run it: {reason}") from error

    def __call__(self, inputs: Sequence[Tensor]) -> Any:
        with torch.no_grad(), optimized_execution(False):
            values = iter(self._run(*inputs, *self._captured))
        leaves = [None if slot is None else next(values) for slot in self._results]
        return pytree.tree_unflatten(leaves, self._structure)


def _graph(recording: Recording) -> Any:
    """Return the graph of a recording: inputs and captured tensors → a tuple of the results that are no None."""
    graph: Any = torch._C.Graph()
    values = {slot: graph.addInput(f"t{slot.number}") for slot in (*recording.inputs, *recording.captured)}
    tensor, tensors = torch._C.TensorType.get(), torch._C.ListType(torch._C.TensorType.get())

    def add(kind: str, arguments: Sequence[Any], results: int, kind_of_result: Any = tensor) -> list[Any]:
        node = graph.insertNode(graph.create(kind, list(arguments), results))
        outputs = list(node.outputs())
        for output in outputs:
            output.setType(kind_of_result)
        return outputs

    def value(argument: Any) -> Any:
        if isinstance(argument, Slot):
            return values[argument]
        if isinstance(argument, list | tuple):
            if any(isinstance(part, Slot) for part in argument):
                return add("prim::ListConstruct", [value(part) for part in argument], 1, tensors)[0]
            if not argument:
                return add("prim::ListConstruct", [], 1, torch._C.ListType(torch._C.IntType.get()))[0]
            argument = list(argument)
        return graph.insertConstant(MEMORY_FORMATS.get(argument, argument) if argument.__hash__ else argument)

    drawn: list[Any] = []
    for operation in recording.operations:
        results = operation.results
        inputs = [value(argument) for argument in operation.arguments]
        name = operation.operator._schema.name
        if isinstance(results, list):
            outputs = add("prim::ListUnpack", add(name, inputs, 1, tensors), len(results))
        else:
            results = results if isinstance(results, tuple) else (results,)
            outputs = add(name, inputs, len(results))
        made = {slot: output for slot, output in zip(results, outputs, strict=True) if slot is not None}
        values |= {slot: output for slot, output in made.items() if slot not in values}
        if torch.Tag.nondeterministic_seeded in operation.operator.tags:
            drawn += made.values()
    kept = [values[slot] for slot in recording.results if slot is not None]
    kept += drawn  # else the interpreter leaves out unused draws, and later ones get their numbers
    (result,) = add("prim::TupleConstruct", kept, 1, torch._C.TupleType([tensor] * len(kept)))
    graph.registerOutput(result)
    return graph
