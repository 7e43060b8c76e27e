"""Engines that run batches of quanta on other machines: Dask and Parsl."""

from __future__ import annotations

__all__ = ("DaskEngine", "Engine", "ParslEngine")

import contextlib
import logging
import queue
import runpy
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, Self

from ..paths import PathError, local_path
from .errors import RunError
from .remote import Batch, run_batch, stop_servers

if TYPE_CHECKING:
    from collections.abc import Mapping

    Results = tuple[float, list[tuple[str, Mapping[str, Any] | None]]]

_LOG = logging.getLogger(__name__)

# Seconds in which a scheduler has to answer, and between two questions how many workers there are.
_LONGEST_ANSWER = 30.0
_BETWEEN_COUNTS = 1.0

# Seconds in which an engine has to say how many workers it has, on however busy a machine; as Parsl's workers
# wait for a sign of life.
_LONGEST_SILENCE = 120.0


class Submitted(Protocol):
    """A batch that an engine has been given."""

    def result(self, timeout: float | None = None) -> Results:
        """Return its results, or raise what has become of it."""


class Engine(ABC):
    """An engine that is ready to take batches."""

    def __init__(self, name: str) -> None:
        self.name = name
        """What people know it by."""
        self.is_lost = False
        """Whether it has not answered, and is not asked any more."""
        self._slots = 0
        self._counted = float("-inf")

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *exc_info: object) -> None:
        """Let go of the engine."""

    def slots(self) -> int:
        """Return how many batches its workers run at a time, as was so a moment ago."""
        if time.monotonic() >= self._counted + _BETWEEN_COUNTS:
            self._slots = self._ask_for_slots()
            self._counted = time.monotonic()
        return self._slots

    def _ask_for_slots(self) -> int:
        """Count them, in a thread that is left alone if there is no answer; raise `RunError` then."""
        answers: queue.SimpleQueue[int | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._count_slots())
            except Exception as error:
                answers.put(error)

        threading.Thread(target=ask, name="count-slots", daemon=True).start()
        until = time.monotonic() + _LONGEST_SILENCE
        reason = f"it has said nothing for {_LONGEST_SILENCE:.0f} s"
        while time.monotonic() < until:
            try:
                answer = answers.get(timeout=_BETWEEN_COUNTS)
            except queue.Empty:
                if (fault := self.fault()) is None:
                    continue
                reason = fault
                break
            if isinstance(answer, int):
                return answer
            reason = f"{type(answer).__name__}: {answer}"
            break
        self.is_lost = True
        raise RunError(f"{self.name} does not answer any more: {reason}")

    def fault(self) -> str | None:
        """Return what is wrong with the engine, as far as is known without asking it."""
        return None

    @abstractmethod
    def _count_slots(self) -> int:
        """Ask how many batches its workers run at a time."""

    @abstractmethod
    def submit(self, batch: Batch, ended: Callable[[], object]) -> Submitted:
        """Submit a batch. When it has ended, a function is called, in any thread."""

    @abstractmethod
    def stop(self) -> None:
        """End what runs."""


class DaskEngine(Engine):
    """The workers of a Dask scheduler."""

    def __init__(self, address: str):
        super().__init__(f"the Dask scheduler {address}")
        try:
            from distributed import Client
            from distributed.comm.addressing import get_address_host_port
        except ModuleNotFoundError as error:
            raise RunError(f"{error}; Dask is needed: pip install 'quantum-butler[dask]'") from error
        try:
            # A client that fails at this leaves something behind that waits for long.
            get_address_host_port(address)
            self._client: Any = Client(  # type: ignore[no-untyped-call]
                address, timeout=_LONGEST_ANSWER, set_as_default=False
            )
        except (OSError, ValueError) as error:
            raise RunError(f"the Dask scheduler {address} does not answer: {error}") from error

    def __exit__(self, *exc_info: object) -> None:
        self._client.close(timeout=0 if self.is_lost else None)

    def _count_slots(self) -> int:
        return sum(self._client.nthreads().values())

    def submit(self, batch: Batch, ended: Callable[[], object]) -> Submitted:
        """Give it a batch, which is not to be tried again by itself."""
        future = self._client.submit(run_batch, batch, key=f"quanta-{batch.name}", pure=False, retries=0)
        future.add_done_callback(lambda _: ended())
        submitted: Submitted = future
        return submitted

    def stop(self) -> None:
        """End the processes that run quanta."""
        # A scheduler that does not answer any more has nothing to end.
        if self.is_lost:
            return
        with contextlib.suppress(Exception):
            self._client.run(stop_servers)


class ParslEngine(Engine):
    """The executors of a Parsl configuration."""

    def __init__(self, config: str):
        super().__init__("Parsl")
        try:
            import parsl
        except ModuleNotFoundError as error:
            raise RunError(f"{error}; Parsl is needed: pip install 'quantum-butler[parsl]'") from error
        self._kernel = parsl.DataFlowKernel(_read_config(config, parsl.Config))

    def __exit__(self, *exc_info: object) -> None:
        # What has to be asked for would be waited for without end.
        if self.is_lost:
            return
        try:
            self._kernel.cleanup()
        except Exception as error:
            # What has been run is noted, and none of it is wrong because Parsl's own end is.
            _LOG.warning("Parsl has not ended as it should: %s: %s", type(error).__name__, error)

    def _executors(self) -> Iterator[tuple[str, Any]]:
        """Return the executors that run batches."""
        return (item for item in self._kernel.executors.items() if item[0] != "_parsl_internal")

    def _count_slots(self) -> int:
        count = 0
        for _, executor in self._executors():
            if (managers := getattr(executor, "connected_managers", None)) is not None:
                count += sum(one["worker_count"] for one in managers() if one["active"])
            else:
                count += getattr(executor, "max_threads", 1)
        # It starts workers when there is something for them to do.
        return max(count, 1)

    def fault(self) -> str | None:
        """Return which executor has lost the process that speaks to its workers."""
        for label, executor in self._executors():
            process = getattr(executor, "interchange_proc", None)
            if process is not None and (code := process.poll()) is not None:
                return f"the interchange of executor {label} has ended with exit code {code}"
        return None

    def submit(self, batch: Batch, ended: Callable[[], object]) -> Submitted:
        """Give it a batch."""
        labels = [label for label, _ in self._executors()]
        future = self._kernel.submit(run_batch, (batch,), labels, False, (), {})
        future.add_done_callback(lambda _: ended())
        submitted: Submitted = future
        return submitted

    def stop(self) -> None:
        """End the workers, with the processes that run quanta; they notice it."""
        for _, executor in self._executors():
            if not self.is_lost:
                executor.shutdown()
            elif (provider := getattr(executor, "provider", None)) is not None:
                # Without the interchange, which would have told them.
                provider.cancel(list(executor.blocks_to_job_id.values()))


def _read_config(config: str, kind: type) -> Any:
    """Return the Parsl configuration that a Python file makes: its global name ``config``."""
    try:
        found = runpy.run_path(local_path(config)).get("config")
    except PathError as error:
        raise RunError(str(error)) from error
    except Exception as error:
        # It is a program, and may raise anything.
        raise RunError(
            f"{config}: no Parsl configuration can be had from it: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(found, kind):
        raise RunError(f"{config}: there is no parsl.Config called config in it")
    return found
