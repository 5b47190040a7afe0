#!/usr/bin/env bash
# Memory of a tensor on the CPU comes from the C library. glibc takes blocks above a limit
# from the kernel and gives them back when they are freed. One would guess that a program
# that frees and takes tensors of one size again and again soon has them at hand, and up to
# 32 MiB that is so: the limit adapts to what has been freed. But never beyond: from 32 MiB
# on every new tensor is mapped and cleared anew, 4 KiB at a time, and writing it takes ten
# times as long. Activations of [4, 512, 64, 64] float32 are exactly 32 MiB; in a training
# that has them, most elementwise operations on the CPU take longer to get their memory than
# to compute. MALLOC_MMAP_THRESHOLD_ above the size of the tensors, set before the program
# starts, or mallopt(M_MMAP_MAX, 0) with a large M_TRIM_THRESHOLD inside it, end that.
# Counted are page faults of 20 tensors made and filled one after another; times only as
# illustration. Seen with torch 2.13.0 (CPU), Python 3.11, glibc 2.36, Linux 6, 4 KiB pages.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > look.py <<'PY'
import ctypes, platform, resource, sys, time
import torch

name, size, expected = sys.argv[1], int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
if name == "mallopt":
    library = ctypes.CDLL(None)
    M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
    library.mallopt(M_MMAP_MAX, 0)
    library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
for _ in range(20):  # until the heap has grown
    torch.empty(size << 18).fill_(1)
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.process_time()
for _ in range(20):
    torch.empty(size << 18).fill_(1)
seconds = (time.process_time() - start) / 20
faults = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20
pages = size * 256
print(f"{name:38} {size:3} MiB  {faults:8.0f} page faults of {pages} pages  {1000 * seconds:6.2f} ms a tensor")
found = "every" if faults > 0.9 * pages else "none" if faults < 0.1 * pages else "some"
if found != expected:
    raise SystemExit(f"Changed ({' '.join(platform.libc_ver())}): {found} page faults, expected {expected}.")
PY
venv/bin/python -c "import platform, torch; print('torch', torch.__version__, *platform.libc_ver())"
venv/bin/python look.py "defaults" 31 none
venv/bin/python look.py "defaults" 32 every
venv/bin/python look.py "defaults" 256 every
MALLOC_MMAP_THRESHOLD_=1073741824 venv/bin/python look.py "MALLOC_MMAP_THRESHOLD_=1 GiB" 256 none
venv/bin/python look.py "mallopt" 256 none
