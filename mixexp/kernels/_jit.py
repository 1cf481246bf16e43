"""The one decorator behind every kernel: numba with a disk cache that cannot hurt.

Plain ``njit(cache=True)`` raises at import where neither the package nor the home
directory is writable, and lets a full disk or a truncated cache file surface in the
middle of a user's ``fit``. Here each of these costs a compilation and nothing else.
"""

import contextlib
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numba

# What a truncated, garbled or foreign cache file, or a full disk, has been seen to raise.
_CACHE_FAULTS = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ImportError,
    RuntimeError,
    MemoryError,
    pickle.PickleError,
)


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop over arrays on its first call, from the disk cache if there is one.

    Parameters
    ----------
    function : callable
        A plain module-level function of float64 or int64 arrays and scalars.

    Returns
    -------
    callable
        The compiled function; it releases the GIL while it runs.
    """
    return _compile(function, set())


def fused_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile as `kernel` does, with products and sums in one rounding where there is a choice.

    That halves the time of polynomials. It takes nothing for granted of NaN and infinities.
    """
    return _compile(function, {"contract"})


def _compile(function: Callable[..., Any], fastmath: set[str]) -> Callable[..., Any]:
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": fastmath,
        "no_cfunc_wrapper": True,  # nobody calls kernels by way of C; a tenth of compilation
    }
    try:
        dispatcher = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no directory to cache in
        return numba.njit(**options)(function)
    cache: Any = getattr(dispatcher, "_cache", None)
    if hasattr(cache, "_guard_against_spurious_io_errors"):
        cache._guard_against_spurious_io_errors = lambda: _tolerate_faults(cache)
    return dispatcher


@contextlib.contextmanager
def _tolerate_faults(cache: Any) -> Iterator[None]:
    try:
        yield
    except _CACHE_FAULTS as fault:
        # An unreadable index would fail again on every later run: start it afresh.
        with contextlib.suppress(*_CACHE_FAULTS):
            cache.flush()
        warnings.warn(
            f"mixexp could not use numba's cache in {cache.cache_path} "
            f"({type(fault).__name__}: {fault}); kernels are compiled again in this process.",
            RuntimeWarning,
            stacklevel=2,
        )
