"""An archive that cannot be read is not added to: the error names the file, and nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from made_up import quantum, write_log

from quantum_butler import ArchiveError, collect
from quantum_butler.cli.main import main

TABLES = ["quanta", "edges", "records"]


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite_the_end(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-64] + bytes(range(64)))


def overwrite_the_pages(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\x0f" * (len(content) // 3) + content[4 + len(content) // 3 :])


def drop_rows(path: Path) -> None:
    pq.write_table(pq.read_table(path)[:-1], path)


def repeat_rows(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table]), path)


def drop_a_column(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["dataset_id"]), path)


def count_backwards(path: Path) -> None:
    table = pq.read_table(path)
    counts = pa.array([-1] * len(table), table.schema.field("edges").type)
    position = table.schema.get_field_index("edges")
    pq.write_table(table.set_column(position, table.schema.field("edges"), counts), path)


@pytest.mark.parametrize(
    ("table", "damage"),
    [
        *((table, damage) for table in TABLES for damage in (remove, empty, overwrite_the_end)),
        *((table, overwrite_the_pages) for table in TABLES),
        *((table, damage) for table in TABLES[1:] for damage in (drop_rows, repeat_rows, drop_a_column)),
        ("quanta", count_backwards),
    ],
)
def test_the_error_names_the_table(tmp_path: Path, table: str, damage: Callable[[Path], None]) -> None:
    archive = tmp_path / "archive"
    collect(write_log(tmp_path / "first.jsonl", [quantum(n) for n in range(50)]), archive)
    damage(archive / f"{table}.parquet")
    before = {path.name: path.read_bytes() for path in archive.iterdir()}
    more = write_log(tmp_path / "more.jsonl", [quantum(100)])
    # Of too few or too many rows, the table that has them is to blame, of bad counts the one counted.
    wanted = "edges" if damage is count_backwards else table
    with pytest.raises(ArchiveError, match=f"{archive}/{wanted}.parquet: "):
        collect(more, archive, append=True)
    result = CliRunner().invoke(main, ["collect", str(more), "--output", str(archive), "--append"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.rstrip("\n").isprintable()
    assert f"{wanted}.parquet" in result.stderr
    assert {path.name: path.read_bytes() for path in archive.iterdir()} == before
