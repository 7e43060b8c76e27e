"""What happens to a quantum's outputs afterwards."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lsst.daf.butler import DatasetRef, QuantumProvenanceData
from lsst.resources import ResourcePath
from scenarios import Butler, Run, plain, scenario

from repositories import NewRepository, Repository, example_metrics


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    "options",
    [{}, {"transfer": "copy"}, {"preserve_path": False}, {"transfer": "hardlink", "overwrite": True}],
    ids=repr,
)
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@scenario
def test_retrieve_artifacts(run: Run, recorded: bool, options: dict[str, Any]) -> None:
    inputs = [run.ref("measured"), run.ref("parts"), run.ref("whole")]
    output = run.ref("derived")
    butler = run.butler(inputs=inputs, outputs=[output], recorded=inputs if recorded else [])
    run(butler.put, {}, output)
    target = run.folder / "target"
    target.mkdir()
    retrieved = butler.retrieve_artifacts([*inputs, output], str(target), **options)
    assert all(isinstance(uri, ResourcePath) for uri in retrieved)
    run.note("retrieved", sorted(str(uri) for uri in retrieved))
    assert len(retrieved) == 6
    files = _files(target)
    index = files.pop("_butler_zip_index.json")
    assert index
    run.note("files", files)
    assert len(files) == 6
    if options.get("transfer") == "copy":
        error = run.error(butler.retrieve_artifacts, inputs, str(target), **options)
        assert type(error) is FileExistsError


@scenario
def test_retrieve_every_kind(run: Run) -> None:
    inputs = [ref for name in run.repository.stored for ref in run.refs(name)]
    butler = run.butler(inputs=inputs)
    retrieved = butler.retrieve_artifacts(inputs, str(run.folder))
    run.note("retrieved", sorted(str(uri) for uri in retrieved))
    files = _files(run.folder)
    files.pop("_butler_zip_index.json")
    run.note("files", files)


@scenario
def test_retrieve_what_is_missing(run: Run) -> None:
    gone, output = run.ref("measured"), run.ref("derived")
    run.remove(gone)
    butler = run.butler(inputs=[gone], outputs=[output])
    for refs in ([output], [gone]):
        try:
            run(butler.retrieve_artifacts, refs, str(run.folder))
        except Exception as error:
            run.note("refused", type(error).__name__)
    assert (
        type(run.error(butler.retrieve_artifacts, [output], str(run.folder), transfer="move")) is ValueError
    )
    assert type(run.error(butler.retrieve_artifacts, [output], str(run.folder / "a.json"))) is ValueError


@scenario
def test_retrieve_zip(run: Run) -> None:
    inputs = [run.ref("measured"), run.ref("parts"), *run.refs("zipped", 0, 1)]
    butler = run.butler(inputs=inputs)
    archive = run(butler.retrieve_artifacts_zip, inputs, str(run.folder))
    with zipfile.ZipFile(archive.ospath) as members:
        contents = {name: members.read(name) for name in members.namelist()}
    assert contents.pop("_butler_zip_index.json")
    assert len(contents) == 6
    run.note("members", contents)
    error = run.error(butler.retrieve_artifacts_zip, inputs, str(run.folder), overwrite=False)
    assert type(error) is FileExistsError
    run(butler.retrieve_artifacts_zip, inputs, str(run.folder), overwrite=True)
    assert type(run.error(butler.retrieve_artifacts_zip, [], str(run.folder))) is ValueError


@scenario
def test_file_transfer_source(run: Run) -> None:
    recorded, unrecorded, gone = run.refs("measured", 0, 1, 2)
    parts, zipped = run.ref("parts"), run.ref("zipped")
    run.remove(gone)
    inputs = [recorded, unrecorded, gone, parts, zipped]
    butler = run.butler(inputs=inputs, recorded=[recorded, parts, zipped])
    source = butler._file_transfer_source
    assert source is butler._datastore
    known = run(source.get_file_info_for_transfer, [ref.id for ref in inputs])
    assert {key: len(infos) for key, infos in known.items()} == {recorded.id: 1, parts.id: 3, zipped.id: 1}
    existence: dict[ResourcePath, bool] = {}
    found = run(source.locate_missing_files_for_transfer, [unrecorded, gone], existence)
    assert {key: len(infos) for key, infos in found.items()} == {unrecorded.id: 1}
    run.note("artifact existence", existence)
    assert sorted(existence.values()) == [False, True]
    assert run(source.get_file_info_for_transfer, []) == {}
    assert run(source.locate_missing_files_for_transfer, [], {}) == {}


@pytest.fixture
def repositories(
    new_repository: NewRepository, is_ours: bool
) -> Callable[[Callable[[Repository], Any]], list[Any]]:
    """Return a function that runs another on copies with registries.

    The comparison needs two copies, the stock class alone one.
    """

    def run(each: Callable[[Repository], Any]) -> list[Any]:
        return [each(new_repository(registry=True)) for _ in range(2 if is_ours else 1)]

    return run


def _outputs(repository: Repository) -> list[DatasetRef]:
    return [
        *repository.predicted["derived"][:2],
        repository.predicted["parts_out"][0],
        repository.predicted["whole_out"][0],
        repository.predicted["log"][0],
    ]


def _put(butler: Butler, refs: list[DatasetRef]) -> None:
    for number, ref in enumerate(refs):
        metrics = ref.datasetType.name in ("parts_out", "whole_out")
        butler.put(example_metrics(number) if metrics else {"number": number}, ref)


def _in_the_registry(repository: Repository, refs: list[DatasetRef]) -> dict[str, Any]:
    with repository.open(writeable=False) as full:
        return {
            "refs": {ref.id for ref in refs if full.get_dataset(ref.id) is not None},
            "stored": {ref.id for ref, stored in full.stored_many(refs).items() if stored},
            "values": [full.get(ref) for ref in refs if full.get_dataset(ref.id) is not None],
            "records": plain(full._datastore.export_records(refs)),
            "files": repository.artifacts(),
        }


@pytest.mark.parametrize("way", ["as it is", "through JSON", "by the stock model"])
def test_collect_and_transfer(
    butler_class: type[Butler],
    stock_class: type[Butler],
    repositories: Callable[[Callable[[Repository], Any]], list[Any]],
    way: str,
) -> None:
    classes = iter([butler_class, stock_class])

    def transfer(repository: Repository) -> dict[str, Any]:
        this = next(classes)
        outputs, inputs = _outputs(repository), list(repository.stored["measured"])
        quanta = [repository.quantum(inputs, outputs[:2]), repository.quantum([], outputs[2:])]
        provenance = []
        for quantum in quanta:
            with repository.butler(this, quantum) as butler:
                _put(butler, [ref for refs in quantum.outputs.values() for ref in refs if ref != outputs[1]])
                extracted = butler.extract_provenance_data()
            provenance_class = type(extracted)
            assert issubclass(provenance_class, QuantumProvenanceData)
            if way == "through JSON":
                extracted = provenance_class.model_validate_json(extracted.model_dump_json())
            provenance.append(extracted)
        with repository.open(run=outputs[0].run) as full:
            if way == "by the stock model":
                provenance_class = QuantumProvenanceData
            provenance_class.collect_and_transfer(full, iter(quanta), iter(provenance))
        assert list(provenance[0].actual_outputs) == [outputs[0].id]
        found = _in_the_registry(repository, outputs)
        assert found["refs"] == found["stored"] == {ref.id for ref in outputs if ref != outputs[1]}
        return found

    ours, *stock = repositories(transfer)
    assert all(found == ours for found in stock)


@pytest.mark.parametrize("mode", ["auto", "copy"])
@pytest.mark.parametrize("known", [True, False], ids=["records", "no-records"])
def test_transfer_from(
    butler_class: type[Butler],
    stock_class: type[Butler],
    repositories: Callable[[Callable[[Repository], Any]], list[Any]],
    known: bool,
    mode: str,
) -> None:
    classes = iter([butler_class, stock_class])

    def transfer(repository: Repository) -> dict[str, Any]:
        this = next(classes)
        outputs = _outputs(repository)
        written = [outputs[0], *outputs[2:]]
        with repository.butler(this, outputs=outputs) as butler:
            _put(butler, written)
            if known:
                transferred = _transfer(repository, butler, outputs, mode)
        if not known:
            # By a butler that only knows what was predicted, as the
            # aggregator and `transfer_from_graph` make one.
            options = {"dataset_types": repository.dataset_types}
            with this.from_predicted(
                str(repository.root), [], [ref.id for ref in outputs], repository.universe, {}, **options
            ) as butler:
                transferred = _transfer(repository, butler, outputs, mode)
        assert transferred == set(written)
        found = _in_the_registry(repository, outputs)
        assert found["stored"] == {ref.id for ref in written}
        return found

    ours, *stock = repositories(transfer)
    assert all(found == ours for found in stock)


def _transfer(repository: Repository, butler: Butler, refs: list[DatasetRef], mode: str) -> set[DatasetRef]:
    with repository.open(run=refs[0].run) as full:
        transferred = full.transfer_from(butler, refs, transfer=mode, skip_missing=True)
        return set(transferred)


def test_outputs_read_by_the_full_butler(butler_class: type[Butler], new_repository: NewRepository) -> None:
    repository = new_repository(registry=True)
    ref = repository.predicted["derived"][0]
    with repository.butler(butler_class, outputs=[ref]) as butler:
        butler.put({"a": 1}, ref)
        (path,) = (path for path in repository.artifacts() if "derived" in path)
    with repository.open(run=ref.run) as full:
        full.registry._importDatasets([ref])
        full._datastore._set_trust_mode(True)
        assert full.get(ref) == {"a": 1}
        assert full.getURI(ref, predict=True).path.endswith(path)
