"""A far end that refunds, with mishaps by script: the oracle for the tests of writes, and houses that use it."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TypeVar

from bridle.bridle import Bridle
from bridle.gateway.context import CallContext
from bridle.gateway.labels import Labels
from bridle.gateway.outcome import Observation, Outcome, Refusal
from bridle.rules.effect import Intent, IntentStatus
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import TenantId, ToolName
from bridle.rules.policy import Limits, Policy
from bridle.rules.stop import StopReason
from bridle.runs.run import Run
from bridle.testing.virtual_time import VirtualLoop
from tests.gateway.house import allowing, asking, virtually

T = TypeVar("T")
R = StopReason
LONG = Limits(max_seconds=900, max_tool_calls=50)
CLASSES = ("key", "natural", "none")


@dataclass
class FarEnd:
    """The oracle: what the outside world was sent, and what took effect. It recognises a key like a bank does."""

    sent: list[str] = field(default_factory=list)  # keys, as they arrived
    effects: list[tuple[str, int]] = field(default_factory=list)  # order and amount
    receipts: dict[str, str] = field(default_factory=dict)
    script: list[str] = field(default_factory=list)  # what happens to the next calls; afterwards all is well
    asked: list[float] = field(default_factory=list)  # when the probe was asked
    probe_raises: bool = False
    lands_after: float = 0.0  # virtual seconds, of a write whose answer is lost
    knows_keys: bool = True

    def took(self, key: str, order: str, amount: int) -> str:
        """The effect, once for each key where keys are known."""
        if not self.knows_keys or key not in self.receipts:
            self.effects.append((order, amount))
            self.receipts[key] = f"receipt {len(self.effects)}"
        return self.receipts[key]

    async def refund(self, order: str, amount: int, key: str) -> str:
        """One request, with the mishap that stands next in the script."""
        self.sent.append(key)
        mishap = self.script.pop(0) if self.script else "well"
        match mishap:
            case "well":
                return self.took(key, order, amount)
            case "lost before":
                raise CallFailed(FailureKind.TIMEOUT, "no answer")
            case "lost after":
                if self.lands_after:
                    asyncio.get_running_loop().call_later(self.lands_after, self.took, key, order, amount)
                else:
                    self.took(key, order, amount)
                raise CallFailed(FailureKind.UNAVAILABLE, "the connection was reset")
            case "hangs after":
                self.took(key, order, amount)
                await asyncio.Event().wait()
            case "crashes after":
                self.took(key, order, amount)
                raise RuntimeError("a bug behind the request")
            case "slow":
                answered = asyncio.Event()
                asyncio.get_running_loop().call_later(5, answered.set)
                await answered.wait()
                return self.took(key, order, amount)
            case "nothing usable":
                self.took(key, order, amount)
                return "\ud800"
        raise CallFailed(FailureKind(mishap), mishap, happened=False if mishap == "unavailable" else None)

    async def probe(self, key: str) -> str | None:
        """What the far end knows of a key."""
        self.asked.append(asyncio.get_running_loop().time())
        if self.probe_raises:
            raise ConnectionError("nobody there")
        return self.receipts.get(key)


def furnished(b: Bridle, far: FarEnd, idempotency: str = "key", *, probes: bool = False, key: bool = True) -> None:
    """A house that refunds."""
    far.knows_keys = idempotency != "none"
    labels = Labels(effect="write", idempotency=idempotency, timeout="10s", lands_within="20s")
    if probes:
        labels["probe"] = far.probe
    if key:
        labels["key"] = "refund:{order}"

    @b.tool("refund.create", **labels)
    async def refund(order: str, amount: int = 5, *, call: CallContext) -> str:
        return await far.refund(order, amount, call.key)


POLICY = allowing("refund.create", limits=LONG)


Story = Callable[[Bridle, VirtualLoop, FarEnd], Coroutine[object, object, T]]


def told(
    story: Story[T],
    *script: str,
    idempotency: str = "key",
    probes: bool = False,
    key: bool = True,
    policy: Policy = POLICY,
    far: FarEnd | None = None,
) -> tuple[T, FarEnd]:
    """Tell a story in a house that refunds, against a far end with this script."""
    world = far or FarEnd()
    world.script.extend(script)

    async def inside(b: Bridle, loop: VirtualLoop) -> T:
        furnished(b, world, idempotency, probes=probes, key=key)
        return await story(b, loop, world)

    return virtually(inside, policy), world


async def one(b: Bridle, call: str = "refund.create order=A1") -> tuple[Run, Outcome]:
    """One run with one refund."""
    async with b.attach(agent="teller") as run:
        (outcome,) = await asking(run, call)
    return run, outcome


async def row(b: Bridle, key: str = "refund:A1", tenant: str = "default") -> Intent:
    """The row of a key."""
    found = await b.store.transact(lambda tx: tx.intent(TenantId(tenant), ToolName("refund.create"), key))
    assert found is not None
    return found


def receipt(outcome: Outcome) -> object:
    """What a write returned; of a refusal, its reason and rule."""
    if isinstance(outcome, Observation):
        return outcome.value
    assert isinstance(outcome, Refusal)
    return " ".join([outcome.reason, str(outcome.detail.get("rule", ""))]).strip()


async def single(b: Bridle, loop: VirtualLoop, far: FarEnd) -> tuple[object, object, IntentStatus, int]:
    """One refund: what the caller got, how the run ended, what the row says, how many doubts are left."""
    run, outcome = await one(b)
    assert run.result.stop is not None
    found = (await b.store.transact(lambda tx: tx.unresolved(run.id))) or [await row(b)]
    return receipt(outcome), run.result.stop.reason, found[0].status, len(b.store.doubts())


C, D, N = IntentStatus.CONFIRMED, IntentStatus.IN_DOUBT, IntentStatus.REFUSED
DOUBT = ("write_in_doubt", R.WRITE_IN_DOUBT, D, 1)
DONE = ("receipt 1", R.OK, C, 0)
