"""Which template, formatter and rule the configuration gives a dataset."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from lsst.daf.butler import DataCoordinate, DatasetRef
from lsst.daf.butler.tests import MetricsExampleModel
from scenarios import Run, scenario

from repositories import example_metrics

YAML = "lsst.daf.butler.formatters.yaml.YamlFormatter"

TEMPLATES = [
    "{run:/}/{datasetType}.{component:?}/{instrument:?}_{detector:?}_{exposure:?}",
    "{run:/}/{datasetType}_{component:?}_{instrument:?}_{detector:03d?}_{exposure:?}",
    "{run}/{datasetType}/{component:?}/{instrument:?}/{detector.full_name:?}/{exposure.obs_id:?}",
    "{run:/}/{datasetType}.{component:?}/{id}",
    "{run:/}/{datasetType}.{component:?}/{day_obs|exposure.day_obs:?}/{band:?}/{physical_filter:?}/"
    "{group|exposure.obs_id:?}/{instrument:?}-{detector:?}-{exposure:?}",
    "{component:?}/{datasetType}_{id}_{run}",
    "{run:/}/{datasetType}_{visit}_{id}",
    "{run:/}/{datasetType}_{id}.with.dots",
    "{run:/}//{datasetType}//{component:?}//{id}",
]


def _configure(run: Run, **changes: Any) -> None:
    file = run.repository.root / "butler.yaml"
    config = yaml.safe_load(file.read_text())
    for section, values in changes.items():
        config["datastore"].setdefault(section, {}).update(values)
    file.write_text(yaml.safe_dump(config))


def _use(run: Run, refs: list[DatasetRef]) -> list[str]:
    # Everything that needs to know the place; returns what went wrong.
    values = {
        "MetricsWhole": example_metrics(1),
        "MetricsParts": example_metrics(2),
        "MetricsPlain": example_metrics(3),
        "MetricsModel": MetricsExampleModel(summary={"a": 1}),
    }
    butler = run.butler(outputs=refs)
    reader = run.butler(inputs=refs)
    refused = []
    for ref in refs:
        value = values.get(ref.datasetType.storageClass_name, {"a": 1})
        for attempt in (
            lambda ref=ref: butler.export_predicted_datastore_records([ref]),
            lambda ref=ref: butler.get_many_uris([ref], predict=True),
            lambda ref=ref: butler.stored(ref),
            lambda ref=ref, value=value: butler.put(value, ref),
            lambda ref=ref: butler.get(ref),
            lambda ref=ref: reader.stored_many([ref]),
            lambda ref=ref: reader.stored(ref),
            lambda ref=ref: reader.get(ref),
            lambda ref=ref: reader.getURIs(ref),
        ):
            try:
                run(attempt)
            except Exception as error:
                refused.append(type(error).__name__)
    run.note("refused", refused)
    return refused


@pytest.mark.parametrize("pattern", TEMPLATES)
@scenario
def test_templates(run: Run, pattern: str) -> None:
    _configure(run, templates={"default": pattern, "physical_filter+detector+exposure": pattern})
    names = ["derived", "exposed_out", "log", "whole_out", "parts_out"]
    _use(run, [ref for name in names for ref in run.refs(name)[:2]])


@pytest.mark.parametrize("pattern", ["{run:/}/{datasetType}", "{run:/}", "{run", "no fields"])
@scenario
def test_templates_that_are_refused(run: Run, pattern: str) -> None:
    _configure(run, templates={"default": pattern})
    run.error(run.repository.butler, run.butler_class, outputs=run.refs("derived"))


@pytest.mark.parametrize(
    ["key", "refs"],
    [
        ("derived", ["derived"]),
        ("StructuredDataDict", ["derived", "log"]),
        ("MetricsParts", ["parts_out"]),
        ("parts_out.data", ["parts_out"]),
        ("instrument+detector", ["derived", "whole_out"]),
        ("instrument<Cam>", ["derived", "log"]),
        ("instrument<Other>", ["derived"]),
    ],
)
@scenario
def test_key_of_a_template(run: Run, key: str, refs: list[str]) -> None:
    template: Any = "keyed/{run:/}/{datasetType}.{component:?}/{id}"
    if key.startswith("instrument<"):
        template = {name: template for name in ("derived", "StructuredDataDict", "default")}
    _configure(run, templates={key: template})
    _use(run, [run.ref(name) for name in refs])


@pytest.mark.parametrize(
    ["key", "formatter"],
    [
        ("derived", YAML),
        (
            "derived",
            {
                "formatter": YAML,
                "parameters": {"unsafe_dump": True},
            },
        ),
        ("derived", "lsst.daf.butler.formatters.pickle.PickleFormatter"),
        ("derived", "lsst.daf.butler.formatters.parquet.ParquetFormatter"),
        ("derived", "lsst.daf.butler.tests.testFormatters.DoNothingFormatter"),
        ("derived", "lsst.daf.butler.formatters.file.FileFormatter"),
        ("instrument<Cam>", {"derived": YAML}),
        ("instrument+detector", YAML),
        ("parts_out.summary", YAML),
        ("whole_out", "lsst.daf.butler.formatters.pickle.PickleFormatter"),
        ("default", {"lsst.daf.butler.formatters.json.JsonFormatter": {"recipe": "default"}}),
    ],
)
@scenario
def test_formatters(run: Run, key: str, formatter: Any) -> None:
    _configure(run, formatters={key: formatter})
    _use(run, [run.ref(name) for name in ("derived", "log", "whole_out", "parts_out")])


@pytest.mark.parametrize(
    "composites",
    [
        {"default": True},
        {"disassembled": {"whole_out": True, "MetricsParts": False}},
        {"default": True, "disassembled": {"MetricsWhole": False}},
        {"disassembled": {"derived": True}},
    ],
    ids=str,
)
@scenario
def test_composites(run: Run, composites: dict[str, Any]) -> None:
    _configure(run, composites=composites)
    _use(run, [run.ref(name) for name in ("derived", "whole_out", "parts_out", "plain_out")])


@pytest.mark.parametrize(
    "constraints",
    [
        {"accept": ["derived", "MetricsParts"]},
        {"reject": ["all"], "accept": ["log"]},
        {"reject": ["instrument+detector"], "accept": ["all"]},
        {"reject": ["MetricsDict"], "accept": ["all"]},
        {"instrument<Cam>": {"reject": ["derived"]}, "accept": ["all"]},
        {"accept": ["all"], "reject": ["parts_out.data"]},
    ],
    ids=str,
)
@scenario
def test_constraints(run: Run, constraints: dict[str, Any]) -> None:
    _configure(run, constraints=constraints)
    _use(run, [run.ref(name) for name in ("derived", "log", "whole_out", "parts_out")])


@scenario
def test_data_ids_without_records(run: Run) -> None:
    # Graphs hold expanded data ids; others may not.
    refs = []
    for name in ("derived", "exposed_out"):
        ref = run.ref(name)
        required = DataCoordinate.standardize(dict(ref.dataId.required), universe=run.repository.universe)
        refs.append(DatasetRef(ref.datasetType, required, ref.run, id=ref.id))
    _use(run, refs)
