"""DBOS on the same work: the hand-written loop as a workflow, each call a step; on SQLite and on Postgres."""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from dbos import DBOS, DBOSConfig, SetWorkflowID

from bench import postgres
from bench.contestant import Contestant
from bench.work import OnCall, Proposal, Worlds, task_of

WORLDS = Worlds()


def launch_on_sqlite(path: Path) -> None:
    """Launch DBOS on a file whose journal was set to WAL before: twice as fast here as the rollback journal it gets.

    DBOS leaves SQLite's default of FULL alone, so a commit survives power loss in either.
    """
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
    launch(f"sqlite:///{path}")


def launch(url: str) -> None:
    """Launch DBOS on a database as its documentation says, its log quiet."""
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": url,
        "log_level": "ERROR",
        "application_version": "1",
    }
    DBOS(config=config)
    DBOS.launch()


def shut_down() -> None:
    """Shut DBOS down, and give the loop a thread pool again: DBOS put its own there, which is closed now."""
    DBOS.destroy()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())


@DBOS.step()
async def ask(key: str, asked: int) -> Proposal | str:
    """Ask the model."""
    return await WORLDS.model(key, asked)


@DBOS.step()
async def perform(run: str, n: int) -> str:
    """Perform the tool."""
    return await WORLDS.lookup(run, n)


@DBOS.workflow()
async def work(key: str, task: str) -> str:
    """Take a run to its answer."""
    messages: list[Proposal | str] = [task]
    said = await ask(key, 0)
    while isinstance(said, Proposal):
        messages += [said, await perform(said.run, said.n)]
        said = await ask(key, len(messages) // 2)
    return said


class DBOSOnSQLite(Contestant):
    """DBOS on SQLite: an asynchronous workflow and asynchronous steps, awaited where they are called."""

    name = "DBOS on SQLite"
    version = f"dbos {version('dbos')}"
    imports = "from dbos import DBOS, DBOSConfig, SetWorkflowID"
    is_durable = True
    is_in_memory = False
    is_alone = True

    def __init__(self) -> None:
        """Start closed."""
        self.db_path: Path | None = None

    async def open(self, folder: Path | None) -> None:
        """Launch DBOS."""
        assert folder is not None
        self.db_path = folder / "dbos.db"
        launch_on_sqlite(self.db_path)

    async def one_run(
        self, key: str, turns: int, park: asyncio.Event | None = None, on_call: OnCall | None = None
    ) -> int:
        """Do one run as a workflow whose id is the run's key."""
        with WORLDS.enter(key, turns, park, on_call) as world:
            with SetWorkflowID(key):
                await work(key, task_of(key))
            return world.calls

    async def close(self) -> None:
        """Shut DBOS down."""
        shut_down()


class DBOSOnPostgres(DBOSOnSQLite):
    """DBOS on a fresh database of a Postgres server as it is installed: fsync and synchronous_commit are on.

    Processor time and memory are this process's; those of the server are its own, and are not counted.
    """

    name = "DBOS on Postgres"
    version = f"psycopg {version('psycopg')}"

    async def open(self, folder: Path | None) -> None:
        """Launch DBOS."""
        self._database = postgres.fresh_database()
        launch(postgres.url(self._database))

    def kept_bytes(self) -> int:
        """Weigh the database."""
        return postgres.database_bytes(self._database)
