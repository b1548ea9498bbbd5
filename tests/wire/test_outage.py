"""What crosses the wire on a bad day, counted by the far end: attempts, their marks, and the patience asked for."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from bridle.bridle import Bridle
from bridle.gateway import retry
from bridle.models.openai_compatible import Endpoint, OpenAICompatible
from bridle.rules import checks
from bridle.rules.failure import CallFailed
from bridle.rules.health import LONGEST_PATIENCE, OPENS_AFTER, STAYS_OPEN, WELL, Condition, Health
from bridle.rules.names import Millis, TenantId
from bridle.rules.policy import ModelPrice
from bridle.rules.prompt import ModelReply, ModelRequest
from bridle.rules.stop import StopReason
from bridle.runs.run import Run
from bridle.runs.signals import Denied, Stop
from bridle.testing.virtual_time import VirtualLoop, virtual_world
from tests.gateway.house import allowing
from tests.models.asking import request, user
from tests.wire.house import on_the_wire
from tests.wire.provider import Answer, Asked, Fault, Provider, error, provider

MODEL = "m"
POLICY = allowing(models={MODEL: ModelPrice(1, 1)})
NOW, LATER = "Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:07 GMT"


@dataclass
class Site:
    """A house, the far end that it talks to, and when each request came."""

    b: Bridle
    far_end: Provider
    loop: VirtualLoop
    came: list[float]

    async def asked(self, run: Run, number: int) -> StopReason | None:
        """One logical call; why it came to nothing, if it did."""
        try:
            await run.model(request(user(f"question {number}"), offers=()))
        except Denied as denied:
            return denied.reason
        except Stop as stop:
            return stop.note.reason
        return None


@asynccontextmanager
async def site(
    loop: VirtualLoop, answers: Callable[[int], Answer | Fault], client: type[OpenAICompatible] = OpenAICompatible
) -> AsyncIterator[Site]:
    """The house with a model at this far end; `answers` are by number, from 1."""
    came = list[float]()

    def plan(number: int, asked: Asked) -> Answer | Fault:
        came.append(loop.time())
        return answers(number)

    async with provider(plan=plan) as far_end:
        model = client(MODEL, "m", key=lambda: None, endpoint=Endpoint(far_end.base_url, needs_key=False))
        async with Bridle(POLICY, ":memory:", models={MODEL: model}, world=virtual_world(loop)) as b:
            yield Site(b, far_end, loop, came)
        await model.aclose()  # a model that was given is closed by who gave it


def told(story: Callable[[VirtualLoop], Coroutine[object, object, None]]) -> None:
    on_the_wire(story)


def test_each_attempt_says_which_it_is_and_all_of_a_call_carry_one_key() -> None:
    async def story(loop: VirtualLoop) -> None:
        async with site(loop, lambda number: Fault.SERVER_ERROR if number == 1 else Fault.NONE) as s:
            async with s.b.attach(agent="a") as run:
                assert await s.asked(run, 1) is None
                assert await s.asked(run, 2) is None
            heads = [asked.headers for asked in s.far_end.requests]
            assert [head["x-bridle-attempt"] for head in heads] == ["1", "2", "1"]
            keys = [head["idempotency-key"] for head in heads]
            assert keys[0] == keys[1] != keys[2]
            assert all(re.fullmatch(r'"[0-9a-f]{32}"', key) for key in keys), "a string of RFC 9651 that names nothing"
            assert s.far_end.requests[0].raw == s.far_end.requests[1].raw

    told(story)


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        ({}, 0),
        ({"retry_after": "7"}, 7),
        ({"retry_after": "0"}, 0),
        ({"retry_after": "-5"}, 0),
        ({"retry_after": "soon"}, 0),
        ({"retry_after": LATER, "date": NOW}, 7),
        ({"retry_after": NOW, "date": LATER}, 0),
        ({"retry_after": "999999999999"}, None),
        ({"retry_after": "Fri, 31 Dec 9999 23:59:59 GMT", "date": NOW}, None),
        ({"retry_after": "7" * 5_000}, 0),
    ],
)
def test_a_429_slows_down_for_as_long_as_it_says_and_trips_nothing(said: dict[str, str], waits: int | None) -> None:
    slow_down = error(429, "rate_limit_exceeded", **said)

    async def story(loop: VirtualLoop) -> None:
        async with site(loop, lambda number: slow_down if number == 1 else Fault.NONE) as s:
            began = s.b.store.health(TenantId("default"), MODEL)
            assert began == WELL
            async with s.b.attach(agent="a") as run:
                why = await s.asked(run, 1)
            health = s.b.store.health(TenantId("default"), MODEL)
            assert (health.failures, health.condition(loop.now())) == (0, Condition.WELL)
            if waits is None:
                assert (why, len(s.came)) == (StopReason.RATE_LIMITED, 1)
                assert loop.now() < health.not_before <= loop.now() + LONGEST_PATIENCE
            else:
                assert why is None
                assert waits <= s.came[1] - s.came[0] <= waits + 0.3

    told(story)


def test_who_comes_after_a_429_waits_too() -> None:
    async def story(loop: VirtualLoop) -> None:
        slow_down = error(429, retry_after="7")
        async with site(loop, lambda number: slow_down if number == 1 else Fault.NONE) as s:
            async with s.b.attach(agent="a") as one, s.b.attach(agent="b") as other:
                await asyncio.gather(s.asked(one, 1), _after(loop, 1, lambda: s.asked(other, 2)))
            assert s.came[1] - s.came[0] >= 7

    told(story)


async def _after(loop: VirtualLoop, seconds: float, then: Callable[[], Coroutine[object, object, object]]) -> None:
    come = asyncio.Event()
    loop.call_later(seconds, come.set)
    await come.wait()
    await then()


@pytest.mark.parametrize("calls", [1, 5, 15, 24])
def test_n_calls_send_at_most_n_plus_3_and_from_15_on_a_fifth_more(calls: int) -> None:
    async def story(loop: VirtualLoop) -> None:
        async with site(loop, lambda number: Fault.SERVER_ERROR if number % 2 else Fault.NONE) as s:
            async with s.b.attach(agent="a") as run:
                for number in range(calls):
                    await s.asked(run, number)
            assert calls <= len(s.came) <= calls + 3
            assert calls < 15 or len(s.came) <= 1.2 * calls

    told(story)


# ---- many runs of many tenants, while a far end is down


TENANTS, RUNS, CALLS = 4, 5, 6
DOWN: dict[str, Answer | Fault] = {
    "500": Fault.SERVER_ERROR,
    "503 with Retry-After": Fault.OVERLOADED,
    "reset": Fault.RESET,
    "never answers": Fault.NEVER_ANSWERS,
    "429": Fault.RATE_LIMITED,
    "429 with Retry-After": error(429, retry_after="1"),
}


def amplification(
    fault: Answer | Fault, client: type[OpenAICompatible] = OpenAICompatible, runs: int = RUNS
) -> tuple[int, int, float]:
    """How many calls were offered, how many requests came, and in how many seconds."""

    async def story(loop: VirtualLoop) -> tuple[int, int, float]:
        offered = 0
        async with site(loop, lambda number: fault, client) as s:
            for _ in range(runs):
                for tenant in range(TENANTS):
                    async with s.b.attach(agent="a", tenant=f"t{tenant}") as run:
                        for number in range(CALLS):
                            offered += 1
                            await s.asked(run, number)
            return offered, len(s.came), loop.time()

    return on_the_wire(story)


@pytest.mark.parametrize("what", DOWN)
def test_a_dependency_that_is_down_gets_at_most_a_tenth_more_than_is_offered(what: str) -> None:
    offered, sent, seconds = amplification(DOWN[what])
    assert offered == TENANTS * RUNS * CALLS
    assert 10 * sent <= 11 * offered
    if not what.startswith("429"):
        probes = 1 + seconds * 1_000 // STAYS_OPEN
        assert sent <= TENANTS * (OPENS_AFTER + probes), "five open the breaker of a tenant, then a probe a minute"


def test_without_the_budgets_of_retries_the_measure_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "ATTEMPTS", 5)
    for room in (retry, checks):
        monkeypatch.setattr(room, "RETRIES_OF_A_RUN", 1_000)
    monkeypatch.setattr(Health, "may_retry", True)
    offered, sent, _ = amplification(Fault.RATE_LIMITED, runs=2)
    assert sent > 3 * offered


def test_without_the_budget_of_a_dependency_the_measure_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Health, "may_retry", True)
    offered, sent, _ = amplification(Fault.RATE_LIMITED)
    assert sent > 1.1 * offered


def test_a_second_owner_of_retries_below_the_gateway_is_found() -> None:
    class Stubborn(OpenAICompatible):
        async def complete(self, request: ModelRequest, *, timeout: Millis) -> ModelReply:  # noqa: ASYNC109 - the port's word
            for _ in range(2):
                with suppress(CallFailed):
                    return await super().complete(request, timeout=timeout)
            return await super().complete(request, timeout=timeout)

    offered, sent, _ = amplification(Fault.RATE_LIMITED, Stubborn, runs=2)
    assert sent > 3 * offered
