"""A formatter of the kind that most pipelines' own are: it reads and writes local files itself."""

from __future__ import annotations

__all__ = ("LocalFormatter",)

import json
from pathlib import Path
from typing import Any

from lsst.daf.butler import FormatterV2
from lsst.resources import ResourcePath


class LocalFormatter(FormatterV2):
    """Reads and writes what JSON can hold, by the name of a local file.

    Unlike upstream's ``JsonFormatter``, which is given a URI to read and gives
    bytes to be written.
    """

    default_extension = ".json"
    can_read_from_local_file = True

    def read_from_local_file(self, path: str, component: str | None = None, expected_size: int = -1) -> Any:
        return json.loads(Path(path).read_bytes())

    def write_local_file(self, in_memory_dataset: Any, uri: ResourcePath) -> None:
        Path(uri.ospath).write_text(json.dumps(in_memory_dataset))
