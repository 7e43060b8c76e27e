"""Files of metadata and logs that are in provenance logs alone."""

from __future__ import annotations

__all__ = ("restore_files",)

import os
import secrets
import uuid
from collections.abc import Callable, Iterable, Iterator

from .. import _core
from ..progress import Progress
from .errors import AggregateError
from .logs import LoggedQuanta
from .registering import expanded_refs
from .scanning import Scanner


def restore_files(
    scanner: Scanner,
    logged: LoggedQuanta,
    chunks: Iterable[list[uuid.UUID]],
    progress: Callable[[Progress], object] | None,
) -> int:
    """Write the files that a butler would have written, where it would have, and return how many.

    A file that is there stays.
    """
    written = 0
    for path, text in _wanted(scanner, logged, chunks):
        temporary = f".{secrets.token_hex(8)}.tmp"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _core.write_file(path, temporary, text)
        except OSError as error:
            raise AggregateError(f"{path} cannot be written: {error.strerror}") from error
        written += 1
        if progress is not None:
            progress(Progress("restoring files", written, written, written, False))
    return written


def _wanted(
    scanner: Scanner, logged: LoggedQuanta, chunks: Iterable[list[uuid.UUID]]
) -> Iterator[tuple[str, bytes]]:
    """Yield the files that are not there, with their contents."""
    for chunk in chunks:
        try:
            kept = [one for _, of_quantum in scanner.kept(logged.places(chunk)) for one in of_quantum]
        except ValueError as error:
            raise AggregateError(f"the contents in a log cannot be read: {error}") from error
        refs = expanded_refs(scanner, [dataset for dataset, _ in kept])
        stored = scanner.butler.stored_many(refs.values())
        texts = {refs[dataset.dataset_id]: text for dataset, text in kept}
        wanted = [ref for ref in texts if not stored[ref]]
        for ref, uris in scanner.butler.get_many_uris(wanted, predict=True).items():
            uri = uris.primaryURI
            if uri is None or not uri.isLocal:
                raise AggregateError(f"{uri or ref}: files can be restored in local repositories only")
            yield uri.ospath, texts[ref]
