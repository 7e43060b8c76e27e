"""Every public method of the stock class can be called on ours as it is."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from lsst.daf.butler import ButlerMetrics, LimitedButler, QuantumBackedButler, QuantumProvenanceData
from scenarios import Butler

from repositories import Repository


def public_members(of: type) -> dict[str, inspect.Attribute]:
    """Return what a class offers under public names, inherited or not.

    Parameters
    ----------
    of : `type`
        The class.

    Returns
    -------
    members : `dict` [ `str`, `inspect.Attribute` ]
        By name.
    """
    return {
        attribute.name: attribute
        for attribute in inspect.classify_class_attrs(of)
        if not attribute.name.startswith("_") and attribute.defining_class is not object
    }


PUBLIC = public_members(QuantumBackedButler)
CALLABLE = sorted(
    name for name, member in PUBLIC.items() if member.kind in ("method", "class method", "static method")
)

# What design and documentation promise must be among what is compared.
PROMISED = {
    "close",
    "export_predicted_datastore_records",
    "extract_provenance_data",
    "from_predicted",
    "get",
    "getDeferred",
    "getURI",
    "getURIs",
    "get_datastore_names",
    "get_datastore_roots",
    "get_many_uris",
    "initialize",
    "isWriteable",
    "markInputUnused",
    "pruneDatasets",
    "put",
    "record_metrics",
    "retrieve_artifacts",
    "retrieve_artifacts_zip",
    "stored",
    "stored_many",
}

# What ours can be told besides.
_DURABILITY = [("durability", "KEYWORD_ONLY", "disk")]
OWN = {"initialize": _DURABILITY, "from_predicted": _DURABILITY}


def parameters(of: Any) -> list[tuple[str, str, object]]:
    """Return name, kind and default of each parameter, without ``self``."""
    return [
        (parameter.name, parameter.kind.name, parameter.default)
        for parameter in inspect.signature(of).parameters.values()
        if parameter.name not in ("self", "cls")
    ]


def test_there_is_something_to_compare() -> None:
    assert set(CALLABLE) >= PROMISED
    compared = {
        name: [parameter for parameter, _, _ in parameters(getattr(QuantumBackedButler, name))]
        for name in CALLABLE
    }
    print(f"Compared: {compared}")
    assert sum(map(len, compared.values())) > 50


def test_constructor(our_class: type[Butler]) -> None:
    expected = parameters(QuantumBackedButler)
    assert parameters(our_class) == expected
    # The documented order, then what came later.
    names = [name for name, _, _ in expected]
    assert names == [
        "predicted_inputs",
        "predicted_outputs",
        "dimensions",
        "datastore",
        "storageClasses",
        "dataset_types",
        "metrics",
        "database",
    ]


@pytest.mark.parametrize("name", CALLABLE)
def test_method(our_class: type[Butler], name: str) -> None:
    found, expected = parameters(getattr(our_class, name)), parameters(getattr(QuantumBackedButler, name))
    # Options of our own come last and have names, so that they are in nobody's way.
    assert found[: len(expected)] == expected
    assert found[len(expected) :] == ([] if our_class is QuantumBackedButler else OWN.get(name, []))


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_kind_of_member(our_class: type[Butler], name: str) -> None:
    assert public_members(our_class)[name].kind == PUBLIC[name].kind


@pytest.mark.parametrize("name", CALLABLE)
def test_ours_is_documented(our_class: type[Butler], name: str) -> None:
    assert inspect.getdoc(getattr(our_class, name))


def test_ours_is_a_limited_butler(our_class: type[Butler], repository: Repository) -> None:
    assert issubclass(our_class, LimitedButler)
    with repository.butler(our_class) as butler:
        # As the demands of upstream's type annotations go.
        assert isinstance(butler, QuantumBackedButler)
        for name in ("_datastore", "_metrics", "storageClasses", "_file_transfer_source", "dimensions"):
            assert getattr(butler, name) is not None
        assert isinstance(butler._metrics, ButlerMetrics)


def test_provenance_model(our_class: type[Butler], repository: Repository) -> None:
    with repository.butler(our_class) as butler:
        ours = type(butler.extract_provenance_data())
    assert issubclass(ours, QuantumProvenanceData)
    assert list(ours.model_fields) == list(QuantumProvenanceData.model_fields)
    members = public_members(QuantumProvenanceData)
    compared = []
    for name, member in members.items():
        if member.kind in ("method", "class method", "static method"):
            found, expected = (
                parameters(getattr(ours, name)),
                parameters(getattr(QuantumProvenanceData, name)),
            )
            # Options that go on to pydantic need not be spelled out.
            if any(kind == "VAR_KEYWORD" for _, kind, _ in found):
                found = [parameter for parameter in found if parameter[1] != "VAR_KEYWORD"]
                names = {name for name, _, _ in found}
                expected = [
                    parameter
                    for parameter in expected
                    if parameter[0] in names or parameter[1] not in ("KEYWORD_ONLY", "VAR_KEYWORD")
                ]
            assert found == expected, name
            compared.append(name)
    assert {"direct", "collect_and_transfer", "model_dump_json", "model_validate_json"} <= set(compared)
