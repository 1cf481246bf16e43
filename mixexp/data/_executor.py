"""Threads over blocks: kernels and NumPy release the GIL, results come back in order."""

import ctypes
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import lru_cache
from queue import SimpleQueue
from typing import TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")

_LARGEST_KEPT = 31 << 20
_FIX_LIMITS = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_"}
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # numbers of these limits in glibc's malloc.h

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


def run_blocks(
    function: Callable[[Item], Result], blocks: Sequence[Item], n_threads: int
) -> Iterator[Result]:
    """Apply a function to every block, on several threads if there are several blocks.

    Parameters
    ----------
    function : callable
        Must not call `run_blocks` itself.
    blocks : sequence
        Its items may be made when they are asked for: each thread asks for one at a time.
    n_threads : int

    Returns
    -------
    iterator
        Results in the order of the blocks, whatever the order of their completion, so that
        they can be added up as they come.
    """
    if n_threads == 1 or len(blocks) == 1:
        return map(function, blocks)
    # The pool's map takes all of its arguments at once, and so gets numbers.
    return _pool(n_threads).map(lambda at: function(blocks[at]), range(len(blocks)))


def _pool(n_threads: int) -> ThreadPoolExecutor:
    with _lock:
        if n_threads not in _pools:
            _pools[n_threads] = ThreadPoolExecutor(n_threads, thread_name_prefix="mixexp")
        return _pools[n_threads]


class _BlasLimit:
    """The process-wide limit of BLAS threads, set as long as anybody is inside.

    The first to enter sets the limit and the last to leave lifts it: were each to restore
    what it found, two overlapping fits would leave the limit behind for good. Both happen on
    a thread kept for it, because threadpoolctl heeds the thread that set a limit alone, and
    because Ctrl-C interrupts the main thread alone: what the keeper has begun it ends.

    Who is inside is told by living holders and not by a number. One that an interrupt kept from
    leaving counts until it is forgotten, and being forgotten asks the keeper to look again.
    """

    def __init__(self) -> None:
        self.holders: weakref.WeakSet[_Holder] = weakref.WeakSet()
        self._limiter: AbstractContextManager[object] | None = None
        # Unlike a lock, this queue may be used by what the garbage collector calls at any time.
        self.asked: SimpleQueue[threading.Event] = SimpleQueue()
        self._keeper = threading.Thread(target=self._keep, name="mixexp-blas", daemon=True)
        self._starting = threading.Lock()

    def settle(self) -> None:
        """Set or lift the limit, and return when that is done."""
        if not self._keeper.is_alive():
            self._start()
        done = threading.Event()
        self.asked.put(done)
        done.wait()

    def _start(self) -> None:
        # Not for ever, for an interrupt may have kept another from releasing it.
        is_held = self._starting.acquire(timeout=1.0)
        try:
            if not self._keeper.is_alive():
                self._keeper.start()
        finally:
            if is_held:
                self._starting.release()

    def _keep(self) -> None:
        while True:
            done = self.asked.get()
            try:
                self._look()
            finally:
                done.set()

    def _look(self) -> None:
        if len(self.holders) > 0 and self._limiter is None:
            self._limiter = _controller().limit(limits=1, user_api="blas")
        elif len(self.holders) == 0 and self._limiter is not None:
            limiter, self._limiter = self._limiter, None
            limiter.__exit__(None, None, None)


class _Holder:
    """One that wants BLAS on one thread while it is inside; each enters once."""

    def __enter__(self) -> None:
        self._limit = _blas_limit
        # No Python of ours, in which an interrupt would be lost.
        weakref.finalize(self, self._limit.asked.put, threading.Event()).atexit = False
        self._limit.holders.add(self)
        self._limit.settle()

    def __exit__(self, *exception: object) -> None:
        self._limit.holders.discard(self)
        if self._limit is _blas_limit:  # not that of the process that this one was forked from
            self._limit.settle()


_blas_limit = _BlasLimit()


def single_threaded_blas() -> AbstractContextManager[None]:
    """Return a context in which matrix products use one thread, so that bits do not vary."""
    _keep_freed_pages()
    return _Holder()


@lru_cache(maxsize=1)
def _keep_freed_pages() -> None:
    """Let the C library keep the pages of temporary arrays for the next ones.

    glibc gives large blocks back to the system when they are freed, and what is free at the end of
    the heap, and each pass over the rows takes all of its pages anew: 40 % of its time with 16
    experts on 8 192 rows. Both limits follow the largest block that was mapped and freed, up to
    32 MB; this one is never written to, and so takes none itself. But where the environment sets
    a limit, as Dask does for its workers, they follow nothing and have to be set.
    """
    np.empty(_LARGEST_KEPT, dtype=np.uint8)
    if sys.platform == "linux" and not _FIX_LIMITS.isdisjoint(os.environ):
        set_limit = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc alone has it
        if set_limit is not None:
            set_limit(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
            set_limit(_M_TRIM_THRESHOLD, 2 * _LARGEST_KEPT)


def give_back_pages() -> None:
    """Give pages that no array is on back to the system.

    What one thread allocates and another frees leaves gaps between what is still in use, and each
    of many passes over batches adds some. Does nothing where the C library is not glibc.
    """
    trim = _find_trim()
    if trim is not None:
        trim(0)


@lru_cache(maxsize=1)
def _find_trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def _forget_threads() -> None:
    """Start afresh in a forked child, which has the parent's objects but not its threads."""
    global _lock, _blas_limit
    _pools.clear()
    _lock, _blas_limit = threading.Lock(), _BlasLimit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
