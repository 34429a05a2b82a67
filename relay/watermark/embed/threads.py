"""How many threads the libraries take that work on arrays."""

import os

_NAMES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def take_one_thread() -> None:
    """Keep libraries that are imported from now on, here and in processes begun from here, to one thread each.

    The arrays here are small: shared out over cores, most of the time goes into waiting for each other.
    """
    os.environ.update(dict.fromkeys(_NAMES, "1"))
