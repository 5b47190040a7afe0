#!/usr/bin/env bash
# onnxruntime compares the shape of every input with that in the graph and refuses others
# ("Invalid rank for input"), but not where the graph says that an input has no
# dimensions. There it takes an array of any shape: two numbers in place of one are
# multiplied in by broadcasting, and the output has another rank than the graph declares,
# with a line on standard error and no exception. The one value that fits, a number of
# numpy (numpy.float32) or of Python, is refused; it has to be numpy.array(number). So a
# graph with such an input, e.g. the strength of truncation of a generator, makes wrong
# pictures of a wrong call, and the caller has to check. Seen with onnxruntime 1.32.0 and
# onnx 1.23.2 on Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > look.py <<'PY'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

print("onnxruntime", onnxruntime.__version__)
real = TensorProto.FLOAT
graph = helper.make_graph(
    [helper.make_node("Mul", ["x", "factor"], ["y"])],
    "scaled",
    [helper.make_tensor_value_info("x", real, [2]), helper.make_tensor_value_info("factor", real, [])],
    [helper.make_tensor_value_info("y", real, [2])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
session = onnxruntime.InferenceSession(model.SerializeToString(), options)


def said(x, factor):
    try:
        return str(session.run(None, {"x": x, "factor": factor})[0].shape)
    except Exception as error:
        return type(error).__name__


x = np.ones(2, np.float32)
seen = {
    "x [2], factor: array without dimensions": said(x, np.array(2, np.float32)),
    "x [2], factor: number of numpy": said(x, np.float32(2)),
    "x [2], factor: number of Python": said(x, 2.0),
    "x [2], factor: array [2]": said(x, np.array([2, 3], np.float32)),
    "x [2], factor: array [2, 1]": said(x, np.array([[2], [3]], np.float32)),
    "x [1, 2], factor: array without dimensions": said(x[None], np.array(2, np.float32)),
}
for call, result in seen.items():
    print(f"{call}: {result}")
expected = ["(2,)", "RuntimeError", "RuntimeError", "(2,)", "(2, 2)", "InvalidArgument"]
if list(seen.values()) != expected:
    raise SystemExit(f"Changed: {list(seen.values())} in place of {expected}")
PY
venv/bin/python look.py
