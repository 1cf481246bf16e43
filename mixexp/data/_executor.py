"""Threads over blocks: kernels and NumPy release the GIL, results come back in order."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


def map_blocks(
    function: Callable[[Item], Result], blocks: Sequence[Item], n_threads: int
) -> Iterator[Result]:
    """Apply a function to every block, on several threads if there are several blocks.

    Parameters
    ----------
    function : callable
        Must not call `map_blocks` itself.
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
    """The process-wide limit of BLAS threads, counted, for fits may run side by side.

    The first to enter sets the limit and the last to leave lifts it: were each to restore
    what it found, two overlapping fits would leave the limit behind for good. Both happen on
    a thread kept for it, because threadpoolctl heeds the thread that set a limit alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keeper: ThreadPoolExecutor | None = None
        self._n_inside = 0
        self._limiter: AbstractContextManager[object] | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._n_inside += 1
            if self._n_inside == 1:
                self._keeper = self._keeper or ThreadPoolExecutor(1, "mixexp-blas")
                self._limiter = self._keeper.submit(_limit_blas).result()

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0 and self._limiter is not None and self._keeper is not None:
                self._keeper.submit(self._limiter.__exit__, None, None, None).result()
                self._limiter = None


_blas_limit = _BlasLimit()


def single_threaded_blas() -> AbstractContextManager[None]:
    """Return a context in which matrix products use one thread, so that bits do not vary."""
    return _blas_limit


def _limit_blas() -> AbstractContextManager[object]:
    return _controller().limit(limits=1, user_api="blas")


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
