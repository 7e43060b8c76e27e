"""One butler, used from many threads at once."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest
from lsst.daf.butler.registry.bridge.monolithic import MonolithicDatastoreRegistryBridgeManager
from lsst.daf.butler.registry.opaque import ByNameOpaqueTableStorageManager
from together import THREADS, at_once, many_outputs

import quantum_butler
from repositories import NewRepository, Repository, example_metrics

pytestmark = pytest.mark.usefixtures("frequent_switches")


@pytest.mark.parametrize("kind", ["file", "checksum", "chained", "cached"])
def test_reading(new_repository: NewRepository, kind: str) -> None:
    repository = new_repository(kind)
    refs = [ref for name in ("measured", "parts", "whole", "exposed") for ref in repository.stored[name]]
    with repository.butler(quantum_butler.QuantumBackedButler, inputs=refs) as butler:

        def read() -> list[Any]:
            assert butler.stored_many(refs) == dict.fromkeys(refs, True)
            return [butler.get(ref) for ref in refs]

        expected = [repository.values[ref.id] for ref in refs]
        assert at_once([read] * THREADS) == [expected] * THREADS
        assert butler._actual_inputs == butler._available_inputs == {ref.id for ref in refs}
        assert butler._unavailable_inputs == set()
        assert butler.extract_provenance_data().actual_inputs == {ref.id for ref in refs}


@pytest.mark.parametrize("kind", ["file", "checksum", "chained"])
@pytest.mark.parametrize("name", ["derived", "parts_out", "fragile_out", "fragile_v1_out"])
def test_writing_and_reading_back(new_repository: NewRepository, kind: str, name: str) -> None:
    repository = new_repository(kind)
    outputs = many_outputs(repository, name, 12 * THREADS)
    shares = [outputs[number::THREADS] for number in range(THREADS)]
    with repository.butler(quantum_butler.QuantumBackedButler, outputs=outputs) as butler:

        def work(number: int) -> None:
            for count, ref in enumerate(shares[number]):
                value = example_metrics(count) if name == "parts_out" else {"thread": number, "count": count}
                assert butler.stored(ref) is False
                butler.put(value, ref)
                assert butler.get(ref) == value
                if count % 3 == 0:
                    butler.pruneDatasets([ref], disassociate=True, unstore=True, purge=True)

        at_once([lambda number=number: work(number) for number in range(THREADS)])  # type: ignore[misc]
        kept = {ref for share in shares for count, ref in enumerate(share) if count % 3}
        assert butler._actual_output_refs == kept
        assert {ref for ref, stored in butler.stored_many(outputs).items() if stored} == kept
        provenance = butler.extract_provenance_data()
        assert provenance.actual_outputs == {ref.id for ref in kept}
        recorded = itertools.chain.from_iterable(
            data.dataset_ids for data in provenance.datastore_records.values()
        )
        assert set(recorded) == provenance.actual_outputs


def test_failures_of_one_thread_do_not_undo_another(new_repository: NewRepository) -> None:
    repository = new_repository()
    good, bad = (many_outputs(repository, name, 80) for name in ("derived", "fragile_out"))
    with repository.butler(quantum_butler.QuantumBackedButler, outputs=[*good, *bad]) as butler:

        def succeed() -> None:
            for ref in good:
                butler.put({"a": 1}, ref)

        def fail() -> None:
            for ref in bad:
                with pytest.raises(RuntimeError, match="Failed to serialize"):
                    butler.put({"fail_write": "OSError", "filler": "x" * 1000}, ref)

        at_once([succeed, fail])
        assert butler.stored_many([*good, *bad]) == {**dict.fromkeys(good, True), **dict.fromkeys(bad, False)}
        assert butler._datastore.knows_these(bad) == dict.fromkeys(bad, False)
        assert butler._actual_output_refs == set(good)


def test_extracting_while_others_write(new_repository: NewRepository) -> None:
    repository = new_repository()
    outputs = many_outputs(repository, "derived", 200)
    inputs = list(repository.stored["measured"])
    with repository.butler(quantum_butler.QuantumBackedButler, inputs=inputs, outputs=outputs) as butler:
        done = threading.Event()

        def write() -> None:
            try:
                for ref in outputs:
                    butler.put({}, ref)
                    butler.get(inputs[0])
            finally:
                done.set()

        def extract() -> int:
            extracted = 0
            while not done.is_set() or not extracted:
                provenance = butler.extract_provenance_data()
                (data,) = provenance.datastore_records.values()
                # What counts as written has its record.
                assert provenance.actual_outputs <= set(data.dataset_ids)
                assert provenance.model_dump_json()
                extracted += 1
            return extracted

        _, extracted = at_once([write, extract])
        assert extracted > 0
        assert butler.extract_provenance_data().actual_outputs == {ref.id for ref in outputs}


def test_only_one_of_many_puts_of_a_dataset_succeeds(new_repository: NewRepository) -> None:
    repository = new_repository()
    (ref,) = repository.predicted["derived"][:1]
    with repository.butler(quantum_butler.QuantumBackedButler, outputs=[ref]) as butler:

        def put() -> bool:
            try:
                butler.put({"a": 1}, ref)
            except Exception:
                return False
            return True

        assert at_once([put] * THREADS).count(True) == 1
        assert butler._datastore.knows(ref) is True


def test_butler_used_in_a_thread_other_than_its_makers(repository: Repository) -> None:
    refs, output = list(repository.stored["measured"]), repository.predicted["derived"][0]
    (butler,) = at_once(
        [lambda: repository.butler(quantum_butler.QuantumBackedButler, inputs=refs, outputs=[output])]
    )

    def use() -> None:
        assert butler.stored_many(refs) == dict.fromkeys(refs, True)
        butler.put({}, output)
        butler.pruneDatasets([output], disassociate=True, unstore=True, purge=True)
        butler.extract_provenance_data()
        butler.close()

    at_once([use])


def test_butlers_made_in_many_threads(new_repository: NewRepository) -> None:
    # They share what is made once.
    repositories = [new_repository(), new_repository("checksum"), new_repository()]

    def use(repository: Repository) -> None:
        refs = list(repository.stored["parts"])
        for _ in range(5):
            with repository.butler(quantum_butler.QuantumBackedButler, inputs=refs) as butler:
                assert [butler.get(ref) for ref in refs] == [repository.values[ref.id] for ref in refs]
                assert butler._actual_inputs == {ref.id for ref in refs}

    at_once([lambda r=repositories[n % 3]: use(r) for n in range(THREADS)])  # type: ignore[misc]


@pytest.mark.parametrize("given", ["table", "both"])
def test_upstreams_managers_in_one_thread_at_a_time(repository: Repository, given: str) -> None:
    # SQL in memory belongs to the thread that made it; nothing is promised
    # but what the stock class does.
    refs = list(repository.stored["measured"])
    bridge = MonolithicDatastoreRegistryBridgeManager if given == "both" else None
    with repository.butler(
        quantum_butler.QuantumBackedButler,
        inputs=refs,
        OpaqueManagerClass=ByNameOpaqueTableStorageManager,
        BridgeManagerClass=bridge,
    ) as butler:
        assert butler.stored_many(refs) == dict.fromkeys(refs, True)
