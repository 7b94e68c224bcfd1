"""How the threads of a matrix product wait for each other.

GNU's OpenMP, which torch uses on Linux, lets a thread that is done spin until all are. On a machine of its own that
saves microseconds. Beside any other busy process the spinning threads keep the last one from its processor, and
everything takes a hundred times as long. Knows the environment; imports no torch.
"""

import os
import sys

__all__ = ["SPINS", "wait_asleep"]

#: Turns a thread spins before it sleeps; GNU's default is 300,000. One training step of the embedded model on two cores
#: of an AMD EPYC, milliseconds: 55 by default and 51 with this, 5,500 and 120 while another process is busy.
SPINS = 1000


def wait_asleep() -> None:
    """Let waiting threads sleep soon; where nothing else was said, and before torch is imported, or it has no effect.

    See https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html.
    """
    if "torch" not in sys.modules and not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
