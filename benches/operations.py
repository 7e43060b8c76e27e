#!/usr/bin/env python3
"""Time each operation of the stock butler and of ours, side by side in one repository.

For each operation both classes first do it once, and what comes out is
compared: return values, bookkeeping, datastore records, files.  If anything
differs nothing is timed and the exit status is 1.  Then they take turns; a
figure is the median over the rounds, a ratio the median of the rounds' ratios
of stock to ours, so that more is better.  Setting up and clearing away are
not timed, and the garbage collector waits meanwhile.

Files are made in new folders, and before any are removed.  For minutes an ext4
without a journal does not give the inode of a removed file to a new one: it tries
one after the other, which would take many times as long as all else that either
class does.  What other programs have removed counts as well, so that it is better
to have `TMPDIR` on a file system with a journal, or in memory.
"""

from __future__ import annotations

__all__ = ("main", "measure", "operations")

import argparse
import gc
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsst.daf.butler import DatasetRef, QuantumBackedButler

from repository import CLASSES, QUANTUM, RUN, Repository, make_repository, whole_quantum


@dataclass(frozen=True)
class Operation:
    """One thing that butlers do, and how it is measured."""

    name: str
    items: int
    """Number of items that the time is divided by."""

    prepare: Callable[[type[QuantumBackedButler]], Any]
    """Makes what the operation needs; not timed."""

    run: Callable[[Any], Any]
    """The operation, on what was prepared."""

    answer: Callable[[Any, Any], Any]
    """What both classes must agree on, given what was prepared and returned."""

    clean: Callable[[Any], None]
    """Restores the repository, given what was prepared; not timed."""


