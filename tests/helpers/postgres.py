"""A PostgreSQL server of our own, for as long as the tests run.

It lives in a temporary folder, listens on a Unix socket there and on no port,
and is stopped at the end.  The server refuses to run as root; then it runs as
whatever unprivileged user there is.

Its programs are looked for where Debian has them and on ``PATH``.  Where they
are missing, root installs them from Debian's packages, unless
``QUANTUM_BUTLER_APT=0`` forbids that; nobody else can, and then the tests that
need them are skipped.
"""

from __future__ import annotations

__all__ = ("NoPostgresError", "Server", "start")

import contextlib
import functools
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy

import debian

USERS = ("postgres", "nobody")
DATABASE_USER = "tester"
# A socket's path must fit into some hundred characters.
LONGEST_FOLDER = 80


class NoPostgresError(RuntimeError):
    """Raised where there can be no server."""


class Server:
    """A running server.

    Parameters
    ----------
    folder : `pathlib.Path`
        Folder with its socket.
    control : `~collections.abc.Callable`
        Called with arguments of ``pg_ctl``.
    """

    def __init__(self, folder: Path, control: Callable[..., None]):
        self._folder = folder
        self._control = control
        self._numbers = itertools.count(1)

    def begin(self) -> None:
        """Start the server."""
        options = f"-c listen_addresses='' -k '{self._folder}' -c fsync=off -c full_page_writes=off"
        self._control("start", "-w", "-l", self._folder / "log", "-o", options)

    def stop(self) -> None:
        """Stop the server as if it was killed."""
        self._control("stop", "-m", "immediate")

    def url(self, database: str) -> str:
        """Return the URL of a database, as SQLAlchemy has it."""
        return f"postgresql+psycopg2://{DATABASE_USER}@/{database}?host={self._folder}"

    def new_database(self) -> str:
        """Make an empty database that a registry can be made in, and return its URL."""
        name = f"test{next(self._numbers)}"
        self._execute("postgres", f"CREATE DATABASE {name}")
        self._execute(name, "CREATE EXTENSION btree_gist")
        return self.url(name)

    def copy_database(self, url: str) -> str:
        """Copy a database that nobody is connected to, and return the copy's URL."""
        name = f"test{next(self._numbers)}"
        original = sqlalchemy.make_url(url).database
        self._execute("postgres", f"CREATE DATABASE {name} TEMPLATE {original}")
        # Without one, a sequence of the copy could go back when the server is killed.
        self._execute("postgres", "CHECKPOINT")
        return self.url(name)

    def forbid(self, url: str) -> None:
        """Let nothing be written to a database."""
        name = sqlalchemy.make_url(url).database
        self._execute("postgres", f"ALTER DATABASE {name} SET default_transaction_read_only = on")

    def _execute(self, database: str, statement: str) -> None:
        engine = sqlalchemy.create_engine(self.url(database), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text(statement))
        finally:
            engine.dispose()


@contextlib.contextmanager
def start() -> Iterator[Server]:
    """Run a server.

    Yields
    ------
    server : `Server`
        The server.

    Raises
    ------
    NoPostgresError
        Raised if there is none on this machine, and none may be installed.
    """
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if len(str(folder)) > LONGEST_FOLDER:
            raise NoPostgresError(f"{folder} is too long a path for a Unix socket")
        prefix = _unprivileged(folder)
        data = folder / "data"

        def run(program: str, *arguments: object) -> None:
            command = [*prefix, str(programs / program), *map(str, arguments)]
            # The server inherits what it is started with, and a pipe would be held open by it.
            with open(folder / "output", "w+") as output:
                done = subprocess.run(command, stdout=output, stderr=output, cwd=folder, timeout=120)
                output.seek(0)
                if done.returncode:
                    raise NoPostgresError(f"{program} failed: {output.read().strip()}")

        access = ("-U", DATABASE_USER, "-A", "trust")
        run("initdb", "-D", data, *access, "-E", "UTF8", "--no-locale", "--no-sync")
        server = Server(folder, functools.partial(run, "pg_ctl", "-D", data))
        server.begin()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """Return the folder of the server's programs."""
    if (found := _installed()) is not None:
        return found
    try:
        debian.install("postgresql")
    except debian.NotInstalledError as error:
        raise NoPostgresError(str(error)) from error
    if (found := _installed()) is None:
        raise NoPostgresError("Debian's package postgresql has brought none")
    return found


def _installed() -> Path | None:
    def version(folder: Path) -> float:
        with contextlib.suppress(ValueError):
            return float(folder.parent.name)
        return 0.0

    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=version)
    if (program := shutil.which("pg_ctl")) is not None:
        found.insert(0, Path(program).resolve().parent)
    return next((folder for folder in reversed(found) if (folder / "initdb").exists()), None)


def _unprivileged(folder: Path) -> list[str]:
    """Return what makes a command run without root's rights, in a folder that becomes its user's."""
    if os.geteuid() != 0:
        return []
    runuser = shutil.which("runuser")
    for name in USERS:
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            if runuser is not None:
                os.chown(folder, user.pw_uid, user.pw_gid)
                return [runuser, "-u", name, "--"]
    raise NoPostgresError("a server must not run as root, and there is no other user to run it as")
