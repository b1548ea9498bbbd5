"""What waits for a person, and his answer: bound to what he was shown, given once, in time, and not by who asked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bridle.gateway.asking import MOST_SHOWN, bind
from bridle.gateway.cleaning import clean
from bridle.gateway.schemas import Schema
from bridle.gateway.world import World
from bridle.rules import strict_json
from bridle.rules.approval import Answer, Asked, widened
from bridle.rules.events import ApprovalAsked, ApprovalDecided
from bridle.rules.failure import BridleError
from bridle.rules.flow_of_information import Unproven, because
from bridle.rules.names import CallId, Digest, Millis, RunId
from bridle.rules.run import RunState
from bridle.rules.strict_json import BadJson, Json
from bridle.runs import clocks
from bridle.store.base import Store, Transaction, UnknownRun

ALONE = "local"  # who asks where nobody says who he is: one person at his own machine, who may answer himself
MOST_RUNS = 10_000
ALIASES = {"accept": Answer.APPROVE, "decline": Answer.REJECT, "cancel": Answer.REJECT}  # of MCP's elicitation


class BadAnswer(BridleError):
    """The answer was not taken, and nothing was written; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that a person is shown before he answers."""

    approval: str  # "run/call"
    tool: str
    summary: str  # one sentence
    arguments: Mapping[str, Json]
    preview: Json
    tenant: str
    by: str  # who asked for the run
    asked_at: Millis
    until: Millis
    why: tuple[str, ...] = ()  # where the arguments came from that nobody vouches for


class Approvals:
    """The questions of a store. Any process that can write the store may answer."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world

    def pending(self) -> list[Question]:
        """What waits for a person, the oldest question first."""
        lines = self._store.runs(limit=MOST_RUNS, only_open=True)
        found = [question for line in lines for question in self._waiting(line.state)]
        return sorted(found, key=lambda question: (question.asked_at, question.approval))

    def of(self, run: RunId) -> list[Question]:
        """What of one run waits for a person, in the order in which it was asked. Raises UnknownRun."""
        state = self._store.recorded(run).state
        return self._waiting(state)

    def _waiting(self, state: RunState) -> list[Question]:
        """One question that was erased hides no other."""
        waiting = [asked for asked in state.asked if asked.answer is None]
        kept = [self._store.payload(state.run, f"{asked.call}.question") is not None for asked in waiting]
        return [self._question(state, asked) for asked, is_kept in zip(waiting, kept, strict=True) if is_kept]

    def question(self, approval: str) -> Question:
        """One question that waits. Raises BadAnswer when there is none, or when it was answered."""
        run, call = _named(approval)
        try:
            state = self._store.recorded(run).state
        except UnknownRun as error:
            raise BadAnswer(str(error)) from None
        return self._question(state, _open(state, call))

    async def answer(
        self, approval: str, answer: str, by: str, *, said: str = "", arguments: Mapping[str, object] | None = None
    ) -> str:
        """Approve, edit (with `arguments`), reject or respond (with `said`). Raises BadAnswer and writes nothing.

        Returns the head of the run's chain with this answer in it, as hex: the receipt of who answered.
        """
        run, call = _named(approval)
        meant = _meant(answer)
        if meant in (Answer.REJECT, Answer.RESPOND) and not said.strip():
            raise BadAnswer(f"to {meant} a call, say why: the model and the journal are told")
        if (meant is Answer.EDIT) != (arguments is not None):
            raise BadAnswer("an edit comes with its arguments, and nothing else does")
        question = self.question(approval)
        kept = self._kept(run, call)
        await clocks.kept(self._store, self._world, self._store.recorded(run).state)

        def answered(tx: Transaction) -> str:
            recorded, now = tx.recorded(run), self._world.now()
            state = recorded.state
            asked = _open(state, call)
            if asked.expired(now):
                raise BadAnswer(f"{approval} expired; the same request asks again")
            if by == state.by != ALONE:
                raise BadAnswer(f"{by} asked for this run, so somebody else has to answer")
            if bind(recorded.salt, kept) != asked.binding:
                raise BadAnswer(f"{approval}: what is kept is not what was asked; do not trust this run")
            body, binding = b"", Digest("")
            if arguments is not None:
                changed = {**kept, "arguments": _narrowed(question, kept, arguments)}
                body, binding = strict_json.canonical(changed), bind(recorded.salt, changed)
            tx.append(run, state.epoch, [ApprovalDecided(now, call, meant, by, said, binding)])
            if body:
                tx.keep(run, f"{call}.edited", body)
            return tx.recorded(run).head.hex()

        return await self._store.transact(answered)

    def _kept(self, run: RunId, call: CallId) -> dict[str, Json]:
        kept = self._store.payload(run, f"{call}.question")
        if kept is None:
            raise BadAnswer(f"{run}/{call}: the question was erased, so nobody can answer it; cancel the run")
        question = strict_json.parse(kept, max_bytes=MOST_SHOWN)
        assert isinstance(question, dict)
        return question

    def _question(self, state: RunState, asked: Asked) -> Question:
        kept = self._kept(state.run, asked.call)
        arguments = kept["arguments"]
        assert isinstance(arguments, dict)
        return Question(
            approval=f"{state.run}/{asked.call}",
            tool=asked.tool,
            summary=_sentence(str(kept["summary"] or kept["description"] or asked.tool), arguments),
            arguments=arguments,
            preview=kept["preview"],
            tenant=state.tenant,
            by=state.by,
            asked_at=asked.asked_at,
            why=tuple(because(_unproven(self._store, state.run, asked.call), arguments)),
            until=clocks.until_when(state, asked, clocks.turns_of(self._store.switches), self._world.now()),
        )