def operations(repository: Repository, formatter: str) -> Iterator[Operation]:
    """Yield the operations on datasets of one formatter, in an otherwise unused repository."""
    datasets = repository.datasets(formatter)
    inputs, outputs = datasets.inputs, datasets.outputs
    records = repository.write(inputs)
    n = len(inputs)
    small_in, small_out = inputs[: QUANTUM[0]], outputs[: QUANTUM[1]]
    with repository.butler(CLASSES["stock"], inputs, [], records) as butler:
        small_records = butler._datastore.export_records(small_in)
        records_as_table = butler._datastore.export_table([ref.id for ref in inputs])
    small = repository.quantum(small_in, small_out, small_records)
    large = repository.quantum(inputs, outputs, records)
    aside = repository.root.with_name(f"{repository.root.name} aside")
    aside.mkdir()

    def make_small(cls: type[QuantumBackedButler]) -> QuantumBackedButler:
        return repository.initialize(cls, small)

    def make_large(cls: type[QuantumBackedButler]) -> QuantumBackedButler:
        return repository.initialize(cls, large)

    def make_without_records(cls: type[QuantumBackedButler]) -> QuantumBackedButler:
        return repository.butler(cls, inputs, outputs, {})

    def make_done(cls: type[QuantumBackedButler]) -> QuantumBackedButler:
        butler = make_large(cls)
        butler.stored_many(inputs)
        put_all(butler)
        return butler

    def put_all(butler: QuantumBackedButler) -> None:
        for number, ref in enumerate(outputs):
            butler.put({"data": number}, ref)

    def prune(butler: QuantumBackedButler) -> None:
        butler.pruneDatasets(outputs, disassociate=True, unstore=True, purge=True)

    def set_aside(_: Any) -> None:
        # Not removed: see above.
        folder = repository.root / RUN / outputs[0].datasetType.name
        if folder.exists():
            folder.rename(aside / f"{len(list(aside.iterdir()))}")

    def set_aside_and_close(butler: QuantumBackedButler) -> None:
        set_aside(butler)
        butler.close()

    def of_class(cls: type[QuantumBackedButler]) -> type[QuantumBackedButler]:
        return cls

    def nothing(_: Any) -> None:
        pass

    def state(butler: QuantumBackedButler, result: Any = None) -> Any:
        return result, bookkeeping(butler), plain_records(butler, inputs + outputs)

    def initialize(name: str, items: int, make: Callable[[Any], QuantumBackedButler]) -> Operation:
        # What was made is closed as soon as it has been looked at.
        def looked_at(_: Any, butler: QuantumBackedButler) -> Any:
            with butler:
                return state(butler)

        return Operation(name, items, of_class, make, looked_at, nothing)

    def each(
        name: str, run: Callable[[QuantumBackedButler], Any], answer: Callable[[Any, Any], Any] = state
    ) -> Operation:
        # An operation on all the datasets of a new butler that leaves the repository alone.
        return Operation(name, n, make_large, run, answer, QuantumBackedButler.close)

    yield Operation(
        "one whole quantum, 10 in 5 out",
        1,
        of_class,
        lambda cls: whole_quantum(make_small(cls), small_in, small_out),
        lambda _, result: (result[0], plain_provenance(result[1]), files(repository)),
        set_aside,
    )
    yield each("get", lambda butler: [butler.get(ref) for ref in inputs])
    yield Operation(
        "put",
        n,
        make_large,
        put_all,
        lambda butler, _: (state(butler), files(repository)),
        set_aside_and_close,
    )
    if formatter != "bytes":
        # The rest does not depend on what is in a file.
        return
    yield initialize("initialize, 10 in 5 out", 1, make_small)
    if n > QUANTUM[0]:
        # With fewer, what does not depend on the records would be shared out among them.
        yield initialize("initialize, per input record", n, make_large)
    yield each("stored_many, recorded", lambda butler: butler.stored_many(inputs))
    yield each("stored_many, predicted only", lambda butler: butler.stored_many(outputs))
    yield each("stored, recorded", lambda butler: [butler.stored(ref) for ref in inputs])
    yield each(
        "getDeferred",
        lambda butler: [butler.getDeferred(ref) for ref in inputs],
        lambda butler, handles: (bookkeeping(butler), [handle.get() for handle in handles]),
    )
    yield each(
        "export_predicted_records",
        lambda butler: butler._datastore.export_predicted_records(outputs),
        lambda _, exported: plain(exported),
    )
    yield each(
        "export_records",
        lambda butler: butler._datastore.export_records(inputs),
        lambda _, exported: plain(exported),
    )
    yield Operation(
        "import_records",
        n,
        make_without_records,
        lambda butler: butler._datastore.import_records(records),
        state,
        QuantumBackedButler.close,
    )
    yield each(
        "export_table",
        lambda butler: butler._datastore.export_table([ref.id for ref in inputs]),
        lambda _, table: (table.to_arrow().schema, table.to_arrow().to_pylist()),
    )
    yield Operation(
        "import_table",
        n,
        make_without_records,
        lambda butler: butler._datastore.import_table(records_as_table),
        state,
        QuantumBackedButler.close,
    )
    yield each(
        "get_many_uris(predict=True)",
        lambda butler: butler.get_many_uris(inputs + outputs, predict=True),
        lambda _, uris: plain_uris(uris),
    )
    yield each(
        "getURI",
        lambda butler: [butler.getURI(ref) for ref in inputs],
        lambda _, uris: [str(uri) for uri in uris],
    )
    yield each(
        "get_file_info_for_transfer",
        lambda butler: butler._file_transfer_source.get_file_info_for_transfer(ref.id for ref in inputs),
        lambda _, found: plain_transfers(found),
    )
    yield Operation(
        "locate_missing_files_for_transfer",
        n,
        make_without_records,
        lambda butler: butler._file_transfer_source.locate_missing_files_for_transfer(inputs, {}),
        lambda _, found: plain_transfers(found),
        QuantumBackedButler.close,
    )
    yield Operation(
        "extract + model_dump_json",
        n,
        make_done,
        lambda butler: butler.extract_provenance_data().model_dump_json(),
        lambda butler, text: (plain_provenance(text), state(butler)),
        set_aside_and_close,
    )
    yield Operation(
        "pruneDatasets",
        n,
        make_done,
        prune,
        lambda butler, _: (state(butler), files(repository)),
        QuantumBackedButler.close,
    )


