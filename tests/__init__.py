"""Tests of the project; importing them sets one thread for every test and every process that a test starts.

Networks of 8 channels run several times faster on one thread than on two, and pytest-xdist keeps every core busy.
torch and NumPy read these variables when they are imported, which conftest.py does after this.
"""

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
