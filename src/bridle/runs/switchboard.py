"""The kill switch in a house: turned here, noticed when somebody else turned it, acknowledged, and carried out."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from bridle.gateway.gateway import Gateway
from bridle.gateway.live import Live
from bridle.gateway.world import World
from bridle.rules.policy import KillLevel
from bridle.rules.run import Phase
from bridle.rules.switch import Scope, Switch, against_run
from bridle.store.base import Store
from bridle.store.switches import Aftermath, Change, NotTurned, Wish, account

log = logging.getLogger("bridle")
LOOKS_EVERY_S = 0.02  # at the number of the newest change: one small read
TROUBLE_S = 1.0  # how long it waits when even that cannot be read


class Switchboard:
    """One worker's side of the kill switch.

    What it notices is a hint for people and for offers to models: every admission reads the switch in its own
    transaction. `lives` gives the runs that this process works on.
    """

    def __init__(
        self, store: Store, gateway: Gateway, world: World, lives: Callable[[], Iterable[Live]], usual: KillLevel
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._world = world
        self._lives = lives
        self._usual = usual
        self._files: tuple[Switch, ...] = ()
        self._seen = 0  # the newest change
        self._turning = asyncio.Lock()

    async def kill(self, level: KillLevel, scope: Scope, by: str, because: str) -> tuple[Change, Aftermath]:
        """Turn a switch on; what is in flight of its kind comes back. Raises NotTurned."""
        change = self._store.switches.kill(level, scope, Wish(by, because, account(), self._world.now()))
        await self.look()
        return change, self._store.switches.aftermath(level, scope)

    async def unkill(self, level: KillLevel | None, scope: Scope, by: str, because: str) -> list[Change]:
        """Turn off what is on at exactly this scope. Raises NotTurned."""
        changes = self._store.switches.unkill(level, scope, Wish(by, because, account(), self._world.now()))
        await self.look()
        return changes

    async def watch(self) -> None:
        """Notice what other processes turn, until it is cancelled. A store in memory has no other processes."""
        while self._store.switches.is_shared:  # ends: cancelled when the house closes
            await asyncio.sleep(LOOKS_EVERY_S)
            try:
                await self.look()
            except Exception:  # the watch outlives one bad look; admissions read the switch without it
                log.exception("switch_watch_failed")
                await asyncio.sleep(TROUBLE_S)

    async def look(self) -> None:
        """Look once. When something was turned: write down what has ended, acknowledge, and halt what is to end."""
        async with self._turning:
            book = self._store.switches
            generation, files = book.generation(), book.files()
            if generation == self._seen and files == self._files:
                return
            self._gateway.switches = book.now()
            await self._settle()
            if generation != self._seen:
                book.acknowledge(self._store.worker, generation, self._world.now())
                self._seen = generation
            self._note_files(files)
            await self._halt()

    def usual(self, scope: Scope) -> KillLevel:
        """The level that is meant when nobody names one."""
        return KillLevel.ALL if scope.tool else self._usual

    async def _settle(self) -> None:
        """So that nobody is told of a call in flight that has come back: all in one commit."""
        await asyncio.gather(*(self._gateway.pending.write(live) for live in self._lives()), return_exceptions=True)

    async def _halt(self) -> None:
        """Runs that are switched off go no further; what they have in flight comes down first."""
        ended = [
            (live, switch)
            for live in self._lives()
            if live.state.phase is Phase.OPEN
            and (switch := against_run(self._gateway.switches, live.tenant, live.name)) is not None
        ]
        await asyncio.gather(
            *(self._gateway.halt(live, switch.note) for live, switch in ended), return_exceptions=True
        )  # fmt: skip

    def _note_files(self, files: tuple[Switch, ...]) -> None:
        """A KILL file has no command that writes its history, so whoever sees it come or go does."""
        for act, now, before in (("file off", self._files, files), ("file on", files, self._files)):
            known = {(switch.level, switch.by) for switch in before}
            for switch in now:
                if (switch.level, switch.by) not in known:
                    self._store.switches.note_file(act, switch, self._store.worker, self._world.now())
        self._files = files


class KillSwitch:
    """What a house lends of it: `kill` and `unkill`."""

    def __init__(self) -> None:
        self._board: Switchboard | None = None
        super().__init__()

    async def kill(
        self, level: str = "", *, because: str, by: str, tenant: str = "", flow: str = "", tool: str = ""
    ) -> tuple[Change, Aftermath]:
        """Take away `writes`, `expensive`, `egress` or `all`, for the house or for what is named.

        Nothing of it is admitted from here on, in any process. Returns the change, and what is still in flight. Without
        a level: `all` for a tool, else what the house's policy names. Raises NotTurned without a name or a reason.
        """
        board, scope = self._switchboard, Scope(tenant, flow, tool)
        return await board.kill(level_of(level) if level else board.usual(scope), scope, by, because)

    async def unkill(
        self, level: str = "", *, because: str, by: str, tenant: str = "", flow: str = "", tool: str = ""
    ) -> list[Change]:
        """Give back what was taken away from exactly this scope: one level, or all.

        Raises NotTurned when nothing is on there, and when who set it may not lift it.
        """
        scope = Scope(tenant, flow, tool)
        return await self._switchboard.unkill(level_of(level) if level else None, scope, by, because)

    @property
    def _switchboard(self) -> Switchboard:
        if self._board is None:
            raise NotTurned("this house is not open; `bridle kill` turns the switch of a store from outside")
        return self._board


def level_of(word: str) -> KillLevel:
    """The level of this name. Raises NotTurned."""
    try:
        return KillLevel(word)
    except ValueError:
        known = ", ".join(KillLevel)
        raise NotTurned(f"{word!r} is no level of the kill switch: it is one of {known}") from None
