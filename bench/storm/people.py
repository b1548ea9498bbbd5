"""People who are asked about a call: they approve, refuse, edit, click twice, or try to answer themselves."""

import asyncio
import random
from collections.abc import Mapping

from bench.storm.ledger import Deed, Line
from bench.storm.plan import chance_of
from bench.storm.tasks import Task
from bench.storm.worker import Worker
from bench.storm.world import World
from bridle.gateway.cleaning import clean
from bridle.rules import strict_json
from bridle.runs.approvals import Approvals, BadAnswer, Question

WAYS = ("approve",) * 5 + ("reject",) * 2 + ("edit", "twice", "himself")
THINKS = (1.0, 30.0)  # seconds
BOSS = "boss"


class People:
    """Everybody who answers in one house; what they say is in the ledger before bridle hears it."""

    def __init__(self, seed: int, world: World) -> None:
        self.wrong: list[str] = []  # answers that were taken and should not have been
        self._seed, self._world = seed, world
        self._answered: set[str] = set()

    async def answer(self, worker: Worker, task: Task, approval: str) -> None:
        """One question: the same person says the same again when the worker died before he was heard."""
        if approval in self._answered:
            return
        chance = chance_of(self._seed, task.number, approval.rpartition("/")[2])
        await asyncio.sleep(chance.uniform(*THINKS))
        worker.must_live()
        approvals = worker.house.approvals
        try:
            question = approvals.question(approval)
        except BadAnswer:  # he was heard before the worker died, or the run has ended
            return
        await self._said(approvals, question, task, chance)
        self._answered.add(approval)

    async def _said(self, approvals: Approvals, question: Question, task: Task, chance: random.Random) -> None:
        way = chance.choice(WAYS)
        name, shown = question.approval, dict(question.arguments)
        if way == "himself":
            await self._refused(approvals, name, f"u{task.number}")
        if way == "reject":
            self._write(question, task, "reject", shown)
            await approvals.answer(name, "reject", BOSS, said="too much")
            return
        if way == "edit":
            changed = {**shown, "amount": 1}
            self._write(question, task, "edit", changed)
            await approvals.answer(name, "edit", BOSS, arguments=changed)
            return
        self._write(question, task, "approve", shown)
        await approvals.answer(name, "approve", BOSS)
        if way == "twice":
            await self._refused(approvals, name, BOSS)

    async def _refused(self, approvals: Approvals, approval: str, by: str) -> None:
        try:
            await approvals.answer(approval, "approve", by)
        except BadAnswer:
            return
        self.wrong.append(f"{approval} took an answer of {by} that does not count")

    def _write(self, question: Question, task: Task, answer: str, arguments: Mapping[str, object]) -> None:
        run, _, call = question.approval.rpartition("/")
        self._world.ledger.write(
            Line(
                self._world.ledger.stamp(), self._world.loop.now(), Deed.SAID, task.number, question.tool,
                run=run, call=call, answer=answer, args=strict_json.canonical(clean(arguments, max_bytes=10_000)),
            )
        )  # fmt: skip
