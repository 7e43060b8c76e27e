"""The jobs of a run, on Parsl."""

from __future__ import annotations

__all__ = ("WarmParslWorkflow",)

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Any

from lsst.ctrl.bps.parsl.job import ParslJob
from lsst.ctrl.bps.parsl.workflow import ParslWorkflow
from lsst.utils.logging import getLogger
from parsl.app.app import python_app
from parsl.app.errors import BashExitFailure
from parsl.dataflow.errors import DependencyError

from ..paths import is_there
from .job import run_job
from .state import StateWriter, read_state

_LOG = getLogger(__name__)

# Upstream runs these before Parsl starts, or leaves them out.
_OUTSIDE = frozenset(("pipetaskInit", "mergeExecutionButler"))

# The entries of a configuration that a report shows.
_SHOWN = ("project", "campaign", "payloadName", "operator", "computeSite", "uniqProcName")

# Seconds between two looks whether the run is to be cancelled.
_LOOK = 1.0


class WarmParslWorkflow(ParslWorkflow):
    """Upstream's workflow, with jobs that need not start a Python, and a file that tells of them."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.run_id = self.path
        self._prefix = str(self.site.get_command_prefix() or "")
        self.apps = {executor.label: self._app(executor.label) for executor in self.parsl_config.executors}
        self._state: StateWriter | None = None

    def _app(self, executor: str) -> Callable[[Any], Callable[..., Any]]:
        """Return what makes an app of Parsl from upstream's function for a job, which has the job's label."""

        def decorate(function: Any) -> Any:
            run = functools.partial(run_job, label=function.__name__, prefix=self._prefix)
            run.__name__ = function.__name__  # type: ignore[attr-defined]
            return python_app(
                run,
                executors=[executor],
                cache=True,
                ignore_for_cache=["stderr", "stdout", "parsl_resource_specification"],
            )

        return decorate

    def start(self) -> None:
        """Start the workflow."""
        self._begin()
        try:
            super().start()
        except BaseException:
            self._end("FAILED")
            raise

    def restart(self) -> None:
        """Start it again after an interruption: what has succeeded is not run again.

        A run that was saved and never started has nothing that tells of it yet.
        """
        try:
            before = read_state(self.path).jobs
        except FileNotFoundError:
            before = {}
        for name, state in before.items():
            if state == "SUCCEEDED":
                self._named(name).done = True
            elif is_there(errors := self._named(name).stderr):
                # It tells whether the job has begun.
                os.replace(errors, f"{errors}.before")
        self._begin()
        try:
            if (first := self.jobs.get("pipetaskInit")) is not None and not first.done:
                os.makedirs(os.path.join(self.path, "logs"), exist_ok=True)
                first.run_local()
                self._note("pipetaskInit", "SUCCEEDED")
            self.load_dfk()
        except BaseException:
            self._end("FAILED")
            raise

    def initialize_jobs(self) -> None:
        """Run the first job here, before others are submitted."""
        super().initialize_jobs()
        if "pipetaskInit" in self.jobs:
            self._note("pipetaskInit", "SUCCEEDED")

    def run(self, block: bool = True) -> list[Future[Any] | None]:
        """Run the workflow, and wait for its end unless ``block`` is false."""
        futures = {name: self.execute(name) for name in self._in_order()}
        waited = {future for future in futures.values() if future is not None}
        if not block:
            return [futures.get(name) for name in self.endpoints]
        try:
            while waited and not self._is_cancelled:
                waited = wait(waited, timeout=_LOOK).not_done
            if waited:
                self._stop("cancelled; go on with: bps restart")
                return []
            self.shutdown()
            self.finalize_jobs()
        except KeyboardInterrupt:
            self._stop("interrupted; go on with: bps restart")
            raise
        except BaseException:
            self._end("FAILED")
            raise
        failed = any(future is not None and future.exception() for future in futures.values())
        self._end("FAILED" if failed else "SUCCEEDED")
        return [futures.get(name) for name in self.endpoints]

    @property
    def _is_cancelled(self) -> bool:
        """Return whether somebody has asked for the end."""
        return self._state is not None and self._state.is_cancelled

    def _stop(self, reason: str) -> None:
        """End the workers and the jobs that they run, and leave the others undone."""
        _LOG.warning("%s: %s --id %s", self.name, reason, self.path)
        state, self._state = self._state, None
        if self.dfk is not None:
            self.shutdown()
        self._state = state
        self._end("DELETED")

    def execute(self, name: str) -> Future[Any] | None:
        """Hand a job to Parsl; those before it have been."""
        job = self.jobs[name]
        future: Future[Any] | None = job.future
        if name in _OUTSIDE or job.done or future is not None:
            return future
        executors = self.parsl_config.executors
        label = self.site.select_executor(job) if len(executors) > 1 else executors[0].label
        before = [self.jobs[parent].future for parent in self.parents[name]]
        # What the site wants before each command is no part of it here.
        future = job.get_future(
            self.apps[label], [one for one in before if one is not None], None, self.site.resource_list
        )
        assert future is not None
        future.add_done_callback(functools.partial(self._note_end, name))
        return future

    def finalize_jobs(self) -> None:
        """Run the last job here."""
        if self.final is None or self.final.done:
            return
        try:
            super().finalize_jobs()
        except Exception as error:
            self._note(self.final.name, "FAILED", getattr(error, "returncode", 1))
            raise
        self._note(self.final.name, "SUCCEEDED")

    def _named(self, name: str) -> ParslJob:
        if self.final is not None and name == self.final.name:
            return self.final
        return self.jobs[name]

    def _in_order(self) -> Iterator[str]:
        """Yield the names of all jobs, each after those before it."""
        left = {name: len(self.parents[name]) for name in self.jobs}
        children: dict[str, list[str]] = {}
        for name in self.jobs:
            for parent in self.parents[name]:
                children.setdefault(parent, []).append(name)
        ready = [name for name, count in left.items() if not count]
        for name in ready:
            yield name
            for child in children.get(name, ()):
                left[child] -= 1
                if not left[child]:
                    ready.append(child)

    def _begin(self) -> None:
        """Note that this process executes the run from now on."""
        self._state = StateWriter(self.path)
        jobs = dict(self.jobs)
        parents = {name: sorted(self.parents[name]) for name in jobs}
        if self.final is not None:
            jobs[self.final.name] = self.final
            parents[self.final.name] = list(self.endpoints)
        found = {key: self.bps_config.search(key, {"required": False, "default": ""})[1] for key in _SHOWN}
        self._state.write(
            run="RUNNING",
            about={"name": self.name, **{key: str(value) for key, value in found.items()}},
            labels={name: job.generic.label for name, job in jobs.items()},
            parents=parents,
            errors={name: job.stderr for name, job in jobs.items()},
        )

    def _note_end(self, name: str, future: Future[Any]) -> None:
        """Note the end of a job."""
        error = future.exception()
        if error is None:
            self._note(name, "SUCCEEDED")
        elif isinstance(error, DependencyError):
            self._note(name, "PRUNED")
        else:
            self._note(name, "FAILED", error.exitcode if isinstance(error, BashExitFailure) else 1)

    def _note(self, name: str, state: str, code: int = 0) -> None:
        if self._state is not None:
            self._state.write(job=name, state=state, code=code)

    def _end(self, state: str) -> None:
        """Note the end of the run."""
        if self._state is not None:
            self._state.write(run=state)
            self._state.close()
            self._state = None
