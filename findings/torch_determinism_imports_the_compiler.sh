#!/usr/bin/env bash
# One would guess that switching deterministic algorithms on sets a flag, and that making
# an optimiser allocates nothing but its state. In torch 2.13.0 both import parts of the
# compiler, Dynamo and Inductor, which a program may never use: use_deterministic_algorithms
# to set a flag of Inductor, too, and the first optimiser of a process for a decorator that
# keeps its methods out of compilation. That takes about as long as importing torch, and 70
# MB, in every short process: samplers, evaluations, jobs of a workflow.
# set_deterministic_debug_mode("error") sets the same flag of the library without this;
# it does not set torch._inductor.config.deterministic, which matters to compiled code.
# Seen with torch 2.13.0 (CPU) and numpy 2.4.6 on Python 3.11, Linux.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > look.py <<'PY'
import resource, sys, time
import torch

COMPILER = ("torch._dynamo", "torch._inductor")
CALLS = {
    "debug mode": lambda: torch.set_deterministic_debug_mode("error"),
    "algorithms": lambda: torch.use_deterministic_algorithms(True),
    "optimiser": lambda: torch.optim.Adam([torch.zeros(1, requires_grad=True)]),
}
before = [name for name in COMPILER if name in sys.modules]
start = time.process_time()
CALLS[sys.argv[1]]()
seconds = time.process_time() - start
after = [name for name in COMPILER if name in sys.modules]
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
flag = torch.are_deterministic_algorithms_enabled()
print(f"{sys.argv[1]:10}  deterministic: {flag!s:5}  imported: {', '.join(after) or 'nothing':30}  {seconds:.1f} s, {memory} MB in all")
expected = {"debug mode": ([], True), "algorithms": (list(COMPILER), True), "optimiser": (list(COMPILER), False)}[sys.argv[1]]
if before or (after, flag) != expected:
    raise SystemExit(f"Changed: before {before}, expected {expected}.")
PY
venv/bin/python -c "import torch; print('torch', torch.__version__)"
for call in "debug mode" algorithms optimiser; do
    venv/bin/python look.py "$call"
done