def _unproven(store: Store, run: RunId, call: CallId) -> tuple[Unproven, ...]:
    events = (entry.event for entry in store.journal(run))
    return next((one.unproven for one in events if isinstance(one, ApprovalAsked) and one.call == call), ())


def _named(approval: str) -> tuple[RunId, CallId]:
    run, _, call = approval.rpartition("/")
    if not run or not call:
        raise BadAnswer(f"{approval!r} names no approval; it is RUN/CALL, as `bridle approvals` lists them")
    return RunId(run), CallId(call)


def _meant(answer: str) -> Answer:
    try:
        return ALIASES.get(answer) or Answer(answer)
    except ValueError:
        raise BadAnswer(f"{answer!r} is no answer; one is {', '.join([*Answer, *ALIASES])}") from None


def _open(state: RunState, call: CallId) -> Asked:
    asked = next((one for one in state.asked if one.call == call), None)
    if asked is None:
        ended = " The run has ended." if state.stop is not None else " What was approved and made is not asked again."
        raise BadAnswer(f"nothing waits under {state.run}/{call}.{ended}")
    if asked.answer is not None:
        raise BadAnswer(f"{state.run}/{call} was answered before: {asked.answer} by {asked.by}")
    return asked


def _narrowed(question: Question, kept: Mapping[str, Json], arguments: Mapping[str, object]) -> dict[str, Json]:
    """The arguments of an edit: of the tool's form, with no new ones and no larger numbers."""
    try:
        given = clean(arguments, max_bytes=MOST_SHOWN)
    except BadJson as error:
        raise BadAnswer(f"the arguments are no JSON: {error}") from None
    assert isinstance(given, dict)
    takes = kept["takes"]
    errors = Schema.of(takes).errors(given) if isinstance(takes, dict) else []
    if errors:
        raise BadAnswer(f"the tool does not take these arguments: {errors[0]}")
    larger = widened(dict(question.arguments), given, "")
    if larger:
        raise BadAnswer(larger)
    return given


def _sentence(summary: str, arguments: Mapping[str, Json]) -> str:
    """The tool's summary with its `{argument}` blanks filled; a blank that has no argument stays as it is.

    In one pass: a blank inside of an argument is a part of that argument.
    """

    def filled(blank: re.Match[str]) -> str:
        if blank[1] not in arguments:
            return blank[0]
        value = arguments[blank[1]]
        return value if isinstance(value, str) else strict_json.canonical(value).decode()

    return re.sub(r"\{([^{}]*)\}", filled, summary)
