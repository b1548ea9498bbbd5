"""People who are asked about a call: they approve, refuse, edit, click twice, or try to answer themselves."""

import asyncio
from collections.abc import Mapping
from json import loads
from typing import Protocol

from bench.storm.ledger import Deed, Line
from bench.storm.plan import chance_of
from bench.storm.tasks import Task
from bench.storm.world import World
from bridle.gateway.cleaning import clean
from bridle.rules import strict_json
from bridle.rules.failure import ControlUnavailable
from bridle.runs.approvals import Approvals, BadAnswer, Question

WAYS = ("approve",) * 3 + ("reject", "edit", "twice", "himself")
THINKS = (1.0, 30.0)  # seconds
BOSS = "boss"


class House(Protocol):
    """Where an answer is given."""

    @property
    def approvals(self) -> Approvals:
        """The questions that wait."""


class Hearer(Protocol):
    """The worker that hears an answer."""

    number: int

    @property
    def house(self) -> House:
        """Its house."""

    def must_live(self) -> None:
        """Raise when it is dead."""


class People:
    """Everybody who answers in one house; what they say is in the ledger before bridle hears it."""

    def __init__(self, seed: int, world: World, pace: float = 1) -> None:
        self.wrong: list[str] = []  # answers that were taken and should not have been
        self._seed, self._world, self._pace = seed, world, pace
        self._answered: set[str] = set()
        self._asked: dict[str, int] = {}  # in which life of the worker somebody thinks about it

    async def answer(self, worker: Hearer, task: Task, approval: str) -> None:
        """One question: the same person says the same again when the worker died before he was heard."""
        if self._asked.get(approval) == worker.number or approval in self._answered:
            return
        self._asked[approval] = worker.number
        chance = chance_of(self._seed, task.number, approval.rpartition("/")[2])
        await asyncio.sleep(self._pace * chance.uniform(*THINKS))
        worker.must_live()
        approvals = worker.house.approvals
        try:
            question = approvals.question(approval)
        except BadAnswer:  # he was heard before the worker died, or the run has ended
            return
        way = chance.choice(WAYS)
        if way == "himself" and not await self._is_refused(approvals, approval, f"u{task.number}"):
            return
        line = self._write(question, task, way)
        try:
            await self._says(approvals, approval, way, loads(line.args))
        except ControlUnavailable:  # nothing was written down; he is asked again
            line.answer = "not heard"
            del self._asked[approval]
            return
        self._answered.add(approval)
        if way == "twice":
            await self._is_refused(approvals, approval, BOSS)

    async def _says(self, approvals: Approvals, approval: str, way: str, arguments: Mapping[str, object]) -> None:
        match way:
            case "reject":
                await approvals.answer(approval, "reject", BOSS, said="too much")
            case "edit":
                await approvals.answer(approval, "edit", BOSS, arguments=arguments)
            case _:
                await approvals.answer(approval, "approve", BOSS)

    async def _is_refused(self, approvals: Approvals, approval: str, by: str) -> bool:
        try:
            await approvals.answer(approval, "approve", by)
        except (BadAnswer, ControlUnavailable):
            return True
        self.wrong.append(f"{approval} took an answer of {by} that does not count")
        return False

    def _write(self, question: Question, task: Task, way: str) -> Line:
        """The line of the ledger: what the call may be after this answer."""
        run, _, call = question.approval.rpartition("/")
        arguments = {**question.arguments, "amount": 1} if way == "edit" else dict(question.arguments)
        return self._world.ledger.write(
            Line(
                self._world.ledger.stamp(), self._world.loop.now(), Deed.SAID, task.number, question.tool,
                run=run, call=call, answer=way, args=strict_json.canonical(clean(arguments, max_bytes=10_000)),
            )
        )  # fmt: skip
