"""Threads over blocks: kernels and NumPy release the GIL, results come back in order."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
_lock = threading.Lock()


def map_blocks(
    function: Callable[[Item], Result], blocks: Sequence[Item], n_threads: int
) -> list[Result]:
    """Apply a function to every block, on several threads if there are several blocks.

    Parameters
    ----------
    function : callable
        Must not call `map_blocks` itself.
    blocks : sequence
    n_threads : int

    Returns
    -------
    list
        Results in the order of the blocks, whatever the order of their completion.
    """
    if n_threads == 1 or len(blocks) == 1:
        return [function(block) for block in blocks]
    return list(_pool(n_threads).map(function, blocks))


def _pool(n_threads: int) -> ThreadPoolExecutor:
    # Keyed by process: a fork inherits the pool's object, but not its threads.
    key = (os.getpid(), n_threads)
    with _lock:
        if key not in _pools:
            _pools[key] = ThreadPoolExecutor(n_threads, thread_name_prefix="mixexp")
        return _pools[key]


class _BlasLimit:
    """The process-wide limit of BLAS threads, counted, for fits may run side by side.

    The first to enter sets the limit and the last to leave lifts it: were each to restore
    what it found, two overlapping fits would leave the limit behind for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._limiter: AbstractContextManager[object] | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._n_inside += 1
            if self._n_inside == 1:
                self._limiter = _controller().limit(limits=1, user_api="blas")

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0 and self._limiter is not None:
                self._limiter.__exit__(None, None, None)
                self._limiter = None


_blas_limit = _BlasLimit()


def single_threaded_blas() -> AbstractContextManager[None]:
    """Return a context in which matrix products use one thread, so that bits do not vary."""
    return _blas_limit


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
