"""Options of a run."""

from __future__ import annotations

__all__ = ("RunOptions",)

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..switches import LogFailure

if TYPE_CHECKING:
    from ..execution import Isolation


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a run."""

    repository: str
    """Root or configuration of the repository."""

    graph: str
    """Path or URI of the graph."""

    journal: str
    """Path of the journal."""

    jobs: int = 1
    """Most quanta that run at a time."""

    isolation: Isolation = "fork"
    """How quanta are kept apart."""

    logs: str | None = None
    """Folder for provenance logs."""

    contents: bool = False
    """Whether these keep the contents of metadata and logs."""

    metadata_in_log: bool = False
    """Whether these alone have metadata and log of quanta that succeed, which have no files then."""

    on_log_failure: str | None = None
    """What happens if one cannot be written later; see `quantum_butler.switches.LogFailure`."""

    spill_to: str | None = None
    """Second folder for them."""

    tasks: tuple[str, ...] = ()
    """Labels of the only tasks to run; empty for all."""

    where: str | None = None
    """Condition for data IDs."""

    retry_failed: bool = False
    """Whether quanta that have failed earlier are run again."""

    retries: int = 0
    """How often a quantum is tried again whose process was killed."""

    timeout: float | None = None
    """Seconds that a quantum may take."""

    memory_limit: int | None = None
    """Most bytes of data that a process may have."""

    fail_fast: bool = False
    """Whether the first failure ends the run."""

    dask: str | None = None
    """Address of a Dask scheduler whose workers run quanta."""

    parsl: str | None = None
    """Python file with a Parsl configuration, whose workers run quanta."""

    log_levels: tuple[str, ...] = ()
    """Levels of loggers, for workers elsewhere; see `quantum_butler.running.terminal`."""

    @property
    def log_failure(self) -> LogFailure:
        """Policy for a provenance log that cannot be written later (`LogFailure`)."""
        return LogFailure.of(self.on_log_failure, self.spill_to)

    @property
    def log_folders(self) -> list[str]:
        """All folders for provenance logs (`list` [`str`])."""
        return [folder for folder in (self.logs, self.spill_to) if folder is not None]
