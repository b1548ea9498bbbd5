"""`bridle run`: one governed run, watched while it works, and told at its end."""

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bridle.bridle import Bridle
from bridle.cli import ask
from bridle.cli.application import application
from bridle.cli.exits import INTERRUPTED, Failed, of_a_run
from bridle.cli.live import Watch
from bridle.cli.outcome import told
from bridle.cli.place import now, option_for, place_of
from bridle.cli.screen import ERR, OUT, dim
from bridle.rules.names import Millis, RunId
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.runs.state import build


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be run, of whom and for whom."""

    house: Bridle
    flow: Flow
    input: object
    tenant: str
    key: str | None


def run(  # noqa: PLR0913 - each is an option of the command line
    question: Annotated[str, Parameter(name="QUESTION")] = "",
    /,
    *,
    app: str | None = None,
    docs: Path | None = None,
    policy: Path | None = None,
    model: str | None = None,
    input: str | None = None,
    key: str | None = None,
    tenant: str = "default",
    store: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
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
    input
        What the flow starts with, as JSON; or - to read it from the input.
    key
        The same key is the same run, for ever.
    tenant
        On whose account.
    store
        The store; see `bridle runs`.
    as_json
        The result as one JSON document.
    """
    place = place_of(store)
    if app is None:
        request = _built_in(question, docs, policy, model or ask.MODEL, place, input, tenant, key)
    else:
        _refuse_with_app(docs, policy, model)
        request = _of_app(app, question, input, place if store else None, tenant, key)
    result, code = asyncio.run(_carried(request, shows=not as_json))
    if as_json:
        OUT.json(result.to_dict())
    else:
        told(OUT, result, option_for(store), can_be_shown=place != ":memory:")
    return code


def _refuse_with_app(docs: Path | None, policy: Path | None, model: str | None) -> None:
    for option, given in (("--docs", docs), ("--policy", policy), ("--model", model)):
        if given is not None:
            raise Failed(f"{option} is for the built-in flow; with --app the module says it")


def _built_in(  # noqa: PLR0913 - the options of the built-in flow, as they came
    question: str, docs: Path | None, policy: Path | None, model: str, place: str, given: str | None, tenant: str,
    key: str | None,
) -> Request:  # fmt: skip
    if given is not None:
        raise Failed("--input is for a flow of yours: write --app module:flow as well")
    if not question.strip():
        raise Failed('what do you want to know? Write bridle run "your question"')
    folder = docs or Path("docs")
    if not folder.is_dir():
        hint = "name a folder of Markdown or text with --docs" if docs is None else "give the path of a folder"
        raise Failed(f"{folder}: there is no such folder; {hint}")
    found = policy or (Path("bridle.yaml") if Path("bridle.yaml").exists() else None)
    house = Bridle(found if found is not None else ask.READ_ONLY, place)
    ask.over(house, folder)
    words = {"question": question, "folder": str(folder.resolve())}
    return Request(house, ask.asking(model), words, tenant, key)


def _of_app(app: str, question: str, given: str | None, place: str | None, tenant: str, key: str | None) -> Request:
    known = application(app, place)
    if known.house is None:
        raise Failed(
            f"--app {app}: there is no house in the module; write b = Bridle(...) there, with the flow's tools"
        )
    flow = known.flow()
    return Request(known.house, flow, _input(flow, question, given), tenant, key)


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


async def _carried(request: Request, *, shows: bool) -> tuple[RunResult, int]:
    """Run to the end. The first Ctrl-C cancels the run properly, the second one leaves at once."""
    started = now()
    async with request.house as b:
        work = asyncio.create_task(
            b.run(request.flow, request.input, tenant=request.tenant, by=_user(), key=request.key)
        )
        watch = Watch(b, request.flow, request.tenant, ERR)
        stopping = asyncio.Event()
        with _interrupts(stopping, watch):
            shown = asyncio.create_task(watch.until(work) if shows else watch.quietly(work))
            cancelled = asyncio.create_task(stopping.wait())
            await asyncio.wait((work, cancelled), return_when=asyncio.FIRST_COMPLETED)
            if stopping.is_set() and not work.done():
                await _cancel(b, watch, work)
            cancelled.cancel()
            result = await work
            await shown
        if shows:
            _say_if_joined(b, result, started)
        return result, INTERRUPTED if stopping.is_set() else of_a_run(result.status)


async def _cancel(b: Bridle, watch: Watch, work: "asyncio.Task[RunResult]") -> None:
    run = await watch.run(work)
    if run is not None and not work.done():
        await b.cancel(run, by="Ctrl-C")


class _interrupts:  # noqa: N801 - reads as a word of the language: `with _interrupts(...)`
    """While it holds, Ctrl-C and SIGTERM set the event; once it is set, they end the process."""

    def __init__(self, stopping: asyncio.Event, watch: Watch) -> None:
        self._stopping = stopping
        self._watch = watch

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupted)

    def __exit__(self, *_: object) -> None:
        """The handlers stay: a tool's thread may still keep the process, and the second Ctrl-C leaves it."""

    def _interrupted(self) -> None:
        if self._stopping.is_set():
            self._watch.leave()
            os._exit(INTERRUPTED)
        self._stopping.set()
        self._watch.say("cancelling; Ctrl-C again leaves at once")


def _user() -> str:
    return os.environ.get("USER") or "local"


def _say_if_joined(b: Bridle, result: RunResult, started: Millis) -> None:
    began = b.store.recorded(RunId(result.run_id)).state.started_at
    if began < started:
        ERR.line(dim("the same was asked before: this is that run"))
