"""The one decorator behind every kernel: numba with a disk cache that cannot hurt.

Plain ``njit(cache=True)`` raises at import where neither the package nor the home
directory is writable, and lets a full disk or a truncated cache file surface in the
middle of a user's ``fit``. Processes that compile a kernel for different arguments at once
may each be told to use the same file, and later ones run one's code on the other's arguments.
Here each of these costs a compilation and nothing else.
"""

import contextlib
import hashlib
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numba
from numba.core.caching import IndexDataCacheFile

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


def part_of_kernels(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile as `kernel` does what kernels alone call: without a way in from Python.

    A Python function that calls it ends the process.
    """
    return _compile(function, set(), no_cpython_wrapper=True)


def part_of_fused_kernels(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile as `part_of_kernels` does, with the roundings of `fused_kernel`."""
    return _compile(function, {"contract"}, no_cpython_wrapper=True)


def _compile(
    function: Callable[..., Any], fastmath: set[str], **wrappers: bool
) -> Callable[..., Any]:
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": fastmath,
        "no_cfunc_wrapper": True,  # nobody calls kernels by way of C; a tenth of compilation
        **wrappers,
    }
    try:
        dispatcher = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no directory to cache in
        return numba.njit(**options)(function)
    cache: Any = getattr(dispatcher, "_cache", None)
    if hasattr(cache, "_guard_against_spurious_io_errors"):
        cache._guard_against_spurious_io_errors = lambda: _tolerate_faults(cache)
    if hasattr(cache, "_cache_file"):
        cache._cache_file.__class__ = SafeCacheFile
    return dispatcher


class SafeCacheFile(IndexDataCacheFile):  # type: ignore[misc]
    """A cache whose files are named after what is in them.

    numba numbers them by an index that another process may be about to replace. Two processes
    could so write different code to one file; here the worst is an entry that is lost.
    """

    def save(self, key: Any, data: Any) -> None:
        """Store compiled code, before the index says that it is there."""
        digest = hashlib.sha256(repr((self._source_stamp, key)).encode()).hexdigest()
        name = self._data_name(int(digest[:12], 16))
        self._save_data(name, data)
        self._save_index({**self._load_index(), key: name})


# Where a cache has failed: every kernel meets the same fault, and one warning tells it.
_failed: set[str] = set()


@contextlib.contextmanager
def _tolerate_faults(cache: Any) -> Iterator[None]:
    try:
        yield
    except _CACHE_FAULTS as fault:
        # An unreadable index would fail again on every later run: start it afresh.
        with contextlib.suppress(*_CACHE_FAULTS):
            cache.flush()
        place = cache.cache_path
        if place not in _failed:
            _failed.add(place)
            warnings.warn(_fault_in_words(place, fault), RuntimeWarning, stacklevel=1)


def _fault_in_words(place: str, fault: BaseException) -> str:
    if isinstance(fault, OSError):
        cause = (
            f"cannot be written in {place} ({fault.strerror or fault}). Free space there, or set "
            "NUMBA_CACHE_DIR to a directory with space"
        )
    else:
        cause = f"in {place} has a file that cannot be read ({type(fault).__name__}: {fault})"
    return (
        f"The cache of compiled kernels {cause}; until then they are compiled again in every "
        "process, which takes some seconds and changes no result."
    )
