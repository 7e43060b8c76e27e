"""A repository in an object store: records are ours, the rest is upstream's.

The store is S3, played by `moto` in this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lsst.daf.butler import DatasetRef
from lsst.resources import ResourcePath
from lsst.resources.s3utils import clean_test_environment_for_s3, getS3Client
from moto import mock_aws
from scenarios import Butler, Run, scenario

from quantum_butler.switches import native_enabled
from repositories import NewRepository, Repository, example_metrics

BUCKET = "observatory"
ROOT = f"s3://{BUCKET}/data/repo"


class Remote:
    """The bucket, and the repository in it."""

    def __init__(self, client: Any):
        self._client = client
        client.create_bucket(Bucket=BUCKET)

    def upload(self, repository: Repository, refs: Iterable[DatasetRef] = ()) -> None:
        """Put a repository with some of its datasets there, in place of what was there."""
        for key in self.objects():
            self._client.delete_object(Bucket=BUCKET, Key=f"data/repo/{key}")
        files = {path for ref in refs for path in repository.paths(ref)}
        for path in (repository.root / "butler.yaml", *files):
            file = path.with_name(path.name.partition("#")[0])
            if file.is_file():  # Not one that is kept elsewhere.
                key = file.relative_to(repository.root).as_posix()
                self._client.put_object(Bucket=BUCKET, Key=f"data/repo/{key}", Body=file.read_bytes())

    def objects(self) -> dict[str, bytes]:
        """Return everything that is there, except the configuration."""
        found: dict[str, bytes] = {}
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for entry in page.get("Contents", ()):
                name = entry["Key"].removeprefix("data/repo/")
                if name != "butler.yaml":
                    body = self._client.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"]
                    found[name] = body.read()
        return found

    def remove(self, repository: Repository, ref: DatasetRef, *components: str) -> None:
        """Remove the objects of a stored dataset, as an accident would."""
        names = [
            path.relative_to(repository.root).as_posix()
            for path in repository.paths(ref)
            if not components or any(f".{component}/" in path.as_posix() for component in components)
        ]
        assert names, "There is nothing to remove."
        for name in names:
            self._client.delete_object(Bucket=BUCKET, Key=f"data/repo/{name}")

    def butler(
        self,
        run: Run,
        inputs: Iterable[DatasetRef] = (),
        outputs: Iterable[DatasetRef] = (),
        recorded: Iterable[DatasetRef] | None = None,
    ) -> Butler:
        """Initialize a butler for the repository there, watched from now on."""
        quantum = run.repository.quantum(inputs, outputs, recorded=recorded)
        butler: Butler = run(
            run.butler_class.initialize,
            ROOT,
            quantum,
            run.repository.universe,
            dataset_types=run.repository.dataset_types,
        )
        run.watch(butler)
        return butler


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    """Return the store, in which nothing is."""
    with clean_test_environment_for_s3(), mock_aws():
        yield Remote(getS3Client())


def _a_whole_quantum(run: Run, remote: Remote) -> None:
    inputs = [ref for refs in run.repository.stored.values() for ref in refs[:1]]
    outputs = [refs[0] for name, refs in run.repository.predicted.items() if "fragile" not in name]
    remote.upload(run.repository, inputs)
    butler = remote.butler(run, inputs, outputs)
    assert run(butler.stored_many, inputs) == dict.fromkeys(inputs, True)
    for ref in inputs:
        assert run(butler.get, ref) == run.value(ref)
    assert run(butler.stored_many, outputs) == dict.fromkeys(outputs, False)
    run(butler.export_predicted_datastore_records, outputs)
    for number, ref in enumerate(outputs):
        metrics = ref.datasetType.storageClass_name.startswith("Metrics")
        run(butler.put, example_metrics(number) if metrics else {"number": number}, ref)
        assert run(butler.stored, ref) is True
        run(butler.get, ref)
    run.note("objects", remote.objects())
    run(butler.get_many_uris, [*inputs, *outputs], predict=True)
    run(butler.getURIs, outputs[0])
    provenance = run(butler.extract_provenance_data)
    assert provenance.actual_outputs == {ref.id for ref in outputs}
    run(butler.pruneDatasets, outputs[::2], disassociate=True, unstore=True, purge=True)
    run.note("objects", remote.objects())
    assert run(butler.stored_many, outputs) == {ref: n % 2 == 1 for n, ref in enumerate(outputs)}


@scenario
def test_a_whole_quantum(run: Run, remote: Remote) -> None:
    _a_whole_quantum(run, remote)


@scenario("checksum")
def test_a_whole_quantum_with_checksums(run: Run, remote: Remote) -> None:
    _a_whole_quantum(run, remote)


@scenario("cached")
def test_a_whole_quantum_with_a_cache(run: Run, remote: Remote) -> None:
    _a_whole_quantum(run, remote)


@scenario("chained")
def test_a_whole_quantum_in_a_chain(run: Run, remote: Remote) -> None:
    _a_whole_quantum(run, remote)


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@scenario
def test_some_are_missing(run: Run, remote: Remote, recorded: bool) -> None:
    here, gone = run.refs("measured", 0, 1)
    complete, broken, lost = run.refs("parts", 0, 1, 2)
    remote.upload(run.repository, [here, gone, complete, broken, lost])
    remote.remove(run.repository, gone)
    remote.remove(run.repository, broken, "data")
    remote.remove(run.repository, lost)
    inputs = [here, gone, complete, broken, lost]
    butler = remote.butler(run, inputs, recorded=inputs if recorded else [])
    expected = dict(zip(inputs, [True, False, True, not recorded, False], strict=True))
    assert run(butler.stored_many, inputs) == expected
    assert {ref: run(butler.stored, ref) for ref in inputs} == expected
    assert run(butler._datastore.mexists, inputs) == expected
    assert {ref: run(butler._datastore.exists, ref) for ref in inputs} == expected
    assert run(butler._datastore.knows_these, inputs) == dict.fromkeys(inputs, recorded)
    assert butler._unavailable_inputs == {ref.id for ref, exists in expected.items() if not exists}
    for ref in inputs:
        try:
            run(butler.get, ref)
        except FileNotFoundError:
            assert ref not in (here, complete)
    run(butler.getURI, here, predict=True)


@scenario
def test_components_parameters_and_overrides(run: Run, remote: Remote) -> None:
    whole, parts, series = run.ref("whole"), run.ref("parts"), run.ref("series")
    remote.upload(run.repository, [whole, parts, series])
    butler = remote.butler(run, [whole, parts, series])
    for ref in (whole, parts):
        assert run(butler.get, ref.makeComponentRef("data")) == run.value(ref).data
        assert run(butler.get, ref.makeComponentRef("counter")) == len(run.value(ref).data)
        assert run(butler.stored, ref.makeComponentRef("summary")) is True
    assert run(butler.get, series, parameters={"slice": slice(0, 2)}) == run.value(series)[:2]
    run(butler.get, whole, storageClass="MetricsModel")
    assert run(run(butler.getDeferred, whole).get) == run.value(whole)


@pytest.mark.parametrize("name", ["grouped", "zipped"])
@scenario
def test_shared_object_stays_while_anybody_needs_it(run: Run, remote: Remote, name: str) -> None:
    refs = run.refs(name)
    remote.upload(run.repository, refs)
    butler = remote.butler(run, refs)
    path = run.repository.paths(refs[0])[0].relative_to(run.repository.root).as_posix().partition("#")[0]
    for number, ref in enumerate(refs):
        assert path in remote.objects()
        assert run(butler.get, ref) == run.value(ref)
        run(butler.pruneDatasets, [ref], disassociate=True, unstore=True, purge=True)
        assert (path in remote.objects()) is (number < len(refs) - 1)


@pytest.mark.parametrize("name", ["fragile_out", "fragile_v1_out"])
@scenario
def test_put_that_fails_leaves_nothing(run: Run, remote: Remote, name: str) -> None:
    remote.upload(run.repository)
    before = remote.objects()
    ref = run.ref(name)
    butler = remote.butler(run, outputs=[ref])
    run.error(butler.put, {"fail_write": "OSError"}, ref)
    assert remote.objects() == before
    assert run(butler.stored, ref) is False
    assert run(butler._datastore.knows, ref) is False
    run(butler.put, {"a": 1}, ref)
    run.note("objects", remote.objects())
    error = run.error(butler.put, {"a": 2}, ref)
    assert type(error).__name__ == "IntegrityError"
    run.note("objects", remote.objects())


@scenario("cached")
def test_what_was_read_is_kept_in_the_cache(run: Run, remote: Remote) -> None:
    ref, other, output = run.ref("measured"), run.ref("exposed"), run.ref("derived")
    remote.upload(run.repository, [ref, other])
    butler = remote.butler(run, [ref, other], [output])
    run(butler.get, ref)
    run(butler.get, other)
    run(butler.put, {"a": 1}, output)
    cache = butler._datastore.cacheManager  # type: ignore[attr-defined]
    run.note("in the cache", cache.file_count)
    assert cache.file_count > 0
    remote.remove(run.repository, ref)
    assert run(butler.get, ref) == run.value(ref)
    run(butler.stored, ref)
    run(butler.stored_many, [ref, other, output])
    run(butler.pruneDatasets, [ref, output], disassociate=True, unstore=True, purge=True)
    run.note("in the cache", cache.file_count)
    run.error(butler.get, ref)


@scenario
def test_records_of_one_butler_serve_another(run: Run, remote: Remote) -> None:
    remote.upload(run.repository)
    outputs = run.refs("derived")
    writer = remote.butler(run, outputs=outputs)
    for ref in outputs:
        run(writer.put, {"a": 1}, ref)
    records = run(writer._datastore.export_records, outputs)
    reader = run(
        run.butler_class.from_predicted,
        ROOT,
        [ref.id for ref in outputs],
        [],
        run.repository.universe,
        records,
    )
    run.watch(reader)
    assert run(reader.stored_many, outputs) == dict.fromkeys(outputs, True)
    assert run(reader.get, outputs[0]) == {"a": 1}


def test_configuration_that_changes_there(
    our_class: type[Butler], new_repository: NewRepository, remote: Remote
) -> None:
    # It is read every time.
    repository = new_repository()
    output = repository.predicted["derived"][0]
    for folder in ("first", "second"):
        text = (repository.root / "butler.yaml").read_text()
        config = repository.root / "butler.yaml"
        template = f"{folder}/{{run:/}}/{{datasetType}}.{{component:?}}_{{instrument:?}}_{{detector:?}}"
        config.write_text(
            text.replace("datastore:\n", f"datastore:\n  templates:\n    default: '{template}'\n")
        )
        remote.upload(repository)
        config.write_text(text)
        with our_class.from_predicted(ROOT, [], [output.id], repository.universe, {}) as butler:
            assert f"/{folder}/" in butler.getURI(output, predict=True).path


@pytest.mark.skipif(not native_enabled(), reason="upstream looks up its own records")
def test_one_bulk_check_and_our_records(
    our_class: type[Butler], new_repository: NewRepository, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = new_repository()
    refs = list(repository.stored["measured"])
    remote.upload(repository, refs)
    checks: list[int] = []

    def mexists(uris: Iterable[ResourcePath], check: Any = ResourcePath.mexists, **options: Any) -> Any:
        checks.append(len(uris := list(uris)))
        return check(uris, **options)

    monkeypatch.setattr(ResourcePath, "mexists", mexists)
    quantum = repository.quantum(refs)
    with our_class.initialize(ROOT, quantum, repository.universe) as butler:
        datastore: Any = butler._datastore
        assert type(datastore).__module__.startswith("quantum_butler")
        assert type(datastore._table).__module__.startswith("quantum_butler")
        assert datastore.root_path is None
        assert butler.stored_many(refs) == dict.fromkeys(refs, True)
    assert checks == [len(refs)]