def measure(operation: Operation, rounds: int) -> dict[str, Any]:
    """Compare the answers of the two classes, then time them in turns.

    Raises `SystemExit` if the answers differ, or if there is none to compare.
    """
    answers = []
    for cls in CLASSES.values():
        prepared = operation.prepare(cls)
        try:
            answers.append(operation.answer(prepared, operation.run(prepared)))
        finally:
            operation.clean(prepared)
    stock, ours = answers
    if stock != ours or not stock:
        raise SystemExit(f"{operation.name}: the two classes answer differently; it was not timed.")
    del answers, stock, ours
    microseconds: dict[str, list[float]] = {side: [] for side in CLASSES}
    for _ in range(rounds):
        for side, cls in CLASSES.items():
            prepared = operation.prepare(cls)
            gc.collect()
            gc.disable()
            start = time.perf_counter()
            result = operation.run(prepared)
            elapsed = time.perf_counter() - start
            gc.enable()
            microseconds[side].append(elapsed / operation.items * 1e6)
            if isinstance(result, QuantumBackedButler):
                result.close()
            del result
            operation.clean(prepared)
    ratios = [stock / ours for stock, ours in zip(*microseconds.values(), strict=True)]
    return {
        "operation": operation.name,
        **{f"{side}_us": statistics.median(times) for side, times in microseconds.items()},
        "ratio": statistics.median(ratios),
        "rounds": rounds,
    }


def bookkeeping(butler: QuantumBackedButler) -> list[set[Any]]:
    """Return what a butler has noted of its quantum."""
    return [
        set(noted)
        for noted in (
            butler._predicted_inputs,
            butler._predicted_outputs,
            butler._available_inputs,
            butler._unavailable_inputs,
            butler._actual_inputs,
            butler._actual_output_refs,
        )
    ]


def plain_records(butler: QuantumBackedButler, refs: list[DatasetRef]) -> Any:
    """Return the datastore records that a butler has of some datasets."""
    return plain(butler._datastore.export_records(refs))


def plain(exported: Any) -> Any:
    """Return exported records as values that compare equal whatever their order."""
    return {name: data.records for name, data in exported.items()}


def plain_uris(uris: Any) -> Any:
    """Return the URIs of some datasets as strings."""
    return {
        ref: (str(of.primaryURI), {name: str(uri) for name, uri in of.componentURIs.items()})
        for ref, of in uris.items()
    }


def plain_transfers(found: Any) -> Any:
    """Return where the files of some datasets are, and their records."""
    return {
        dataset_id: [(str(one.location.uri), one.file_info) for one in transfers]
        for dataset_id, transfers in found.items()
    }


def plain_provenance(text: str) -> Any:
    """Return provenance as values that compare equal whatever the order of ids."""
    provenance = json.loads(text)
    for value in (provenance, *provenance["datastore_records"].values()):
        for name, ids in value.items():
            if isinstance(ids, list):
                value[name] = sorted(ids)
    return provenance


def files(repository: Repository) -> dict[str, bytes]:
    """Return the contents of all files in a repository, by name."""
    paths = (path for path in repository.root.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in paths if not path.name.startswith("gen3.sqlite3")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", type=int, default=300, help="inputs, and as many outputs (300)")
    parser.add_argument("--rounds", type=int, default=7, help="times that each class does it (7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures, too")
    parser.add_argument("--only", metavar="TEXT", default="", help="operations with this in their name")
    args = parser.parse_args()
    if args.datasets < max(QUANTUM):
        parser.error(f"--datasets must be at least {max(QUANTUM)}")
    # Stock warns of inputs that nobody looked for, which some operations do not.
    logging.disable(logging.WARNING)
    figures = {}
    with tempfile.TemporaryDirectory() as root:
        wanted = []
        for formatter, suffix in ("bytes", ""), ("local", ", formatter of local files"):
            repository = make_repository(Path(root) / formatter, args.datasets)
            wanted += [
                (operation.name + suffix, operation)
                for operation in operations(repository, formatter)
                if args.only in operation.name
            ]
        # Files are made before any are removed.
        for name, operation in sorted(wanted, key=lambda pair: pair[1].name == "pruneDatasets"):
            # The collector need not look at the repository's refs each time.
            gc.collect()
            gc.freeze()
            figures[name] = {**measure(operation, args.rounds), "operation": name}
            print(
                f"{name:50} stock {figures[name]['stock_us']:12.2f} us   "
                f"ours {figures[name]['ours_us']:12.2f} us   ratio {figures[name]['ratio']:7.1f}",
                flush=True,
            )
    if not figures:
        sys.exit("There is no such operation.")
    if args.json is not None:
        outcome = {"datasets": args.datasets, "operations": [figures[name] for name, _ in wanted]}
        args.json.write_text(json.dumps(outcome, indent=1))


if __name__ == "__main__":
    main()
