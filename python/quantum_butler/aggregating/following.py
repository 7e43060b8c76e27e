"""Following a run by its logs: they are looked at again and again, until every quantum has ended.

What quanta have left that have succeeded goes into the journal, and is registered if that is wanted.  So the
aggregation that follows has little to read.
"""

from __future__ import annotations

__all__ = ("Follower",)

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from lsst.daf.butler import Butler

from ..collecting.sources import NoSuchSourceError
from ..paths import Name, is_folder
from ..progress import Progress
from .journal import Journal
from .logs import Check, LoggedQuanta, opened_logs
from .options import IngestOptions
from .plan import Plan
from .registering import Registration
from .scanning import Scanner
from .sharing import chunks_of

# Tests wait for something else.
_pause = time.sleep


class Follower:
    """Takes what is new in logs; the scanner does not take the run for complete."""

    def __init__(
        self,
        scanner: Scanner,
        plan: Plan,
        by_task: Iterable[Sequence[uuid.UUID]],
        journal: Journal,
        progress: Callable[[Progress], object] | None,
    ):
        self._scanner = scanner
        self._plan = plan
        self._by_task = list(by_task)
        self._journal = journal
        self._progress = progress
        # Quanta that are in the journal; others that have ended; what those that failed were to write.
        self._done = {
            one for quanta in self._by_task for one in set(quanta) - set(journal.known(list(quanta))[1])
        }
        self._others: set[uuid.UUID] = set()
        self._lost: set[uuid.UUID] = set()
        self._attempts = -1
        self._check_all = False
        self._is_registered = False

    def follow(
        self,
        logs: Sequence[Name],
        target: Path,
        interval: float,
        *,
        check: Check,
        jobs: int,
        repository: str,
        ingest: IngestOptions | None,
    ) -> None:
        """Look at the logs until every quantum has ended.

        A quantum that has failed may be tried again.  So when some have, nothing may be new for an interval.
        """
        self._check_all = check == "all"
        while True:
            begin = time.monotonic()
            is_new = False
            try:
                with opened_logs(logs, target, self._plan, jobs) as logged:
                    self._scanner.take_contents(logged.folder)
                    is_new = logged.attempts != self._attempts
                    self._attempts = logged.attempts
                    if is_new:
                        self._take(logged, check, repository, ingest)
            except NoSuchSourceError:
                # The folder may be there before the run has begun.
                if not any(is_folder(one) for one in logs):
                    raise
            if (not is_new or not self._others) and self._all_ended():
                return
            # What takes long is done half of the time.
            _pause(max(interval, time.monotonic() - begin))

    def _take(
        self, logged: LoggedQuanta, check: Check, repository: str, ingest: IngestOptions | None
    ) -> None:
        """Note and register what is new of quanta that have succeeded."""
        new = [[one for one in logged.known_of(quanta) if one not in self._done] for quanta in self._by_task]
        if check == "sample" and not self._check_all:
            among = [one for quanta in new for one in quanta]
            self._check_all = not self._scanner.check(logged.sample(among))
        self._others, self._lost = set(), set()
        if ingest is None:
            self._scan(new, logged, None)
            return
        with Butler.from_config(repository, writeable=not ingest.dry_run) as butler:
            again = self._journal.resumed or self._is_registered
            with Registration(butler, self._scanner, ingest, defensive=again, logs=True) as registration:
                self._scan(new, logged, registration)
                registration.finish()
        self._is_registered = True

    def _scan(
        self, new: list[list[uuid.UUID]], logged: LoggedQuanta, registration: Registration | None
    ) -> None:
        total = sum(map(len, self._by_task))
        for quanta in new:
            for chunk in chunks_of(quanta):
                scanned = self._scanner.scan(chunk, (), logged.places(chunk), self._check_all)
                if not scanned.wrong:
                    # What is wrong with logs is told at the end.
                    self._journal.add(scanned)
                    self._done.update(one for one in chunk if one not in scanned.failed)
                if registration is not None:
                    registration.add(scanned)
                self._others.update(one for one in chunk if one not in self._done)
                self._lost.update(
                    dataset.dataset_id for producer, dataset in scanned.outputs if producer in scanned.failed
                )
                if self._progress is not None:
                    done = len(self._done)
                    self._progress(Progress("following the run", done, total, done, False))

    def _all_ended(self) -> bool:
        """Return whether each quantum has ended, or waits for one that has failed."""
        lost = set(self._lost)
        for quanta in self._by_task:
            left = [one for one in quanta if one not in self._done and one not in self._others]
            if left and (not lost or not self._scanner.all_blocked(left, lost)):
                return False
        return True
