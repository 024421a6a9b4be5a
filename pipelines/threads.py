"""One thread a process: on every engine the same, because results depend on it."""

from types import MappingProxyType

# On a CPU small networks train fastest with one thread a process and one process a core, and the
# order of a sum, so its last bit, depends on the number of threads.
ONE_THREAD = MappingProxyType(
    dict.fromkeys(
        (
            "OMP_NUM_THREADS",
            "MKL_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "NUMEXPR_NUM_THREADS",
            "VECLIB_MAXIMUM_THREADS",
        ),
        "1",
    )
)
"""Environment variables of every task."""
