"""The house: opens a policy and a store, declares tools, runs flows, attaches foreign agents; it alone wires."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar, Unpack

from bridle.gateway.gateway import Gateway
from bridle.gateway.labels import Labels, tool_of
from bridle.gateway.live import Live
from bridle.gateway.toolbox import Toolbox
from bridle.gateway.world import World
from bridle.modeldesk import ModelDesk
from bridle.models.port import Model
from bridle.rules.events import Event
from bridle.rules.failure import BridleError, ControlUnavailable
from bridle.rules.names import RunId
from bridle.rules.policy import Policy
from bridle.rules.run import RunState
from bridle.runs.approvals import Approvals
from bridle.runs.attach import Attachment
from bridle.runs.blocking import BlockingTwins
from bridle.runs.charter import Charter, RunRequest
from bridle.runs.doubts import Doubts, WriteInDoubt
from bridle.runs.ended import Ended
from bridle.runs.flow import BadFlow, Flow
from bridle.runs.following import followed
from bridle.runs.result import RunResult, read_result
from bridle.runs.run import Run
from bridle.runs.sweeper import sweep
from bridle.runs.switchboard import KillSwitch, Switchboard
from bridle.runs.workroom import Workroom
from bridle.store.base import Store
from bridle.store.enlisting import enlisted
from bridle.store.opening import path_of

F = TypeVar("F", bound=Callable[..., object])
DEFAULT_STORE = "sqlite:///.bridle/bridle.db"


class Bridle(BlockingTwins, KillSwitch):
    """One house under one policy, on one store. `async with Bridle("bridle.yaml") as b` opens and closes it.

    `policy` is a path, a mapping, a Policy, or None, which denies every tool; `store` is "sqlite:///path", ":memory:",
    or None for BRIDLE_STORE or a file under ./.bridle. `models` lends models by name, `base_urls` says where
    OpenAI-compatible servers are. Raises BadPolicy, with every mistake of the file.
    """

    def __init__(
        self,
        policy: str | Path | Mapping[str, object] | Policy | None = None,
        store: str | None = None,
        *,
        models: Mapping[str, Model] | None = None,
        base_urls: Mapping[str, str] | None = None,
        world: World | None = None,
    ) -> None:
        self.policy = _policy(policy)
        self._place = store or os.environ.get("BRIDLE_STORE") or DEFAULT_STORE
        self._path = path_of(self._place)
        self._desk = ModelDesk(models or {}, base_urls=base_urls)
        self._world = world or World()
        self._charter = Charter(self.policy, self._world)
        self.toolbox = Toolbox()
        self._workroom: Workroom | None = None
        self._flows: dict[tuple[str, str], Flow] = {}
        self._tasks: list[asyncio.Task[None]] = []
        super().__init__()

    # Declaring

    def tool(self, name: str, **labels: Unpack[Labels]) -> Callable[[F], F]:
        """Declare a function as a tool; its signature says what it takes. Without labels it is an untrusted write.

        Raises BridleError for a label that is not one, and for a name that is taken.
        """

        def declared(function: F) -> F:
            self.declare(name, function, **labels)
            return function

        return declared

    def declare(
        self,
        name: str,
        function: Callable[..., object] | None,
        parameters: Mapping[str, object] | None = None,
        output: object = None,
        **labels: Unpack[Labels],
    ) -> None:
        """Declare a tool without a decorator; `parameters` and `output` are JSON Schemas or types.

        A tool without a function is performed by the loop that calls it: `run.call(name, args, perform=...)`.
        """
        self.toolbox.declare(tool_of(name, labels), function, parameters=parameters, output=output, labels=labels)

    def register(self, flow: Flow) -> Flow:
        """Make a flow known, so that its open runs are resumed when the house opens. Raises BadFlow."""
        if not isinstance(flow, Flow):
            raise BridleError(f"a run needs a Flow, not {type(flow).__name__}")
        flow.check()
        known = self._flows.get((flow.name, flow.version), flow)
        if list(known.steps) != list(flow.steps):  # its open runs would go on in steps that are not theirs
            raise BadFlow(f"there are two flows {flow.name} {flow.version}; give one another name or version")
        self._flows[flow.name, flow.version] = flow
        return flow

    # Opening and closing

    async def __aenter__(self) -> "Bridle":
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the store and recover what this house left open. Raises StoreUnusable with a sentence."""
        if self._workroom is not None:
            return
        store = enlisted(self._path, self._world.now)
        gateway = Gateway(store, self.toolbox, self._world)
        room = self._workroom = Workroom(gateway, self._desk, self._charter, self._flows, self.register)
        self._board = Switchboard(store, gateway, self._world, room.lives.values, self.policy.kill_level)
        await self._board.look()
        await room.recovery.recover()
        self._tasks = [asyncio.create_task(w) for w in (sweep(room.recovery, room.cancel), self._board.watch())]

    async def close(self, drain: float = 0) -> None:
        """Settle what rides, let go of the store, and cancel what still runs.

        `drain` gives runs that many seconds to end; a flow that has not is left open, for another worker or a restart.
        """
        room = self._workroom
        if room is None:
            return
        if drain and room.working:
            await asyncio.wait(room.working.values(), timeout=drain)
        for task in self._tasks:
            task.cancel()
        await room.close(hands_over=drain > 0)
        with suppress(ControlUnavailable):  # recovery settles it at the next start
            await self.gateway.pending.write_all()
        await self._desk.aclose()
        await self.store.close()
        self._workroom = self._board = None

    @property
    def workroom(self) -> Workroom:
        """The runs that this process works on. Raises BridleError before `async with`."""
        if self._workroom is None:
            raise BridleError("this house is not open; use `async with Bridle(...) as b:`")
        return self._workroom

    @property
    def store(self) -> Store:
        """The open store. Raises BridleError before `async with`."""
        return self.workroom.gateway.store

    @property
    def is_open(self) -> bool:
        """Whether the store is open."""
        return self._workroom is not None

    @property
    def gateway(self) -> Gateway:
        """The door of this house, while it is open."""
        return self.workroom.gateway

    # Running

    async def run(
        self, flow: Flow, given: object = None, /, *, tenant: str = "default", by: str = "local", key: str | None = None
    ) -> RunResult:
        """Run a flow to its end; a stop is a result, never an exception.

        `given` is the input: a state of the flow's type, or data that makes one. The same `key` is the same run, for
        ever; without one, the same request joins a run that is open. Where the kill switch lets none start, the result
        is `killed` and its id is empty. Raises BadFlow, and ControlUnavailable when the run cannot even be started.
        """
        self.register(flow)
        await self.open()
        return await self.workroom.run(flow, given, tenant, by, key or "")

    def attach(
        self, *, agent: str, task: str = "", tenant: str = "default", by: str = "local", key: str | None = None
    ) -> Attachment:
        """A run for somebody else's loop: `async with b.attach(agent="support", task="...") as run`.

        A run of this key that waits for a person is taken up again: calls that it made answer from the journal. Raises
        RunIsOpen when one of this key is open, NotStarted under a kill switch, and BridleError when it has ended.
        """

        async def opened() -> tuple[Live, Run]:
            await self.open()
            fresh = key or self._world.fresh(16).hex()  # a foreign loop is never joined by chance
            return await self.workroom.attached(RunRequest("attach", agent, "", tenant, by, fresh, task.encode()))

        async def closed(live: Live, ended: Ended | None) -> RunResult:
            return await self.workroom.left(live, ended)

        return Attachment(opened, closed)

    @property
    def approvals(self) -> Approvals:
        """What waits for a person, and where he answers."""
        return Approvals(self.store, self._world)

    def doubts(self) -> list[WriteInDoubt]:
        """The writes that were sent, and of which nobody knows whether they took effect; the oldest first."""
        return Doubts(self.store, self._world).pending()

    async def resolve(self, write: str, *, happened: bool, by: str, because: str) -> bool:
        """Say what became of a write in doubt, "run/call". False when the very same was said before.

        Raises NotInDoubt, also when the opposite was said before, and UnknownRun.
        """
        return await Doubts(self.store, self._world).resolve(write, happened=happened, by=by, because=because)

    # Looking and stopping

    async def result(self, run_id: str) -> RunResult:
        """The result of a run, after its end if it is open in this process. Raises UnknownRun."""
        task = self.workroom.working.get(RunId(run_id))
        return await asyncio.shield(task) if task is not None else read_result(self.store, RunId(run_id))

    async def cancel(self, run_id: str, by: str = "local") -> RunResult:
        """Stop a run: nothing new is admitted, what is in flight is cancelled.

        A run of another process is ended by that one. Raises UnknownRun, and ControlUnavailable when it does not.
        """
        return await self.workroom.cancel(RunId(run_id), by)

    def events(self, run_id: str, after: int = 0) -> AsyncIterator[tuple[int, Event]]:
        """The journal of a run as it grows, with sequence numbers, until the run has ended or waits for a person.

        Once he has answered, `after` the last number goes on. Raises UnknownRun.
        """
        return followed(self.store, self._world, RunId(run_id), after)

    def awaiting(self, run_id: str) -> list[tuple[str, int]]:
        """What a run of this process waits for now: names, and since when in Unix milliseconds."""
        live = self._workroom.lives.get(RunId(run_id)) if self._workroom is not None else None
        return [(str(flying.tool), flying.since) for flying in live.flying.values()] if live is not None else []

    def progress(self) -> list[RunState]:
        """The runs that this process works on, as they stand."""
        return [live.state for live in self._workroom.lives.values()] if self._workroom is not None else []


def _policy(given: str | Path | Mapping[str, object] | Policy | None) -> Policy:
    if isinstance(given, Policy):
        return given
    if given is None:
        return Policy()
    if not isinstance(given, str | Path | Mapping):
        raise BridleError(f"a policy is a path, a mapping or a Policy, not {type(given).__name__}")
    from bridle.config import load_policy

    return load_policy(given if isinstance(given, Mapping) else Path(given)).policy
