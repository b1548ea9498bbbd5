"""The clocks of questions to people: they stand still while the kill switch forbids the call that waits."""

from collections.abc import Sequence

from bridle.gateway.world import World
from bridle.rules.approval import Asked
from bridle.rules.events import ApprovalExtended
from bridle.rules.names import Millis
from bridle.rules.run import RunState
from bridle.rules.switch import Switch, against_call, stood_still
from bridle.rules.tool import Tool
from bridle.store.base import Store, Transaction
from bridle.store.switches import SwitchBook

LEAST_LEFT = 600_000  # milliseconds of a question whose call is forbidden now, so that it is seldom looked at
MOST_TURNS = 10_000  # of the switch, the newest ones
Turns = Sequence[tuple[str, Switch]]


def turns_of(book: SwitchBook) -> Turns:
    """The history of the switch, the oldest turn first, and the KILL files that are there."""
    known = book.history(MOST_TURNS) if book.generation() else []
    return [*((change.act, change.switch) for change in reversed(known)), *(("file on", one) for one in book.files())]


def until_when(state: RunState, asked: Asked, turns: Turns, now: Millis) -> Millis:
    """Until when a question is asked, as things stand. Whether its tool is expensive is not known: it may be."""
    tool = Tool(asked.tool, effect=asked.effect, expensive=True)
    forbidding = [
        (act, switch)
        for act, switch in turns
        if against_call((switch,), state.tenant, state.name, asked.tool, tool) is not None
    ]
    since = asked.counted_at or asked.asked_at
    still, is_still = stood_still(forbidding, since, now)
    until = asked.until + still
    least = min(LEAST_LEFT, asked.until - since) if is_still and until > now else 0
    return Millis(max(until, now + least) if least else until)


async def kept(store: Store, world: World, state: RunState) -> RunState:
    """The run, with more time for the questions whose time would be over if their clocks had not stood still."""
    now = world.now()
    late = [asked for asked in state.asked if asked.expired(now)]
    turns = turns_of(store.switches) if late else ()
    untils = [(asked, until_when(state, asked, turns, now)) for asked in late] if turns else []
    moved = [ApprovalExtended(now, asked.call, until) for asked, until in untils if until > now]

    def written(tx: Transaction) -> RunState:
        found = tx.state(state.run)
        return tx.append(state.run, found.epoch, moved) if found.asked == state.asked else found

    return await store.transact(written) if moved else state
