"""Writing a dataset as one file or as one for each of its components, and recording it.

The place of each file comes from a template that has been compiled for the dataset
type.  A put is all or nothing: what has been written goes if anything fails.
"""

from __future__ import annotations

__all__ = ("put",)

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastore import DatastoreTransaction

from ..upstream import NotOurs, words
from .artifact import Artifact

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetProvenance

    from .file_store import FileStore


def put(
    store: FileStore,
    dataset: Any,
    ref: DatasetRef,
    provenance: DatasetProvenance | None,
    *,
    transaction: Callable[[], DatastoreTransaction | None],
) -> None:
    """Write a dataset to its files, and record it; a transaction can take that back."""
    parts = store.configured_placements().written(ref, store.as_registered(ref))
    artifacts = [Artifact(store, *part) for part in parts]
    has_words = words.are_wanted(words.WRITING)
    if has_words:
        # Upstream decides this first, and says so.
        store.composites.shouldBeDisassembled(ref)
    if parts[0][1].component is None:
        refs, contents = [ref], [dataset]
    else:
        components = _take_apart(dataset, ref, provenance)
        order = {placement.component: n for n, (_, placement, _) in enumerate(parts)}
        if not components.keys() <= order.keys():
            raise NotOurs
        refs = [parts[order[name]][0] for name in components]
        artifacts = [artifacts[order[name]] for name in components]
        contents = [info.component for info in components.values()]
        # It is in the components already.
        provenance = None
    written = []
    try:
        infos = []
        for artifact, content in zip(artifacts, contents, strict=True):
            if has_words:
                artifact.say_place()
            accepted = artifact.converted(content)
            # If it fails now, what was there before goes, too; upstream does not look.
            written.append(artifact)
            infos.append(artifact.write(accepted, provenance, has_words))
        undo = store.add(refs, infos)
    except BaseException:
        # A transaction tells, as upstream's does, if that fails as well.
        failed = DatastoreTransaction()
        for artifact in written:
            failed.registerUndo("artifactWrite", artifact.remove)
        failed.rollback()
        raise
    if (current := transaction()) is not None:
        for artifact in written:
            current.registerUndo("artifactWrite", artifact.remove)
        current.registerUndo("registerDatasets", undo)


def _take_apart(dataset: Any, ref: DatasetRef, provenance: DatasetProvenance | None) -> Mapping[str, Any]:
    """Take a dataset apart as its storage class does."""
    storage_class = ref.datasetType.storageClass
    dataset = storage_class.delegate().add_provenance(dataset, ref, provenance=provenance)
    components = storage_class.delegate().disassemble(dataset)
    if components is None:
        raise RuntimeError(
            f"Inconsistent configuration: dataset type {ref.datasetType.name} "
            f"with storage class {storage_class.name} "
            "is configured to be disassembled, but cannot be."
        )
    return components
