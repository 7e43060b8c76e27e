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
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
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
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._numbers = itertools.count(1)

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
        return self.url(name)

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
        options = f"-c listen_addresses='' -k '{folder}' -c fsync=off -c full_page_writes=off"
        run("pg_ctl", "start", "-w", "-D", data, "-l", folder / "log", "-o", options)
        try:
            yield Server(folder)
        finally:
            run("pg_ctl", "stop", "-D", data, "-m", "immediate")
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
