"""Waiting for the results of a Dask cluster, whose workers may come and go."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mixexp.exceptions import ClusterError

# Seconds after which it is looked whether there is still a worker.
_LOOK = 2.0


class Cluster(NamedTuple):
    """The client in use, and how long to wait where it has no worker.

    Parameters
    ----------
    client : distributed.Client
    patience : float
        Seconds.
    """

    client: Any
    patience: float

    def results(self, tasks: Sequence[Any]) -> Iterator[Any]:
        """Yield the results of delayed tasks in order; those not asked for any more are cancelled.

        Raises
        ------
        ClusterError
            If there is no worker or no scheduler left, or a task brings its workers down.
        Exception
            As a task raised it.
        """
        from distributed import KilledWorker

        futures = self.client.compute(list(tasks))[::-1]
        while futures:
            future = futures.pop()
            self._wait_for(future)
            try:
                found = future.result()
            except KilledWorker as error:
                raise ClusterError(
                    f"Workers died again and again at the task {error.task}, whose last part is "
                    "the number of its partition. Give more memory to workers, or cut the rows "
                    "into smaller partitions."
                ) from error
            del future
            yield found

    def _wait_for(self, future: Any) -> None:
        from concurrent.futures import CancelledError

        from distributed import wait

        last_seen = time.monotonic()
        while True:
            try:
                wait(future, timeout=min(_LOOK, self.patience))
                if not future.cancelled():
                    return
                raise ClusterError(_SCHEDULER_GONE)
            except TimeoutError:
                if self._has_workers():
                    last_seen = time.monotonic()
                elif time.monotonic() - last_seen > self.patience:
                    raise ClusterError(
                        f"The cluster has had no worker for {self.patience:g} seconds. Start "
                        "workers and fit again; a Checkpoint is as it was written last."
                    ) from None
            except (CancelledError, OSError) as error:
                raise ClusterError(_SCHEDULER_GONE) from error

    def _has_workers(self) -> bool:
        return bool(self.client.scheduler_info(n_workers=-1)["workers"])


_SCHEDULER_GONE = (
    "The scheduler of the cluster is gone, or the tasks of the fit were cancelled. Connect a "
    "client to a cluster and fit again; a Checkpoint is as it was written last."
)
