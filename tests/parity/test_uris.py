"""URIs of datasets, names and roots of datastores."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from lsst.daf.butler import DatasetRef, Location
from lsst.resources import ResourcePath
from scenarios import Run, scenario

from repositories import example_metrics

_NAMES = ["measured", "exposed", "calibration", "whole", "parts", "plain", "series"]


@pytest.mark.parametrize("predict", [True, False], ids=["predict", "do-not-predict"])
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@scenario
def test_inputs(run: Run, recorded: bool, predict: bool) -> None:
    refs = [run.ref(name) for name in _NAMES]
    butler = run.butler(inputs=refs, recorded=refs if recorded else [])
    uris = run(butler.get_many_uris, refs, predict=predict)
    assert uris.keys() == set(refs)
    for ref in refs:
        primary, components = run(butler.getURIs, ref, predict=predict)
        if ref.datasetType.name == "parts":
            assert primary is None and set(components) == {"summary", "output", "data"}
            assert type(run.error(butler.getURI, ref, predict=predict)) is RuntimeError
            continue
        assert components == {}
        uri = run(butler.getURI, ref, predict=predict)
        assert isinstance(uri, ResourcePath)
        assert uri == primary == uris[ref].primaryURI
        assert uri.fragment == ("predicted" if predict and not recorded else "")
        assert ResourcePath(uri.ospath).exists()
    # Nobody has read anything.
    assert butler._available_inputs == butler._unavailable_inputs == butler._actual_inputs == set()


@scenario
def test_predicted_outputs(run: Run) -> None:
    refs = [run.ref(name) for name in run.repository.predicted]
    butler = run.butler(outputs=refs)
    uris = run(butler.get_many_uris, refs, predict=True)
    for ref in refs:
        error = run.error(butler.getURIs, ref)
        assert type(error) is FileNotFoundError
        assert str(error) == f"Dataset {ref} not in this datastore."
        assert run(butler.getURIs, ref, predict=True) == uris[ref]
    assert run(butler.get_many_uris, refs, allow_missing=True) == {}
    assert type(run.error(butler.get_many_uris, refs)) is FileNotFoundError
    before = uris[run.ref("derived")].primaryURI
    assert str(before).endswith("/derived/derived_Cam_D0_observed_night1.json#predicted")


@scenario
def test_prediction_comes_true(run: Run) -> None:
    ref, parts = run.ref("derived"), run.ref("parts_out")
    butler = run.butler(outputs=[ref, parts])
    predicted = run(butler.getURI, ref, predict=True)
    run(butler.put, {}, ref)
    run(butler.put, example_metrics(1), parts)
    assert run(butler.getURI, ref) == predicted.replace(fragment="")
    assert run(butler.getURI, ref, predict=True) == predicted.replace(fragment="")
    assert set(run(butler.getURIs, parts).componentURIs) == {"summary", "output", "data"}


@scenario
def test_some_are_missing(run: Run) -> None:
    here, gone, unrecorded, nowhere = run.refs("measured")
    run.remove(gone)
    run.remove(nowhere)
    refs = [here, gone, unrecorded, nowhere]
    butler = run.butler(inputs=refs, recorded=[here, gone])
    # What is recorded is believed.
    assert run(butler.get_many_uris, refs, allow_missing=True).keys() == {here, gone, unrecorded}
    assert run(butler.get_many_uris, refs, predict=True).keys() == set(refs)
    assert type(run.error(butler.get_many_uris, refs)) is FileNotFoundError
    assert run(butler.get_many_uris, [], predict=True) == {}


@pytest.mark.parametrize("name", ["whole", "parts"])
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@scenario
def test_components(run: Run, name: str, recorded: bool) -> None:
    ref = run.ref(name)
    butler = run.butler(inputs=[ref], recorded=[ref] if recorded else [])
    for component in ("summary", "data", "counter"):
        for predict in (True, False):
            try:
                run(butler.getURIs, ref.makeComponentRef(component), predict=predict)
            except Exception as error:
                run.note("refused", type(error).__name__)


@scenario
def test_broken_disassembled_input(run: Run) -> None:
    recorded, unrecorded = run.refs("parts", 0, 1)
    run.remove(recorded, "data")
    run.remove(unrecorded, "data")
    butler = run.butler(inputs=[recorded, unrecorded], recorded=[recorded])
    run(butler.getURIs, recorded)
    assert set(run(butler.getURIs, unrecorded).componentURIs) == {"summary", "output"}


def _everything(uri: ResourcePath) -> tuple[Any, ...]:
    """Return all that there is to a URI; they are equal if their text is."""
    again = pickle.loads(pickle.dumps(uri))
    assert vars(again) == vars(uri)
    return (type(uri).__name__, *uri._uri, str(uri.dirLike), uri.isTemporary, type(again).__name__)


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@scenario
def test_every_attribute(run: Run, recorded: bool) -> None:
    names = [*_NAMES, "zipped", "grouped", "external"]
    inputs, outputs = [run.ref(name) for name in names], [run.ref("derived"), run.ref("parts_out")]
    butler = run.butler(inputs=inputs, outputs=outputs, recorded=inputs if recorded else [])
    uris = run(butler.get_many_uris, [*inputs, *outputs], predict=True)
    # Upstream predicts before it looks up.
    run.note("order", list(uris))
    for ref, both in uris.items():
        run.note(f"URIs of {ref}", [_everything(uri) for uri in both.iter_all()])
        run.note(f"components of {ref}", list(both.componentURIs))


def _location(location: Location) -> list[tuple[Any, ...]]:
    root = location._datastoreRootUri
    return [_everything(uri) for uri in (root, location.pathInStore, location.uri) if uri is not None]


@scenario
def test_every_attribute_of_a_location(run: Run) -> None:
    names = [*_NAMES, "zipped", "grouped", "external"]
    inputs, outputs = [run.ref(name) for name in names], run.refs("derived")
    butler = run.butler(inputs=inputs, outputs=outputs)
    for ref in outputs[:2]:
        run(butler.put, {}, ref)
    source, existence = butler._datastore, {butler.getURI(outputs[1]): False}
    files = run(source.get_file_info_for_transfer, (ref.id for ref in inputs))
    files |= run(source.locate_missing_files_for_transfer, outputs, existence)
    for ref in [*inputs, *outputs]:
        run.note(f"files of {ref}", [(info, _location(place)) for place, info in files.get(ref.id, [])])
        for place, _ in files.get(ref.id, []):
            assert place == place.clone() and place.uri == place.clone().uri
    run.note("existence", sorted((_everything(uri), exists) for uri, exists in existence.items()))


@scenario
def test_any_iterable_will_do(run: Run) -> None:
    refs = [run.ref("measured"), run.ref("derived"), run.ref("parts")]
    butler = run.butler(inputs=[refs[0], refs[2]], outputs=[refs[1]])
    kinds: list[Any] = [list, tuple, set, dict.fromkeys, iter, lambda refs: [*refs, refs[0]]]
    for kind in kinds:
        run(butler.get_many_uris, kind(refs), predict=True)
        if kind is not iter:
            run(butler._datastore.locate_missing_files_for_transfer, kind([refs[1]]), {})
    own_records = run.repository.records_of(refs[:1])["FileDatastore@<butlerRoot>"].records[refs[0].id]
    carrying: DatasetRef = refs[1].replace(datastore_records=own_records)
    run(butler.get_many_uris, [carrying, refs[0]])


@pytest.mark.parametrize("kind", ["file", "checksum", "cached", "constrained"])
def test_names_and_roots(kind: str, butler_class: type, template: object) -> None:
    repository = template(kind)  # type: ignore[operator]
    with repository.butler(butler_class) as butler:
        assert butler.get_datastore_names() == ("FileDatastore@<butlerRoot>",)
        assert butler._datastore.name == "FileDatastore@<butlerRoot>"
        roots = butler.get_datastore_roots()
        assert {name: root.ospath for name, root in roots.items()} == {
            "FileDatastore@<butlerRoot>": f"{repository.root}/"
        }
        assert butler._datastore.roots == roots
        assert butler._datastore.isEphemeral is False


@scenario("chained")
def test_names_and_roots_of_a_chain(run: Run) -> None:
    butler = run.butler()
    names = run(butler.get_datastore_names)
    assert [name.partition("@")[0] for name in names] == [
        "InMemoryDatastore",
        "FileDatastore",
        "FileDatastore",
    ]
    roots = run(butler.get_datastore_roots)
    assert set(roots) == set(names)
    assert [root is None for root in roots.values()] == [True, False, False]
    run.note("name", butler._datastore.name)
    run.note("as text", str(butler._datastore))
