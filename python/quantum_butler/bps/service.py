"""Service that ``bps`` commands call."""

from __future__ import annotations

__all__ = ("WarmParslService",)

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lsst.ctrl.bps import (
    BpsConfig,
    GenericWorkflow,
    WmsJobReport,
    WmsRunReport,
    WmsStates,
)
from lsst.ctrl.bps.parsl.service import ParslService

from .state import RunState, read_state, request_cancellation, state_file
from .workflow import WarmParslWorkflow

# Seconds for a run to come to its end that was asked to, and between two looks at it.
_PATIENCE = 60.0
_LOOK = 0.2

_DAY = 24 * 3600.0


class WarmParslService(ParslService):
    """Upstream's service for Parsl, with jobs in warm workers, and with what it lacks.

    In the configuration of a run, ``wmsServiceClass:
    quantum_butler.bps.WarmParslService``; all else is as for upstream's.  The
    id of a run is its submit folder.  ``bps status``, ``report``, ``cancel``
    and ``restart`` take it, and read a file there.

    A job whose command is ``pipetask run-qbb`` is run by a process that was
    forked from a warm one.  Other commands, and what such a process cannot
    do, run from a shell, as upstream has all of them.
    """

    def prepare(
        self, config: BpsConfig, generic_workflow: GenericWorkflow, out_prefix: str | None = None
    ) -> WarmParslWorkflow:
        """Convert a generic workflow to one for Parsl, and save it."""
        folder = os.path.abspath(config["submitPath"] if out_prefix is None else out_prefix)
        service = f"{type(self).__module__}.{type(self).__qualname__}"
        workflow: WarmParslWorkflow = WarmParslWorkflow.from_generic_workflow(
            config, generic_workflow, folder, service
        )
        workflow.write(folder)
        return workflow

    def restart(self, out_prefix: str) -> tuple[str | None, str | None, str]:
        """Run again what has not succeeded."""
        folder = os.path.abspath(out_prefix)
        try:
            workflow = WarmParslWorkflow.read(folder)
            workflow.restart()
        except (FileNotFoundError, RuntimeError) as error:
            return None, None, str(error)
        workflow.run()
        return folder, workflow.name, ""

    def list_submitted_jobs(
        self,
        wms_id: str | None = None,
        user: str | None = None,
        require_bps: bool = True,
        pass_thru: str | None = None,
        is_global: bool = False,
    ) -> list[str]:
        """Return the folders of the runs that are going on."""
        return [run.folder for run in self._runs(wms_id, user) if run.state == "RUNNING"]

    def get_status(
        self, wms_workflow_id: str, hist: float = 1, is_global: bool = False
    ) -> tuple[WmsStates, str]:
        """Return the state of a run."""
        try:
            run = read_state(os.path.abspath(wms_workflow_id))
        except OSError as error:
            return WmsStates.UNKNOWN, f"{error}"
        return WmsStates[run.state], _advice(run)

    def report(
        self,
        wms_workflow_id: str | None = None,
        user: str | None = None,
        hist: float = 0,
        pass_thru: str | None = None,
        is_global: bool = False,
        return_exit_codes: bool = False,
    ) -> tuple[list[WmsRunReport], str]:
        """Report of one run, or of those below ``submit`` in the working folder."""
        runs = list(self._runs(wms_workflow_id, user))
        if wms_workflow_id is None:
            oldest = time.time() - (hist or 0) * _DAY
            runs = [run for run in runs if run.state == "RUNNING" or run.changed >= oldest]
        elif not runs:
            return [], f"There is no run of this service in {wms_workflow_id}."
        return [_report(run) for run in runs], "\n".join(filter(None, map(_advice, runs)))

    def cancel(self, wms_id: str, pass_thru: str | None = None) -> tuple[bool, str]:
        """Have a run end, and wait until it has."""
        folder = os.path.abspath(wms_id)
        try:
            if read_state(folder).state != "RUNNING":
                return False, "it is not running"
        except FileNotFoundError as error:
            return False, f"it was never started: {error}"
        request_cancellation(folder)
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            if read_state(folder).state != "RUNNING":
                return True, ""
            time.sleep(_LOOK)
        return (
            False,
            f"it has not ended within {_PATIENCE:.0f} s; its process looks for the request each second",
        )

    def run_submission_checks(self) -> None:
        """Do nothing: there is no other system to be asked."""

    @staticmethod
    def _runs(folder: str | None, user: str | None) -> Iterator[RunState]:
        """Yield the state of one run, or of all runs below ``submit``, of one user if wanted."""
        if folder is not None:
            folders = [os.path.abspath(folder)]
        else:
            name = os.path.basename(state_file(""))
            folders = sorted(str(path.parent) for path in (Path.cwd() / "submit").rglob(name))
        for one in folders:
            try:
                run = read_state(one)
            except FileNotFoundError:
                continue
            if user in (None, "", run.about.get("operator")):
                yield run


def _report(run: RunState) -> WmsRunReport:
    """Return upstream's report of a run."""
    labels: dict[str, Counter[WmsStates]] = {}
    codes: dict[str, list[int]] = {}
    for name, label in run.labels.items():
        labels.setdefault(label, Counter())[WmsStates[run.jobs[name]]] += 1
        codes.setdefault(label, [])
        if name in run.exit_codes:
            codes[label].append(run.exit_codes[name])
    summary = {label: {state: counts[state] for state in WmsStates} for label, counts in labels.items()}
    counts = {state: sum(of_label[state] for of_label in summary.values()) for state in WmsStates}
    about = run.about
    return WmsRunReport(
        wms_id=run.folder,
        global_wms_id=run.folder,
        path=run.folder,
        label=about.get("name"),
        run=about.get("uniqProcName") or about.get("name"),
        project=about.get("project"),
        campaign=about.get("campaign"),
        payload=about.get("payloadName"),
        operator=about.get("operator"),
        site=about.get("computeSite"),
        run_summary=";".join(f"{label}:{sum(of_label.values())}" for label, of_label in summary.items()),
        state=WmsStates[run.state],
        jobs=[
            WmsJobReport(wms_id=name, name=name, label=label, state=WmsStates[run.jobs[name]])
            for name, label in run.labels.items()
        ],
        total_number_jobs=len(run.labels),
        job_state_counts=counts,
        job_summary=summary,
        exit_code_summary=codes,
    )


def _advice(run: RunState) -> str:
    """Return what a user should know besides."""
    if run.is_abandoned:
        return f"The process that ran it has ended before its time; go on with: bps restart --id {run.folder}"
    return ""
