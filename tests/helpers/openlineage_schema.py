"""What the specification of OpenLineage, version 2-0-2, demands of an event of a run, as a JSON schema.

The published file is not in the packages of its client.  This has its rules for run events, in our words.
"""

from __future__ import annotations

__all__ = ("RUN_EVENT",)

from typing import Any


def _facets() -> dict[str, Any]:
    """Return what holds for facets: each says who made it, and where its own schema is."""
    uri = {"type": "string", "format": "uri"}
    return {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "properties": {"_producer": uri, "_schemaURL": uri},
            "required": ["_producer", "_schemaURL"],
            "additionalProperties": True,
        },
    }


def _dataset(own_facets: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "namespace": {"type": "string"},
            "name": {"type": "string"},
            "facets": _facets(),
            own_facets: _facets(),
        },
        "required": ["namespace", "name"],
    }


RUN_EVENT: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "eventTime": {"type": "string", "format": "date-time"},
        "producer": {"type": "string", "format": "uri"},
        "schemaURL": {
            "type": "string",
            "format": "uri",
            "const": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        },
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "run": {
            "type": "object",
            "properties": {"runId": {"type": "string", "format": "uuid"}, "facets": _facets()},
            "required": ["runId"],
        },
        "job": {
            "type": "object",
            "properties": {
                "namespace": {"type": "string"},
                "name": {"type": "string"},
                "facets": _facets(),
            },
            "required": ["namespace", "name"],
        },
        "inputs": {"type": "array", "items": _dataset("inputFacets")},
        "outputs": {"type": "array", "items": _dataset("outputFacets")},
    },
    "required": ["eventTime", "producer", "schemaURL", "eventType", "run", "job"],
    # That would be an event of a dataset.
    "not": {"required": ["dataset"]},
}
"""Schema of such an event (`dict`)."""
