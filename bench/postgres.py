"""A Postgres server of the benchmark's own: fresh, on a socket, with the durability that it is installed with."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import psycopg

HOME = "BENCH_POSTGRES"
"""The environment variable that tells this process and its children the folder of the running server's socket."""

_SERVERS = "lib/postgresql/*/bin/pg_ctl"  # where Debian puts them
_numbers = count()


_why_not = "no Postgres server was started for it"


class _NoPostgres(Exception):
    """There is no server here; the message says why."""


@contextmanager
def server_for(is_needed: bool) -> Iterator[None]:
    """Run a server for as long as the context lasts, if one is needed and can run; `fresh_database` says why not."""
    global _why_not  # noqa: PLW0603 - one process, one server
    with ExitStack() as stack:
        if is_needed:
            try:
                stack.enter_context(_server())
            except _NoPostgres as why:
                _why_not = str(why)
        yield


@contextmanager
def _server() -> Iterator[None]:
    """Run a server as the user postgres if this one is root, because it refuses root."""
    control = _control()
    owner = _owner()
    folder = Path(tempfile.mkdtemp(prefix="bench-postgres-"))
    data = str(folder / "data")
    if owner is not None:
        shutil.chown(folder, owner)
    settings = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c max_connections=200"
    try:
        _do([str(control.with_name("initdb")), "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8"], owner)
        _do([str(control), "-D", data, "-w", "-l", str(folder / "log"), "-o", settings, "start"], owner)
        os.environ[HOME] = str(folder)
        try:
            yield
        finally:
            del os.environ[HOME]
            _do([str(control), "-D", data, "-w", "-m", "immediate", "stop"], owner)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fresh_database() -> str:
    """Create an empty database on the running server and return its name."""
    name = f"bench_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(_dsn("postgres"), autocommit=True) as db:
        db.execute(f'CREATE DATABASE "{name}"'.encode())
    return name


def url(database: str) -> str:
    """Write the address of a database as SQLAlchemy reads it."""
    return f"postgresql+psycopg://bench@/{database}?host={_socket()}"


def database_bytes(database: str) -> int:
    """Weigh a database that nobody uses any more; its write-ahead log is the server's, and left out."""
    with psycopg.connect(_dsn("postgres")) as db:
        row = db.execute("SELECT pg_database_size(%s)", (database,)).fetchone()
    assert row is not None
    return int(row[0])


def _dsn(database: str) -> str:
    return f"host={_socket()} user=bench dbname={database}"


def _socket() -> str:
    if HOME not in os.environ:
        raise NotImplementedError(_why_not)
    return os.environ[HOME]


def _control() -> Path:
    found = sorted(Path("/usr").glob(_SERVERS), key=lambda path: float(path.parts[-3]))
    if not found:
        raise _NoPostgres("no Postgres server is installed here (apt install postgresql)")
    return found[-1]


def _owner() -> str | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise _NoPostgres("Postgres refuses to run as root, and there is no user postgres here") from None


def _do(command: list[str], owner: str | None) -> None:
    done = subprocess.run(
        command, user=owner, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60,
        check=False, env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )  # fmt: skip
    if done.returncode:
        raise _NoPostgres(f"Postgres did not start or stop: {done.stderr.strip()[-200:]}")
