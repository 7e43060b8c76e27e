"""`Archive`, beside a model that knows nothing but the quanta."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from archives import (
    ROLES,
    File,
    Made,
    campaigns,
    chain,
    closure,
    dataset_id,
    edges_within,
    quantum_id,
    used,
    write,
    wrote,
)
from hypothesis import given
from hypothesis import strategies as st

from quantum_butler import Archive, ArchiveError, ProvenanceLog, QuantumProvenanceData, collect
from quantum_butler.archive.errors import UnknownIdError
from quantum_butler.archive.reports import of_quantum


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(write(tmp_path / "archive", chain()))


@pytest.fixture
def empty(tmp_path: Path) -> Archive:
    return Archive(write(tmp_path / "empty", []))


def known(quanta: Sequence[Made]) -> list[int]:
    return sorted({number for made in quanta for number in made.datasets})


@given(campaigns, st.booleans(), st.booleans(), st.none() | st.integers(0, 3))
def test_lineage_is_that_of_the_model(quanta: list[Made], up: bool, actual: bool, depth: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(write(Path(folder, "archive"), quanta))
        for number in known(quanta):
            found = archive.lineage(
                dataset_id(number), direction="up" if up else "down", actual=actual, depth=depth
            )
            datasets, reached = closure(quanta, number, up=up, actual=actual, depth=depth)
            assert (found.datasets, found.quanta) == (datasets, reached)
            assert len(set(found.edges)) == len(found.edges)
            assert set(found.edges) == edges_within(quanta, set(datasets), set(reached), actual=actual)
            assert list(found.datasets.values()) == sorted(found.datasets.values())
            described = {one.quantum_id: one for one in found.describe_quanta()}
            assert list(described) == list(found.quanta)
            for made in quanta:
                if made.id in described:
                    assert described[made.id].task_label == made.task
                    assert described[made.id].data_id == made.data_id
            assert [one.dataset_id for one in found.describe_datasets()] == list(found.datasets)


@given(campaigns)
def test_quanta_and_their_datasets_are_those_of_the_model(quanta: list[Made]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(write(Path(folder, "archive"), quanta))
        for made in quanta:
            shown = archive.show(made.id)
            assert (shown.quantum.quantum_id, shown.quantum.task_label) == (made.id, made.task)
            assert shown.quantum.data_id == made.data_id
            uses = {use.dataset.dataset_id: frozenset(use.roles) for use in shown.uses}
            assert uses == {dataset_id(number): roles for number, roles in made.datasets.items()}
            assert list(uses) == sorted(uses)
        for number in known(quanta):
            for actual, kind in ((True, "actual"), (False, "predicted")):
                writers = [made.id for made in quanta if dataset_id(number) in made.having(f"{kind}_output")]
                producer = archive.producer(str(dataset_id(number)), actual=actual)
                assert [producer and producer.quantum_id] == (writers[:1] or [None])
                readers = [made.id for made in quanta if dataset_id(number) in made.having(f"{kind}_input")]
                consumers = archive.consumers(dataset_id(number), actual=actual)
                assert [one.quantum_id for one in consumers] == readers


@given(campaigns)
def test_statistics_are_those_of_the_model(quanta: list[Made]) -> None:
    sizes: defaultdict[uuid.UUID, int] = defaultdict(int)
    for made in quanta:
        for file in made.files:
            if file.size is not None:
                sizes[dataset_id(file.dataset)] += file.size
    with tempfile.TemporaryDirectory() as folder:
        statistics = Archive(write(Path(folder, "archive"), quanta)).stats()
    labels = dict.fromkeys(made.task for made in quanta)
    assert {task.task_label for task in statistics.tasks} == set(labels)
    assert len(statistics.tasks) == len(labels)
    for task in (*statistics.tasks, statistics.total):
        own = [made for made in quanta if task is statistics.total or made.task == task.task_label]
        having = {role: set().union(*(made.having(role) for made in own)) for role in ROLES}
        assert task.quanta == len(own)
        assert task.datasets == {role: len(having[role]) for role in ROLES}
        assert task.unused_inputs == len(having["predicted_input"] - having["actual_input"])
        assert task.missing_outputs == len(having["predicted_output"] - having["actual_output"])
        total = {
            role: sum(sizes.get(id_, 0) for made in own for id_ in made.having(role))
            if not having[role] or having[role] & sizes.keys()
            else None
            for role in ROLES
        }
        assert task.bytes == total


@given(campaigns, campaigns)
def test_differences_are_those_of_the_model(left: list[Made], right: list[Made]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one = Archive(write(Path(folder, "left"), left))
        other = Archive(write(Path(folder, "right"), right))
        found = one.diff(other)
        assert not one.diff(one)
    ids = [sorted(made.id for made in quanta) for quanta in (left, right)]
    datasets = [sorted(dataset_id(number) for number in known(quanta)) for quanta in (left, right)]
    assert found.left_quanta == [id_ for id_ in ids[0] if id_ not in ids[1]]
    assert found.right_quanta == [id_ for id_ in ids[1] if id_ not in ids[0]]
    assert found.left_datasets == [id_ for id_ in datasets[0] if id_ not in datasets[1]]
    assert found.right_datasets == [id_ for id_ in datasets[1] if id_ not in datasets[0]]
    changes = {}
    for made in left:
        for other_made in right:
            if made.number == other_made.number:
                for number in {*made.datasets, *other_made.datasets}:
                    roles = [one.datasets.get(number, frozenset()) for one in (made, other_made)]
                    if roles[0] != roles[1]:
                        changes[made.id, dataset_id(number)] = roles
    assert [(change.quantum_id, change.dataset_id) for change in found.changes] == sorted(changes)
    for change in found.changes:
        roles = changes[change.quantum_id, change.dataset_id]
        assert [frozenset(change.left), frozenset(change.right)] == roles
    assert bool(found) == any(
        (found.left_quanta, found.right_quanta, found.left_datasets, found.right_datasets, changes)
    )


def test_files_are_found_with_whoever_wrote_them(archive: Archive) -> None:
    by_id = {one.dataset_id: one for one in archive.lineage(dataset_id(200)).describe_datasets()}
    assert by_id[dataset_id(200)].paths == ("coadd.fits",)
    image = by_id[dataset_id(12)]
    assert (image.paths, image.storage_class, image.size) == (
        ("image/det1.fits", "image/psf_det1.fits"),
        "Exposure",
        30,
    )
    assert by_id[dataset_id(11)].size == 1001
    raw = by_id[dataset_id(0)]
    assert (raw.paths, raw.storage_class, raw.size) == ((), None, None)


def test_attempts_are_shown(tmp_path: Path, archive: Archive) -> None:
    quantum_id_ = "b7e1a0c4-3f0e-4f5a-8a57-0c1d2e3f4a5b"
    model = QuantumProvenanceData.direct(
        predicted_inputs=[], available_inputs=[], actual_inputs=[], predicted_outputs=[],
        actual_outputs=[], datastore_records={},
    )  # fmt: skip
    begin = datetime(2026, 11, 30, 4, 20, 1, 123456, tzinfo=UTC)
    with ProvenanceLog(tmp_path / "log.jsonl") as log:
        for minutes, failed in ((0, True), (1, None), (2, False)):
            at = begin + timedelta(minutes=minutes)
            of_attempt = {"begin": at, "end": at + timedelta(seconds=1), "failed": failed}
            log.append(uuid.UUID(quantum_id_), model, task_label=f"isr{minutes}", **of_attempt)
    collect(tmp_path / "log.jsonl", tmp_path / "collected")
    details = Archive(tmp_path / "collected").show(quantum_id_)
    last = begin + timedelta(minutes=2)
    assert (details.begin, details.end) == (last, last + timedelta(seconds=1))
    assert (details.failed, details.attempts) == (False, 3)
    report = of_quantum(details)
    assert (
        "attempts 3, of which one is kept, begun 2026-11-30 04:22:01.123456+00:00, "
        "ended 2026-11-30 04:22:02.123456+00:00, succeeded\n"
    ) in report.render("table")
    content = json.loads(report.render("json"))
    assert datetime.fromisoformat(content["begin"]) == last
    assert (content["failed"], content["attempts"]) == (False, 3)
    # One of an earlier release.
    details = archive.show(quantum_id(1))
    assert (details.begin, details.end, details.failed, details.attempts) == (None, None, None, None)
    assert "\nattempts (not known)\n" in of_quantum(details).render("table")


def test_predicted_and_actual_lineage_differ(archive: Archive) -> None:
    assert dataset_id(101) not in archive.lineage(dataset_id(1)).datasets
    assert dataset_id(101) in archive.lineage(dataset_id(1), actual=False).datasets
    # What was never written has no lineage but one that was predicted.
    assert archive.lineage(dataset_id(50)).quanta == {}
    assert set(archive.lineage(dataset_id(50), actual=False).quanta) == {quantum_id(2), quantum_id(1)}


def test_depth_counts_quanta(archive: Archive) -> None:
    depths = [len(archive.lineage(dataset_id(200), depth=depth).quanta) for depth in range(5)]
    assert depths == [0, 1, 3, 5, 5]
    assert len(archive.lineage(dataset_id(200), depth=10**30).quanta) == 5
    with pytest.raises(ValueError, match="-1"):
        archive.lineage(dataset_id(200), depth=-1)
    with pytest.raises(ValueError, match="'sideways'"):
        archive.lineage(dataset_id(200), direction="sideways")  # type: ignore[arg-type]


def test_a_cycle_ends(tmp_path: Path) -> None:
    quanta = [
        Made(1, {**used(1), **wrote(2)}),
        Made(2, {**used(2), **wrote(1)}),
        # What reads what it writes.
        Made(3, {5: used(5)[5] | wrote(5)[5]}),
    ]
    archive = Archive(write(tmp_path / "archive", quanta))
    found = archive.lineage(dataset_id(1))
    assert list(found.datasets.values()) == [0, 1]
    assert len(found.edges) == 4
    own = archive.lineage(dataset_id(5), direction="down")
    assert sorted(own.edges) == sorted([(dataset_id(5), quantum_id(3)), (quantum_id(3), dataset_id(5))])


def test_an_empty_archive_answers(empty: Archive) -> None:
    statistics = empty.stats()
    assert statistics.tasks == []
    assert (statistics.total.quanta, set(statistics.total.datasets.values())) == (0, {0})
    assert not empty.diff(empty)
    assert empty.quanta.count_rows() == empty.edges.count_rows() == empty.records.count_rows() == 0
    for question in (empty.show, empty.lineage, empty.producer, empty.consumers):
        with pytest.raises(UnknownIdError):
            question(dataset_id(1))


def test_unknown_ids_are_named_with_the_archive(archive: Archive) -> None:
    unknown = uuid.uuid4()
    for question in (archive.show, archive.lineage, archive.producer, archive.consumers):
        for id_ in (unknown, str(unknown)):
            with pytest.raises(LookupError) as caught:
                question(id_)
            assert isinstance(caught.value, ArchiveError)
            assert str(unknown) in str(caught.value)
            assert str(archive.path) in str(caught.value)
        with pytest.raises(UnknownIdError, match="'b7e1' is no"):
            question("b7e1")
        for odd in (7, None, b"x" * 16):
            with pytest.raises(ValueError, match="an id is a uuid"):
                question(odd)  # type: ignore[arg-type]


def test_a_quantum_and_a_dataset_may_have_one_id(tmp_path: Path) -> None:
    made = Made(1, {**used(1), **wrote(2)})
    quanta = [made, Made(2, files=[File(1, "file of a dataset that it does not have")])]
    archive = Archive(write(tmp_path / "archive", quanta))
    with pytest.raises(UnknownIdError):
        archive.show(dataset_id(1))
    with pytest.raises(UnknownIdError):
        archive.producer(quantum_id(1))
    # The lineage of a quantum is that of what it has written.
    assert list(archive.lineage(quantum_id(1)).quanta) == [quantum_id(1)]


def test_tables_are_open_to_all(archive: Archive) -> None:
    assert archive.quanta.count_rows() == 5
    edges = archive.edges.to_table()
    assert len(edges) == sum(len(made.datasets) for made in chain())
    assert archive.records.to_table(columns=["path"])["path"].to_pylist()[-1] == "coadd.fits"
    assert archive.manifest.counts["quanta"] == 5
    assert repr(archive) == f"Archive({str(archive.path)!r})"


def test_asking_does_not_need_lsst(archive: Archive) -> None:
    code = (
        "import sys; from quantum_butler import Archive; archive = Archive(sys.argv[1]); "
        "assert 'pyarrow' not in sys.modules; "
        "archive.stats(); archive.show(sys.argv[2]); archive.lineage(sys.argv[3]).edges; "
        "archive.diff(archive); "
        "sys.exit(any(name.startswith('lsst') for name in sys.modules))"
    )
    arguments = [str(archive.path), str(quantum_id(1)), str(dataset_id(1))]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
