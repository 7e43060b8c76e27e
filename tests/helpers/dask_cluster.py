"""A real Dask cluster of two processes."""

from __future__ import annotations

__all__ = ("two_workers",)

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster, utils


@contextmanager
def two_workers(folder: Path) -> Iterator[tuple[Any, Any]]:
    """Start a cluster; give it, and a client of it, and leave no thread behind."""
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=str(folder / "dask"),
        ) as cluster,
        Client(cluster) as client,
    ):
        yield cluster, client
    # Its thread would keep whoever comes later in this process from forking.
    utils._offload_executor.shutdown()
    utils._offload_executor = ThreadPoolExecutor(1, thread_name_prefix="Dask-Offload")
