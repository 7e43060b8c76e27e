"""A WebDAV server for tests: a real one, in this process, that serves a folder and can be made to fail."""

from __future__ import annotations

__all__ = ("WebDavServer", "serving")

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cheroot.wsgi import Server
from wsgidav.fs_dav_provider import FilesystemProvider
from wsgidav.wsgidav_app import WsgiDAVApp

_FOLDER = "/repo"

_Start = Callable[..., Any]


class WebDavServer:
    """A server of one folder.

    Parameters
    ----------
    folder : `pathlib.Path`
        The folder; `serve` changes it.
    """

    def __init__(self, folder: Path):
        self._provider = FilesystemProvider(str(folder))
        self._dav = WsgiDAVApp(
            {
                # Of the server's own root clients ask what kind of server it is.
                "provider_mapping": {"/": FilesystemProvider(str(folder)), _FOLDER: self._provider},
                "simple_dc": {"user_mapping": {"*": True}},
                "logging": {"enable": False},
                "verbose": 0,
            }
        )
        self._server = Server(("127.0.0.1", 0), self._answer, numthreads=4)
        self._server.error_log = lambda *_, **__: None
        self._server.prepare()
        self._thread = threading.Thread(target=self._server.serve)
        self._thread.start()
        self.root = f"http://127.0.0.1:{self._server.bind_addr[1]}{_FOLDER}"
        """URI of the folder (`str`)."""
        self.asked: Counter[str] = Counter()
        """How often there was a request of each method (`~collections.Counter`)."""
        self.refused: Counter[str] = Counter()
        """How often one of them was refused (`~collections.Counter`)."""
        self.refusals: dict[str, str] = {}
        """Status to answer requests of a method with (`dict` [ `str`, `str` ])."""

    def serve(self, folder: Path) -> None:
        """Serve another folder from now on."""
        self._provider.root_folder_path = str(folder)
        self.asked.clear()
        self.refused.clear()
        self.refusals.clear()

    def close(self) -> None:
        """Answer no more, and wait until nobody does."""
        self._server.stop()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start: _Start) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        self.asked[method] += 1
        if (status := self.refusals.get(method)) is None:
            if method == "PUT":
                # As dCache and XRootD do, on which upstream relies.
                Path(
                    self._provider.root_folder_path, environ["PATH_INFO"].removeprefix(f"{_FOLDER}/")
                ).parent.mkdir(parents=True, exist_ok=True)
            return self._dav(environ, start)  # type: ignore[no-any-return]
        self.refused[method] += 1
        # What is not read would be taken for the next request.
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start(status, [("Content-Length", "0")])
        return []


@contextmanager
def serving(folder: Path) -> Iterator[WebDavServer]:
    """Serve a folder."""
    logging.getLogger("wsgidav").setLevel(logging.CRITICAL)
    server = WebDavServer(folder)
    try:
        yield server
    finally:
        server.close()
