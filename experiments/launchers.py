"""Where runs are made: processes of this machine, or Ray's cluster."""

from __future__ import annotations

import functools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager

Submit = Callable[..., Future]


def _die_with_parent() -> None:
    """In a worker: stop when the main process is gone, so that a new one finds the folders at rest."""

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def local(jobs: int) -> Iterator[Submit]:
    """Processes of this machine."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_die_with_parent)
    try:
        yield pool.submit
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def ray(jobs: int) -> Iterator[Submit]:
    """Ray's cluster, where one is running; else one of this machine."""
    try:
        import ray
    except ImportError as error:
        raise ImportError('the launcher ray needs Ray: pip install "textgym[ray]"') from error
    variables = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": os.getcwd()}
    ray.init(num_cpus=jobs if "RAY_ADDRESS" not in os.environ else None, runtime_env={"env_vars": variables})

    @functools.cache
    def remote(call):
        return ray.remote(num_cpus=1)(call)

    try:
        yield lambda call, *arguments: remote(call).remote(*arguments).future()
    finally:
        ray.shutdown()


LAUNCHERS = {"local": local, "ray": ray}
