"""An archive's outputs go into a repository as upstream's transfers put them there."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lsst.daf.butler import Butler
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph

pytest.importorskip("lsst.ctrl.mpexec", reason="the demo's graph needs an executor")

from campaigns import (
    DETECTORS,
    Campaign,
    changed,
    each_row,
    read,
    rewritten,
    tables,
    transfer_upstream,
    transferred,
    write_archive,
)

from quantum_butler import Archive, transfer
from quantum_butler.demo.graph import OUTPUT_CHAIN, OUTPUT_RUN
from quantum_butler.progress import Progress
from quantum_butler.transferring.graph_outputs import GraphError, open_graph
from quantum_butler.transferring.report import TransferError
from registries import Registries, content

pytestmark = pytest.mark.slow


def test_what_is_scanned_is_what_upstream_makes_of_it(
    campaign: Campaign, registries: Registries, tmp_path: Path
) -> None:
    """All outputs but those of one quantum are found on disk, with two quanta that only the graph has."""
    theirs, ours, would = (registries.copy(campaign.executed) for _ in range(3))
    transfer_upstream(theirs, campaign.graph_file)
    archive = write_archive(
        tmp_path / "part",
        [
            changed(entry, lambda data: data.update(actual_outputs=[], datastore_records={}))
            for entry in campaign.entries[:-2]
        ],
    )
    report = transferred(would, campaign, archive, scan=True, dry_run=True)
    number = sum(len(entry.provenance.actual_outputs) for entry in campaign.entries)
    assert (report.scanned, report.unrecorded, report.is_clean) == (number, 0, True)
    assert content(would) == content(campaign.executed)
    report = transferred(ours, campaign, archive, scan=True, batch=3, update_output_chain=True)
    assert (report.scanned, report.unrecorded, report.is_clean) == (number, 0, True)
    assert (report.datasets, report.quanta_only_in_graph) == (0, 2)
    assert content(ours) == content(theirs)
    assert tables(ours) == tables(theirs)
    assert read(ours, content(ours)) == campaign.contents
    # There is nothing left to find.
    again = transferred(ours, campaign, archive, scan=True)
    assert (again.scanned, again.init_outputs) == (0, 0)
    assert transferred(ours, campaign, archive).is_clean
    assert tables(ours) == tables(theirs)


@pytest.mark.parametrize("batch", [3, 2_000])
def test_the_same_as_upstream(campaign: Campaign, registries: Registries, batch: int) -> None:
    root = registries.copy(campaign.executed)
    assert content(root).refs.keys() < campaign.expected.refs.keys()
    steps: list[Progress] = []
    report = transferred(root, campaign, batch=batch, update_output_chain=True, progress=steps.append)
    assert content(root) == campaign.expected
    assert tables(root) == tables(campaign.upstream)
    assert read(root, content(root)) == campaign.contents
    quanta = 2 * DETECTORS
    assert (report.quanta, report.quanta_only_in_archive, report.quanta_only_in_graph) == (quanta, 0, 0)
    assert report.datasets + report.init_outputs == len(campaign.expected.refs) - DETECTORS
    assert report.init_outputs > 0
    assert report.runs == [OUTPUT_RUN]
    assert report.is_clean
    assert (steps[-1].done, steps[-1].total) == (quanta, quanta)
    done = [step.done for step in steps if step.step == "transferring quanta"]
    assert done == [*range(0, quanta, batch), quanta]
    with Butler.from_config(str(root)) as butler:
        assert butler.collections.get_info(OUTPUT_CHAIN).children[0] == OUTPUT_RUN

    again = transferred(root, campaign, batch=batch)
    assert (again.datasets, again.records, again.init_outputs) == (0, 0, 0)
    assert again.already_there == report.datasets
    assert again.is_clean
    assert content(root) == campaign.expected


def test_the_chain_is_that_of_upstream(on_sqlite: Campaign, registries: Registries) -> None:
    chains = []
    for upstream in (True, False):
        root = registries.copy(on_sqlite.executed)
        if upstream:
            transfer_upstream(root, on_sqlite.graph_file)
        else:
            transferred(root, on_sqlite, update_output_chain=True)
        with Butler.from_config(str(root)) as butler:
            chains.append(butler.collections.get_info(OUTPUT_CHAIN).children)
    assert chains[0] == chains[1]


def test_a_dry_run_changes_nothing(on_sqlite: Campaign, registries: Registries) -> None:
    root = registries.copy(on_sqlite.executed)
    before = content(root)
    would = transferred(root, on_sqlite, dry_run=True, update_output_chain=True)
    assert content(root) == before
    with Butler.from_config(str(root)) as butler:
        assert OUTPUT_RUN not in butler.collections.query("*")
    done = transferred(root, on_sqlite, Archive(on_sqlite.archive))
    assert replace(done, dry_run=True) == would


def test_what_upstream_has_transferred_is_there(campaign: Campaign, registries: Registries) -> None:
    root = registries.copy(campaign.executed)
    types = {ref.datasetType.name for ref in campaign.expected.refs.values()}
    transfer_upstream(
        root, campaign.graph_file, next(name for name in sorted(types) if name.endswith("_log"))
    )
    report = transferred(root, campaign)
    assert report.already_there == DETECTORS
    assert report.is_clean
    found = content(root)
    assert (found.refs, found.located) == (campaign.expected.refs, campaign.expected.located)
    [records], [expected] = found.records.values(), campaign.expected.records.values()
    different = set(records) ^ set(expected)
    assert {row[2] for row in different if "file_size=-1" in row} == {row[2] for row in different}
    assert len(different) == 2 * DETECTORS


def test_known_but_not_recorded(on_sqlite: Campaign, registries: Registries) -> None:
    root = registries.copy(on_sqlite.executed)
    transferred(root, on_sqlite)
    one = min(on_sqlite.entries[0].provenance.actual_outputs)
    with Butler.from_config(str(root), writeable=True) as butler:
        butler._datastore.forget([on_sqlite.expected.refs[one]])
    report = transferred(root, on_sqlite)
    assert (report.datasets, report.records) == (0, 1)
    assert content(root) == on_sqlite.expected


def grow(data: dict[str, Any]) -> None:
    next(each_row(data))["file_size"] += 1


def test_different_records_stay_and_are_told(
    on_sqlite: Campaign, registries: Registries, tmp_path: Path
) -> None:
    root = registries.copy(on_sqlite.executed)
    transferred(root, on_sqlite)
    first, *others = on_sqlite.entries
    archive = write_archive(tmp_path / "other", [changed(first, grow), *others])
    report = transferred(root, on_sqlite, archive)
    assert report.different == 1
    assert not report.is_clean
    assert content(root) == on_sqlite.expected


def test_of_a_quantum_that_is_logged_twice_the_later_counts(
    on_sqlite: Campaign, registries: Registries, tmp_path: Path
) -> None:
    first, *others = on_sqlite.entries
    archive = write_archive(tmp_path / "twice", [changed(first, grow), *others, first])
    root = registries.copy(on_sqlite.executed)
    transferred(root, on_sqlite, archive)
    assert content(root) == on_sqlite.expected


@pytest.mark.parametrize("batch", [3, 2_000])
def test_an_archive_that_has_everything_twice(
    on_sqlite: Campaign, registries: Registries, tmp_path: Path, batch: int
) -> None:
    def twice(table: pa.Table) -> pa.Table:
        return pa.concat_tables([table, table])

    archive = rewritten(on_sqlite.archive, tmp_path / "twice", twice, "quanta", "edges", "records")
    root = registries.copy(on_sqlite.executed)
    transferred(root, on_sqlite, archive, batch=batch)
    assert content(root) == on_sqlite.expected


def test_sizes_that_nobody_knows(on_sqlite: Campaign, registries: Registries, tmp_path: Path) -> None:
    def forget(data: dict[str, Any]) -> None:
        for row in each_row(data):
            row["file_size"] = -1

    archive = write_archive(tmp_path / "without", [changed(entry, forget) for entry in on_sqlite.entries])
    root = registries.copy(on_sqlite.executed)
    transferred(root, on_sqlite, archive)
    # So does upstream's transfer from the graph.
    stock = registries.copy(on_sqlite.executed)
    transfer_upstream(stock, on_sqlite.graph_file)
    assert content(root) == content(stock)


def test_quanta_of_one_side_only(on_sqlite: Campaign, registries: Registries, tmp_path: Path) -> None:
    root = registries.copy(on_sqlite.executed)
    stranger = replace(on_sqlite.entries[0], quantum_id=uuid.uuid4())
    archive = write_archive(tmp_path / "archive", [stranger, *on_sqlite.entries[1:3]])
    report = transferred(root, on_sqlite, archive)
    assert (report.quanta, report.quanta_only_in_archive) == (2, 1)
    assert report.quanta_only_in_graph == 2 * DETECTORS - 2
    # The quanta of the graph that the archive does not have have written, too.
    unknown = [*on_sqlite.entries[:1], *on_sqlite.entries[3:]]
    lost = {output for entry in unknown for output in entry.provenance.actual_outputs}
    assert report.unrecorded == len(lost)
    assert {uuid.UUID(output.dataset_id) for output in report.unrecorded_outputs} == lost
    assert not report.is_clean
    again = transferred(root, on_sqlite)
    assert again.already_there == report.datasets
    assert (again.unrecorded, again.is_clean) == (0, True)
    assert content(root) == on_sqlite.expected

    strange = write_archive(tmp_path / "strange", [stranger])
    with pytest.raises(TransferError, match="do not belong together"):
        transferred(root, on_sqlite, strange)
    empty = write_archive(tmp_path / "empty", [])
    with pytest.raises(TransferError, match="none of the 0 quanta"):
        transferred(root, on_sqlite, empty)


@pytest.mark.parametrize("batch", [1, 3, 2_000])
def test_outputs_that_nobody_tells_of_are_named(
    on_sqlite: Campaign, registries: Registries, tmp_path: Path, batch: int
) -> None:
    def lose_one(data: dict[str, Any]) -> None:
        lost.add(uuid.UUID(data["actual_outputs"].pop()))

    # One quantum has not been logged; of another one, an attempt has that wrote less than there is.
    lost: set[uuid.UUID] = set()
    first, second, *others = on_sqlite.entries
    archive = write_archive(tmp_path / "archive", [changed(first, lose_one), *others])
    lost |= second.provenance.actual_outputs
    root = registries.copy(on_sqlite.executed)
    gone = min(second.provenance.actual_outputs)
    for dry_run in (True, False):
        report = transferred(root, on_sqlite, archive, batch=batch, dry_run=dry_run)
        assert report.unrecorded == len(report.unrecorded_outputs) == len(lost)
        assert not report.is_clean
        for output in report.unrecorded_outputs:
            ref = on_sqlite.expected.refs[uuid.UUID(output.dataset_id)]
            assert ref.id in lost
            assert (output.dataset_type, output.data_id) == (ref.datasetType.name, dict(ref.dataId.required))
            owner = first if ref.id in first.provenance.predicted_outputs else second
            assert output.quantum_id == str(owner.quantum_id)
            assert Path(output.path).is_file() and Path(output.path).is_relative_to(root)
    # What is not there, or what the repository knows from elsewhere, is not one of them.
    one = next(output for output in report.unrecorded_outputs if output.dataset_id == str(gone))
    Path(one.path).unlink()
    assert transferred(root, on_sqlite, archive, batch=batch).unrecorded == len(lost) - 1
    transfer_upstream(root, on_sqlite.graph_file)
    assert transferred(root, on_sqlite, archive, batch=batch).is_clean


def test_every_form_of_a_graph_tells_of_the_quanta_that_only_it_has(
    on_sqlite: Campaign, registries: Registries, tmp_path: Path
) -> None:
    archive = write_archive(tmp_path / "archive", on_sqlite.entries[:1])
    graph = PredictedQuantumGraph.read_execution_quanta(str(on_sqlite.graph_file))
    expected = None
    for form in (str(on_sqlite.graph_file), graph, graph.to_old_quantum_graph()):
        report = transferred(
            registries.copy(on_sqlite.executed), on_sqlite, archive, graph=form, dry_run=True
        )
        found = (report.unrecorded, {output.dataset_id for output in report.unrecorded_outputs})
        assert report.unrecorded == 3 * (2 * DETECTORS - 1)
        assert found == (expected := expected or found)


def test_failed_quanta_and_strange_outputs(
    on_sqlite: Campaign, registries: Registries, tmp_path: Path
) -> None:
    def fail(data: dict[str, Any]) -> None:
        data["actual_outputs"] = [str(uuid.uuid4())]
        data["datastore_records"] = {}

    first, *others = on_sqlite.entries
    lost = first.provenance.actual_outputs
    archive = write_archive(tmp_path / "archive", [changed(first, fail), *others])
    root = registries.copy(on_sqlite.executed)
    report = transferred(root, on_sqlite, archive)
    assert report.unexpected == 1
    assert report.unrecorded == len(lost)
    assert not report.is_clean
    assert content(root).refs.keys() == on_sqlite.expected.refs.keys() - lost


def test_records_of_other_datastores_are_left_out(
    on_sqlite: Campaign, registries: Registries, tmp_path: Path
) -> None:
    def rename(data: dict[str, Any]) -> None:
        data["datastore_records"] = dict.fromkeys(["elsewhere"], *data["datastore_records"].values())

    archive = write_archive(tmp_path / "archive", [changed(entry, rename) for entry in on_sqlite.entries])
    root = registries.copy(on_sqlite.executed)
    report = transferred(root, on_sqlite, archive)
    assert (report.records, report.records_elsewhere) == (0, report.datasets)
    assert content(root).refs == on_sqlite.expected.refs


def test_a_conflict_is_told_and_its_batch_is_undone(on_sqlite: Campaign, registries: Registries) -> None:
    root = registries.copy(on_sqlite.executed)
    one = on_sqlite.expected.refs[min(on_sqlite.entries[-1].provenance.actual_outputs)]
    with Butler.from_config(str(root), writeable=True) as butler:
        butler.registry.registerDatasetType(one.datasetType)
        butler.collections.register("another/run")
        butler.registry._importDatasets([type(one)(one.datasetType, one.dataId, "another/run", id=one.id)])
    with pytest.raises(TransferError, match=r"refuses a batch.*another/run"):
        transferred(root, on_sqlite, batch=2)
    expected = {id_ for entry in on_sqlite.entries[:-2] for id_ in entry.provenance.actual_outputs}
    found = content(root).refs
    assert expected == {id_ for id_, ref in found.items() if ref.run == OUTPUT_RUN}


@pytest.mark.parametrize("dimension", ["detector", "instrument"])
def test_dimension_records_that_are_missing(
    on_sqlite: Campaign, registries: Registries, dimension: str
) -> None:
    root = registries.copy(on_sqlite.executed)
    with contextlib.closing(sqlite3.connect(root / "gen3.sqlite3")) as database, database:
        database.execute(f"DELETE FROM {dimension}")
    with pytest.raises(TransferError, match="a dimension row is missing"):
        transferred(root, on_sqlite)
    assert not any(ref.run == OUTPUT_RUN for ref in content(root).refs.values())


def test_every_form_of_a_graph(on_sqlite: Campaign, registries: Registries, tmp_path: Path) -> None:
    graph = PredictedQuantumGraph.read_execution_quanta(str(on_sqlite.graph_file))
    old = graph.to_old_quantum_graph()
    old_file = tmp_path / "graph.qgraph"
    old.saveUri(str(old_file))
    for form in (graph, old, old_file):
        root = registries.copy(on_sqlite.executed)
        transferred(root, on_sqlite, graph=form)
        assert content(root) == on_sqlite.expected


def test_wrong_calls(on_sqlite: Campaign) -> None:
    graph = str(on_sqlite.graph_file)
    with Butler.from_config(str(on_sqlite.executed)) as butler:
        with pytest.raises(ValueError, match="at least one quantum"):
            transfer(on_sqlite.archive, butler, graph, batch=0)
        with pytest.raises(TypeError, match="read-only"):
            transfer(on_sqlite.archive, butler, graph)
    with pytest.raises(GraphError), open_graph("nowhere.qg"):
        pass
