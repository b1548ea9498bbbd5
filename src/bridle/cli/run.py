"""`bridle run`: one governed run, watched while it works, and told at its end."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated

from cyclopts import Parameter

from bridle.bridle import Bridle
from bridle.cli import ask
from bridle.cli.application import application
from bridle.cli.card import card, commands
from bridle.cli.exits import INTERRUPTED, Failed, of_a_run
from bridle.cli.live import Watch
from bridle.cli.options import AsJson, Store
from bridle.cli.outcome import told
from bridle.cli.screen import ERR, OUT, dim
from bridle.cli.where import now, place_of, user
from bridle.rules.names import RunId
from bridle.runs.approvals import Question
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.runs.state import build
from bridle.store.sqlite import SqliteStore
from bridle.tools.kb import Library

PATIENCE_SECONDS = 1.0
NAMES: Mapping[int, str] = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}  # as the journal has who cancelled


@dataclass(frozen=True, slots=True)
class Assignment:
    """A flow, the house it runs in, what it starts with, and what is to be closed when it is over."""

    house: Bridle
    flow: Flow
    input: object
    docs: Library | None = None


def run(  # noqa: PLR0913 - each is an option of the command line
    question: Annotated[str, Parameter(name="QUESTION", show_default=False)] = "",
    /,
    *,
    app: str | None = None,
    docs: Path | None = None,
    policy: Path | None = None,
    model: str | None = None,
    given: Annotated[str | None, Parameter(name="--input")] = None,
    key: str | None = None,
    tenant: str = "default",
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """Run a flow, and watch it. Without --app: answer a question from a folder of documents, with citations.

    Parameters
    ----------
    question
        What you want to know.
    app
        Your own flow, as module:flow or module:b.
    docs
        The folder of Markdown and text to answer from. Default: docs.
    policy
        The policy file. Default: bridle.yaml; where there is none, reading is all that is allowed.
    model
        extractive (embedded, quotes what it finds), scripted:FILE, openai:MODEL, openai:MODEL@URL. Default: extractive.
    given
        What the flow starts with, as JSON; or - to read it from the input.
    key
        The same key is the same run, for ever.
    tenant
        On whose account.
    """
    place = place_of(store)
    if app is None:
        if given is not None:
            raise Failed("--input is for a flow of yours: write --app module:flow as well")
        work = _built_in(question, docs, policy, model or ask.MODEL, place)
    else:
        _refuse_with_app(docs, policy, model)
        work = _of_app(app, question, given, place if store else None)
    with _signals() as stopping:
        return asyncio.run(_carried(work, tenant, key, stopping, as_json=as_json))


def _refuse_with_app(docs: Path | None, policy: Path | None, model: str | None) -> None:
    for option, given in (("--docs", docs), ("--policy", policy), ("--model", model)):
        if given is not None:
            raise Failed(f"{option} is for the built-in flow; with --app the module says it")


def _built_in(question: str, docs: Path | None, policy: Path | None, model: str, place: str) -> Assignment:
    if not question.strip():
        raise Failed('what do you want to know? Write bridle run "your question"')
    folder = docs or Path("docs")
    if not folder.is_dir():
        hint = "name a folder of Markdown or text with --docs" if docs is None else "give the path of a folder"
        raise Failed(f"{folder}: there is no such folder; {hint}")
    found = policy or (Path("bridle.yaml") if Path("bridle.yaml").exists() else None)
    house = Bridle(found if found is not None else ask.READ_ONLY, place)
    library = ask.over(house, folder)
    return Assignment(house, ask.asking(model), {"question": question, "folder": str(folder.resolve())}, library)


def _of_app(app: str, question: str, given: str | None, place: str | None) -> Assignment:
    known = application(app, place)
    if known.house is None:
        raise Failed(f"--app {app}: there is no house in the module; write b = Bridle(...) there, with its tools")
    flow = known.flow()
    return Assignment(known.house, flow, _input(flow, question, given))


def _input(flow: Flow, question: str, given: str | None) -> object:
    """What the flow starts with; a question alone becomes its field `question`. Raises Failed for what does not fit."""
    if given is None:
        words: object = {"question": question} if question else {}
    elif question:
        raise Failed("give either a question or --input, not both")
    else:
        try:
            words = json.loads(sys.stdin.read() if given == "-" else given)
        except ValueError as error:
            raise Failed(f"--input is not JSON: {error}") from error
    build(flow.state, words)
    return words


async def _carried(of: Assignment, tenant: str, key: str | None, stopping: "Stopping", *, as_json: bool) -> int:
    """Run to the end and tell it. The first Ctrl-C cancels the run properly, the second one leaves at once."""
    started = now()
    async with of.house as b:
        work = asyncio.create_task(b.run(of.flow, of.input, tenant=tenant, by=user(), key=key))
        watch = Watch(b, of.flow, tenant, ERR)
        stopping.watch = watch
        shown = asyncio.create_task(watch.quietly(work) if as_json else watch.until(work))
        cancelled = asyncio.create_task(stopping.wait())
        await asyncio.wait((work, cancelled), return_when=asyncio.FIRST_COMPLETED)
        if stopping.by and not work.done():
            run = await watch.run(work)
            if run is not None:
                await b.cancel(run, by=stopping.by)
        cancelled.cancel()
        result = await work
        await shown
        is_earlier = bool(result.run_id) and b.store.recorded(RunId(result.run_id)).state.started_at < started
        waiting = b.approvals.of(RunId(result.run_id)) if result.run_id and result.stop is None else []
        place = b.store.path if isinstance(b.store, SqliteStore) else None
    code = INTERRUPTED if stopping.by else of_a_run(result.status)
    if of.docs is not None:
        of.docs.close()
    _tell(result, waiting, place, is_earlier=is_earlier, as_json=as_json)
    await _leave(code)
    return code


class Stopping:
    """Ctrl-C and SIGTERM: the first one asks the run to be cancelled, the next one ends the process where it stands.

    These are handlers of the process, and not of the event loop: a step that blocks the loop does not block them.
    """

    def __init__(self) -> None:
        self.by = ""  # who asked first; empty while nobody has
        self.watch: Watch | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = asyncio.Event()

    async def wait(self) -> None:
        """Until somebody asks."""
        self._loop = asyncio.get_running_loop()
        if self.by:
            return
        await self._asked.wait()

    def signalled(self, number: int, frame: FrameType | None) -> None:
        """What Python calls between two lines of whatever runs; so it takes no lock, and may cut into a print."""
        del frame
        if self.by:
            if self.watch is not None:
                self.watch.leave()
            os._exit(INTERRUPTED)
        self.by = NAMES.get(number, str(number))
        if self.watch is not None:
            with suppress(RuntimeError):  # it cut into a print to the same stream
                self.watch.say("cancelling; Ctrl-C again leaves at once")
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has just been closed
                self._loop.call_soon_threadsafe(self._asked.set)


@contextmanager
def _signals() -> Iterator[Stopping]:
    """While this lasts, SIGINT and SIGTERM are ours."""
    stopping = Stopping()
    before = {number: signal.signal(number, stopping.signalled) for number in NAMES}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _leave(code: int) -> None:
    """Python waits for the threads of tools and for every task; the run has ended, so we wait no longer than this."""
    threads = asyncio.create_task(asyncio.get_running_loop().shutdown_default_executor())
    others = asyncio.all_tasks() - {threads, asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.wait((threads, *others), timeout=PATIENCE_SECONDS)
    if threads.done() and all(task.done() for task in others):
        return
    what = "a step still works, and does not stop" if threads.done() else "a tool still works in a thread of its own"
    ERR.line(dim(f"{what}; it is left behind"))
    sys.stdout.flush()
    os._exit(code)


def _tell(
    result: RunResult, waiting: Sequence[Question], place: Path | None, *, is_earlier: bool, as_json: bool
) -> None:
    """The end of the run, and how to look at it again where the store outlives us."""
    if as_json:
        OUT.json(result.to_dict())
        return
    if is_earlier:
        ERR.line(dim("the same was asked before: this is that run"))
    told(OUT, result)
    is_usual = place is not None and place_of(None) == place_of(str(place))
    option = "" if is_usual else f" --store {place}"
    for question in waiting:
        OUT.line()
        card(OUT, question, now())
        if place is not None:
            commands(OUT, question, option)
        else:
            OUT.line("  ", "The store was in memory and has gone with this process: nobody can answer. Name a file.")
    if place is not None and result.run_id:
        OUT.line(dim(f"  bridle show {result.run_id}{option}"))
