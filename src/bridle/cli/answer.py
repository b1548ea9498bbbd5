"""`bridle approve`, `edit`, `reject` and `respond`: a person's answer, and how the run goes on with it."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bridle.cli.approvals import approval_meant
from bridle.cli.card import card, changes
from bridle.cli.exits import OK, Failed
from bridle.cli.options import AsJson, Store
from bridle.cli.place import reading
from bridle.cli.screen import OUT, bold, dim, good
from bridle.cli.where import now, option_for, path_of, user
from bridle.gateway.world import World
from bridle.rules import strict_json
from bridle.rules.approval import Answer
from bridle.rules.names import RunId
from bridle.rules.run import Phase
from bridle.rules.strict_json import BadJson, Json
from bridle.runs.approvals import Approvals, Question
from bridle.store.sqlite import SqliteStore

PATIENCE_SECONDS = 2.0  # in which a worker that lives and has the flow takes the run up
LOOKS_SECONDS = 0.05
MOST_ARGS = 256_000  # bytes

Named = Annotated[str, Parameter(name="APPROVAL")]
Yes = Annotated[bool, Parameter(negative="", show_default=False)]


@dataclass(frozen=True, slots=True)
class Given:
    """An answer, before anybody looked whether it can be one."""

    answer: Answer
    approval: str
    by: str | None
    store: str | None
    as_json: bool
    said: str = ""
    args: Mapping[str, Json] | None = None  # what an edit changes
    is_sure: bool = True


def approve(
    approval: Named, /, *, by: str | None = None, yes: Yes = False, store: Store = None, as_json: AsJson = False
) -> int:
    """Allow a call that waits: once, and exactly as it is shown. On a terminal it is shown first, and you are asked.

    Parameters
    ----------
    approval
        RUN/CALL as `bridle approvals` lists it, an unambiguous beginning of it, or last.
    by
        Who answers, for the journal; not who asked for the run. Default: the name of this user.
    yes
        Do not ask.
    """
    return _answer(Given(Answer.APPROVE, approval, by, store, as_json, is_sure=yes))


def edit(
    approval: Named,
    /,
    *,
    args: str,
    by: str | None = None,
    yes: Yes = False,
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """Allow a call that waits with other arguments: smaller numbers, and no new names.

    Parameters
    ----------
    approval
        RUN/CALL as `bridle approvals` lists it, an unambiguous beginning of it, or last.
    args
        What changes, as a JSON object; every other argument stays as it is.
    by
        Who answers, for the journal; not who asked for the run. Default: the name of this user.
    yes
        Do not ask.
    """
    try:
        changed = strict_json.parse(args, max_bytes=MOST_ARGS)
    except BadJson as error:
        raise Failed(f"--args is not JSON: {error}") from error
    if not isinstance(changed, dict):
        raise Failed("""--args is one JSON object, such as '{"amount": 25}'""")
    return _answer(Given(Answer.EDIT, approval, by, store, as_json, args=changed, is_sure=yes))


def reject(
    approval: Named, /, *, because: str, by: str | None = None, store: Store = None, as_json: AsJson = False
) -> int:
    """Refuse a call that waits. The run goes on without it, and is told why.

    Parameters
    ----------
    approval
        RUN/CALL as `bridle approvals` lists it, an unambiguous beginning of it, or last.
    because
        The reason: the model, the flow and the journal are told.
    by
        Who answers, for the journal; not who asked for the run. Default: the name of this user.
    """
    return _answer(Given(Answer.REJECT, approval, by, store, as_json, said=because))


def respond(
    approval: Named, /, *, text: str, by: str | None = None, store: Store = None, as_json: AsJson = False
) -> int:
    """Answer in place of a call that waits: it is not made, and the run is told these words.

    Parameters
    ----------
    approval
        RUN/CALL as `bridle approvals` lists it, an unambiguous beginning of it, or last.
    text
        The words.
    by
        Who answers, for the journal; not who asked for the run. Default: the name of this user.
    """
    return _answer(Given(Answer.RESPOND, approval, by, store, as_json, said=text))


def _answer(given: Given) -> int:
    path = path_of(given.store)
    with reading(path) as opened:
        named = approval_meant(opened, given.approval)
        question = Approvals(opened, World()).question(named)
    given = replace(given, approval=named, by=given.by or user())
    after = None if given.args is None else {**question.arguments, **given.args}
    if after is not None and strict_json.canonical(after) == strict_json.canonical(dict(question.arguments)):
        raise Failed(f"this changes nothing; `bridle approve {named}` allows it as it is")
    if not given.as_json:
        _shown(question, after)
    if not given.is_sure and not given.as_json and sys.stdin.isatty() and OUT.is_terminal:
        _be_sure(given.answer)
    head, how, worker = asyncio.run(_given(path, given, after))
    if given.as_json:
        run, _, call = named.rpartition("/")
        who = {"answer": given.answer.value, "by": given.by}
        said = {"approval": named, "run_id": run, "call": call, **who, "head": head}
        OUT.json({**said, "said": given.said, "arguments": after or dict(question.arguments), "worker": worker or None})
        return OK
    why = f": {given.said}" if given.said else ""
    OUT.line(good(f"{named}: {given.by} said {given.answer}"), why)
    OUT.line("  ", how, f" `bridle show {named.rpartition('/')[0]}{option_for(given.store)}` tells.")
    OUT.line(dim(f"  receipt: {head}"))
    return OK


def _shown(question: Question, after: Mapping[str, Json] | None) -> None:
    """What is answered; of an edit, what it changes."""
    if after is None:
        card(OUT, question, now())
        return
    OUT.line(bold(question.approval), "  ", question.summary)
    changes(OUT, question.arguments, after)


def _be_sure(answer: Answer) -> None:
    try:
        typed = input(f"{answer}? [y/N] ")
    except EOFError:
        typed = ""
    if typed.strip().lower() not in ("y", "yes"):
        raise Failed("nothing was written; it still waits")


async def _given(path: Path, given: Given, after: Mapping[str, Json] | None) -> tuple[str, str, str]:
    """Write the answer, and see who goes on with the run: the head of the run then, how it goes on, and the worker."""
    store = SqliteStore(path)
    try:
        assert given.by is not None, "somebody answers"
        approvals = Approvals(store, World())
        head = await approvals.answer(given.approval, given.answer, given.by, said=given.said, arguments=after)
        return head, *await _going_on(store, RunId(given.approval.rpartition("/")[0]))
    finally:
        await store.close()


async def _going_on(store: SqliteStore, run: RunId) -> tuple[str, str]:
    """How the run goes on, in a sentence, and the worker that does."""
    state = store.recorded(run).state
    if any(asked.answer is None for asked in state.asked) and state.phase is Phase.SUSPENDED:
        return "The run waits for other answers as well; `bridle approvals` lists them.", ""
    if state.loop == "attach" and state.phase is Phase.SUSPENDED:
        return f"The run goes on when {state.name} attaches again with the same key.", ""
    ends = now() + int(PATIENCE_SECONDS * 1_000)
    while True:  # ends: the patience does
        after = store.recorded(run).state
        worker = store.driver(run)
        if after.stop is not None:
            return "A worker took it up, and the run has ended.", worker
        if worker:
            return f"The worker {worker} goes on with it now.", worker
        living = store.workers()
        if not living or now() >= ends:
            break
        await asyncio.sleep(LOOKS_SECONDS)
    there = "No worker lives." if not living else f"Of the workers that live, none took it up ({len(living)})."
    flow = f"{state.name} {state.version}".rstrip()
    return f"{there} The same request goes on with it, or the next start of a process that has the flow {flow}.", ""
