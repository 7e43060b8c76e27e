"""Translates upstream's table specifications into tables kept in Rust.

A column in Rust holds values of one kind.  Upstream declares columns by SQL
types, which accept more: a dataset id, for instance, may also be given as an
integer, bytes or text.  `Columns` translates both the declarations and the
values; those that need no translation are never looked at.
"""

from __future__ import annotations

__all__ = ("Columns", "sql_error", "sql_errors")

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import sqlalchemy
from lsst.daf.butler import ddl

from .. import _core

# Kinds of column in _core, by the SQL type that a `ddl.FieldSpec` asks for.
# The first match wins, so subclasses stand before their bases.
_KINDS: tuple[tuple[type, str], ...] = (
    (ddl.GUID, "guid"),
    (ddl.AstropyTimeNsecTai, "timestamp"),
    (ddl.Base64Bytes, "bytes"),
    (ddl.Base64Region, "text"),
    (sqlalchemy.Boolean, "boolean"),
    (sqlalchemy.Float, "float"),
    (sqlalchemy.LargeBinary, "bytes"),
    (sqlalchemy.Integer, "integer"),
    (sqlalchemy.String, "text"),
)

# Types whose Python values are not those of the column's kind; SQLAlchemy's
# own hooks on them do the conversion.
_CONVERTED = (ddl.AstropyTimeNsecTai, ddl.Base64Region)

# SQLAlchemy takes all that is equal to one of them.
_BOOLEANS = frozenset({True, False})


class Columns:
    """The columns of one opaque table; `NotImplementedError` for what a table of records never needs."""

    def __init__(self, table: str, spec: ddl.TableSpec):
        _refuse_unsupported(table, spec)
        self._kinds = {field.name: _kind(table, field) for field in spec.fields}
        self._converters: dict[str, sqlalchemy.types.TypeDecorator[Any]] = {
            field.name: field.dtype() for field in spec.fields if issubclass(field.dtype, _CONVERTED)
        }
        self._definition = (
            table,
            [(field.name, self._kinds[field.name], field.nullable) for field in spec.fields],
            [field.name for field in spec.fields if field.primaryKey],
            sorted(spec.unique),
            sorted(tuple(index.columns) for index in spec.indexes),
            # Upstream limits the length of short strings only.
            [(field.name, field.length) for field in spec.fields if field.isStringType() and field.length],
        )
        # Upstream's own type for bytes takes no other buffers.
        self._binary = {
            field.name for field in spec.fields if issubclass(field.dtype, sqlalchemy.LargeBinary)
        }

    @classmethod
    def of(cls, table: str, spec: ddl.TableSpec) -> Columns:
        """Return the columns that a specification asks for, translated once for each specification object."""
        known: dict[str, Columns] = spec.__dict__.setdefault("_quantum_butler_columns", {})
        if (columns := known.get(table)) is None:
            columns = known[table] = cls(table, spec)
        return columns

    def make_table(self) -> _core.Table:
        """Make an empty table with these columns."""
        return _core.Table(*self._definition)

    def change(
        self,
        statement: str,
        change: Callable[[Sequence[Mapping[str, Any]]], _core.Undo],
        rows: Sequence[Mapping[str, Any]],
    ) -> _core.Undo:
        """Apply a change of rows, with errors in terms of a SQL statement; return what takes it back."""
        with sql_errors(statement, rows):
            if not self._converters:
                try:
                    return change(rows)
                except TypeError:
                    # Some value is not the column's own; the table is as before.
                    pass
            with _value_errors(statement, rows):
                return change([{name: self._to_column(name, row[name]) for name in row} for row in rows])

    def constraints(self, statement: str, where: Mapping[str, Any]) -> dict[str, Any]:
        """Translate the values that rows are selected by to the columns' own types."""
        translated: dict[str, Any] = {}
        for name, value in where.items():
            is_list = isinstance(value, list | tuple | set)
            if is_list and self._kinds.get(name) != "guid":
                # Upstream sorts them, which some values cannot be.
                value = sorted(set(value))
            with _value_errors(statement, where):
                translated[name] = (
                    [self._to_column(name, item) for item in value]
                    if is_list
                    else self._to_column(name, value)
                )
        return translated

    def from_columns(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Translate fetched rows to Python's types, in place."""
        for name, converter in self._converters.items():
            for row in rows:
                row[name] = converter.process_result_value(row[name], cast(Any, None))
        return rows

    def _to_column(self, name: str, value: Any) -> Any:
        """Translate one value to its column's own type."""
        if value is None:
            return None
        if (converter := self._converters.get(name)) is not None:
            return converter.process_bind_param(value, cast(Any, None))
        kind = self._kinds.get(name)
        if kind == "guid" and not isinstance(value, uuid.UUID):
            return _to_uuid(value)
        if kind == "boolean" and value in _BOOLEANS:
            return bool(value)
        if name in self._binary and isinstance(value, bytearray | memoryview):
            return bytes(value)
        return value


@contextmanager
def sql_errors(statement: str, parameters: Any) -> Iterator[None]:
    """Raise a violated constraint as a SQL manager would raise it."""
    try:
        yield
    except (_core.DuplicateKeyError, _core.UnfitValueError) as err:
        raise sql_error(statement, parameters, err) from err


def sql_error(statement: str, parameters: Any, cause: ValueError) -> sqlalchemy.exc.IntegrityError:
    """Return a violated constraint as a SQL manager would raise it."""
    return sqlalchemy.exc.IntegrityError(statement, parameters, cause)


@contextmanager
def _value_errors(statement: str, parameters: Any) -> Iterator[None]:
    """Raise a value that its column cannot hold as a SQL manager would."""
    try:
        yield
    except (_core.DuplicateKeyError, _core.UnfitValueError):
        raise
    except (AttributeError, TypeError, ValueError) as err:
        raise sqlalchemy.exc.StatementError(str(err), statement, parameters, err) from err


def _kind(table: str, field: ddl.FieldSpec) -> str:
    """Return the kind of column that a field needs."""
    for dtype, kind in _KINDS:
        if issubclass(field.dtype, dtype):
            return kind
    raise NotImplementedError(
        f"Column {field.name!r} of opaque table {table!r} has unsupported type {field.dtype.__name__}."
    )


def _refuse_unsupported(name: str, spec: ddl.TableSpec) -> None:
    """Raise if a table asks for more than tables of records ever need."""
    unsupported = []
    if spec.foreignKeys:
        unsupported.append("foreign keys")
    if spec.exclusion:
        unsupported.append("exclusion constraints")
    if any(field.autoincrement for field in spec.fields):
        unsupported.append("auto-incremented columns")
    if any(field.default is not None for field in spec.fields):
        unsupported.append("server-side defaults")
    if unsupported:
        raise NotImplementedError(f"Opaque table {name!r} needs {', '.join(unsupported)}.")


def _to_uuid(value: Any) -> uuid.UUID:
    """Make a UUID of what upstream's column type for them accepts."""
    if isinstance(value, int):
        return uuid.UUID(int=value)
    if isinstance(value, bytes):
        return uuid.UUID(bytes=value)
    if isinstance(value, str):
        return uuid.UUID(hex=value)
    raise TypeError(f"A dataset id cannot be made of a {type(value).__name__}.")
