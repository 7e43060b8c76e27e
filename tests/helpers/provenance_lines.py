"""Provenance that two butlers wrote, to be compared."""

from __future__ import annotations

__all__ = ("as_sets",)

from typing import Any

# What a line has besides the fields of upstream's model and its heading.
_DETAILS = ("execution", "earlier_attempts", "connections", "datasets")


def as_sets(fields: dict[str, Any]) -> dict[str, Any]:
    """Return provenance as values that compare equal whatever the order of ids."""
    fields = {
        name: sorted(value) if isinstance(value, list) else value
        for name, value in fields.items()
        if name not in _DETAILS
    }
    for records in fields["datastore_records"].values():
        records["dataset_ids"] = sorted(records["dataset_ids"])
    return fields
