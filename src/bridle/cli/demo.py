"""`bridle demo`: questions answered by governed runs, two incidents stopped, a write that waits; nothing is staged."""

import asyncio
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from itertools import islice
from pathlib import Path
from secrets import token_hex

from bridle.bridle import Bridle
from bridle.bundled import folder
from bridle.cli import ask
from bridle.cli.card import card, commands
from bridle.cli.exits import OK, Failed
from bridle.cli.outcome import heading, spent, words
from bridle.cli.screen import OUT, Screen, Span, bold, counted, dim, doubtful, duration, good
from bridle.cli.timeline import Timeline
from bridle.cli.where import now, option_for, path_of, place_of
from bridle.config import load_policy
from bridle.gateway.world import World
from bridle.models.port import Model
from bridle.rules.names import MILLIS_PER_SECOND, RunId, ToolName, show_usd
from bridle.rules.policy import Policy
from bridle.rules.stop import StopReason
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.runs.run import Run
from bridle.runs.signals import Denied
from bridle.testing.incidents import (
    Bounded,
    outage_bounded,
    outage_unbounded,
    research_bounded,
    research_unbounded,
)
from bridle.testing.incidents.outage import POLICY as OUTAGE
from bridle.testing.incidents.outage import PRESSES_S, REQUESTS
from bridle.testing.incidents.research import POLICY as RESEARCH
from bridle.testing.incidents.research import PRESSES

OWN_QUESTIONS = (
    "What happens after kill -9?",
    "What is settled when a model does not say what it used?",
)
STARTER = "starter"  # a folder of the package with a document, for where there is no other
MOST_LOOKED_AT = 1_000  # files of a folder, in search of a question about it
NOTE = {"title": "Refund order 88213", "text": "Refunded in full."}
STANDS_IN, BECAUSE = "demo-approver", "order 88213 was refunded yesterday"
WRITER = Policy(allow=frozenset({ToolName("notes.write")}))  # it may be called, and writes wait for approval by default
WIDTH = 78
ENDED = "how each press ended"


@dataclass(frozen=True, slots=True)
class Documents:
    """A folder to answer from, how it is named on the screen, and what it is asked."""

    folder: Path
    shown: str
    questions: tuple[str, ...]


def demo(*, docs: Path | None = None, question: str = "") -> int:
    """Watch governed runs, the two incidents being stopped, and a write that a person rejects. No key, no network.

    Parameters
    ----------
    docs
        A folder of Markdown and text to answer from. Default: the documentation of bridle.
    question
        What to ask of it.
    """
    asyncio.run(show_demo(OUT, documents_of(docs, question)))
    return OK


async def show_demo(screen: Screen, documents: Documents) -> None:
    """The four parts, each printed when it has happened."""
    store = path_of(None)
    version = metadata.version("bridle")
    screen.line(bold(f"bridle {version} demo"), dim(f"  data in {store}, no API key needed"))
    await show_answers(screen, documents)
    await show_research(screen)
    await show_outage(screen)
    await show_write(screen, store.parent)
    screen.line()
    screen.line("Next:")
    program = _program()
    asked = f'{program} run "your question" --docs {documents.shown}'
    next_commands = (
        (f"{program} show last{option_for(None)}", "the rejected write: what was asked, who answered, what came of it"),
        (asked, "the same flow, your question"),
        (f"{program} init my-agent", "a policy, a flow and a document to start with"),
    )
    screen.table([(bold(command), dim(what)) for command, what in next_commands], indent="  ")


# ---- 1: answers


async def show_answers(screen: Screen, documents: Documents) -> None:
    """The flow of `bridle run`, over real documents."""
    limits = ask.READ_ONLY.limits
    allowed = ", ".join(sorted(ask.READ_ONLY.allow))
    _title(screen, 1, f"Questions, answered from {documents.shown} by an explicit flow with one bounded investigation")
    budget = f"{limits.max_tool_calls} tool calls, {limits.max_seconds} s and {show_usd(limits.max_usd)}"
    screen.line(dim(f"  Allowed: {allowed}; everything else is denied. A run has {budget}."))
    screen.line(dim(f"  The model is {ask.MODEL}: embedded, it quotes what the tools found, and needs no network."))
    async with Bridle(ask.READ_ONLY, place_of(None)) as b:
        ask.over(b, documents.folder)
        for nth, question in enumerate(documents.questions):
            screen.line()
            screen.line("  ", bold(question))
            given = {"question": question, "folder": str(documents.folder)}
            result = await b.run(ask.asking(), given, by="demo")
            if nth == 0:
                await show_timeline(screen, b, result)
            said = result.answer if result.answer is not None else result.partial
            if said is not None:
                screen.block(words(said), indent="  | ")
            screen.line("  ", *heading(result.stop), dim(f"  {spent(result)}"))


async def show_timeline(screen: Screen, b: Bridle, result: RunResult, after: int = 0) -> int:
    """What is in the journal of a run from a line of it on; returns how many lines it has."""
    run = RunId(result.run_id)
    state = b.store.recorded(run).state
    timeline = Timeline(state.started_at, lambda name: b.store.payload(run, name), WIDTH)
    for entry in b.store.journal(run):
        for spans in timeline.told(entry.event):
            if entry.seq > after:
                screen.line(*spans)
    return state.seq


# ---- 2 and 3: incidents


async def show_research(screen: Screen) -> None:
    """The 17-minute, $74 agent, and the users who press again."""
    _title(screen, 2, 'Incident "research until sure": a model that is never sure, in simulated time')
    _show_policy(screen, RESEARCH)
    alone = await asyncio.to_thread(research_unbounded)
    pressed = await asyncio.to_thread(research_unbounded, PRESSES)
    bounded = await asyncio.to_thread(research_bounded, _house, PRESSES)
    presses = f"pressed {len(PRESSES)} times"
    rows = [
        ("without brakes, pressed once", alone, _counted(alone.stops)),
        (f"without brakes, {presses}", pressed, _counted(pressed.stops)),
        (f"under bridle, {presses}", bounded.outcome, _ends(bounded)),
    ]
    head = ("", "tool calls", "dollars", "time", ENDED)
    table = [
        (name, f"{o.tool_calls:,}", show_usd(o.usd_nano), duration(o.seconds * MILLIS_PER_SECOND), end)
        for name, o, end in rows
    ]
    _table(screen, [head, *table])
    (result, *others) = bounded.results
    joined = sum(other.run_id == result.run_id for other in others)
    if result.stop is not None:
        screen.line("  ", good("What its users are told: "), result.stop.text())
    screen.line("  ", f"How far it came: {result.partial}")
    screen.line("  ", f"The other {joined} presses joined the run that was open.")
    _compare(screen, bounded)


async def show_outage(screen: Screen) -> None:
    """The 1,800-call day."""
    _title(screen, 3, 'Incident "browser during a vendor outage": a day of requests, the vendor is down for four hours')
    _show_policy(screen, OUTAGE)
    unbounded = await asyncio.to_thread(outage_unbounded)
    bounded = await asyncio.to_thread(outage_bounded, _house)
    head = ("", "browser calls", "most in a run", "dollars", "requests answered", ENDED)
    rows = (
        ("without brakes", unbounded, unbounded.stops["answered"], _counted(unbounded.stops)),
        ("under bridle", bounded.outcome, bounded.outcome.stops["ok"], _ends(bounded)),
    )
    table = [
        (
            name,
            f"{o.tool_calls:,}",
            f"{o.most_tool_calls_of_a_run}",
            show_usd(o.usd_nano),
            f"{answered} of {REQUESTS}",
            end,
        )
        for name, o, answered, end in rows
    ]
    _table(screen, [head, *table])
    unanswered = REQUESTS - bounded.outcome.stops["ok"]
    screen.line("  ", f"Each of the {unanswered} requests of the outage was pressed {len(PRESSES_S)} times.")
    told = next((r.stop for r in bounded.results if r.stop is not None and r.stop.reason is not StopReason.OK), None)
    if told is not None:
        screen.line("  ", good("What its users are told: "), f"{told.text()} {told.row.advice}")
    _compare(screen, bounded)


def _house(policy: Path, models: Mapping[str, Model], world: World) -> Bridle:
    return Bridle(policy, ":memory:", models=models, world=world)


def _show_policy(screen: Screen, policy: Path) -> None:
    limits = load_policy(policy).policy.limits
    budget = f"{limits.max_tool_calls} tool calls, {limits.max_seconds} s and {show_usd(limits.max_usd)}"
    screen.line(dim(f"  Without brakes there is no limit; under bridle, a run has {budget}."))


def _ends(bounded: Bounded) -> str:
    """How each press ended; presses that joined a run ended as that run did."""
    return _counted(Counter(result.stop.reason.value for result in bounded.results if result.stop is not None))


def _counted(stops: Mapping[str, int]) -> str:
    named = Counter(stops).most_common()
    return (
        named[0][0] if len(named) == 1 and named[0][1] == 1 else ", ".join(f"{times} {stop}" for stop, times in named)
    )


def _compare(screen: Screen, bounded: Bounded) -> None:
    """Bridle's own ledger beside the world's; they are two."""
    outcome, told = bounded.outcome, bounded.told
    is_same = (outcome.tool_calls, outcome.usd_nano) == (told.tool_calls, told.usd_nano)
    shown = f"{counted(told.tool_calls, 'tool call')} and {show_usd(told.usd_nano)}"
    verdict = good("the same as") if is_same else doubtful("not the same as")
    screen.line(dim("  "), f"bridle's ledger says {shown}: ", verdict, " what the simulated world billed.")


# ---- 4: a write


async def show_write(screen: Screen, root: Path) -> None:
    """A write waits for a person; the demo answers in his place, and says so."""
    _title(screen, 4, "A write that waits for a person, and is rejected")
    note = Flow("note", start="write")

    @note.step()
    async def write(run: Run, state: object) -> object:
        del state
        try:
            return (await run.call("notes.write", NOTE)).value
        except Denied as denied:
            return f"I wrote nothing ({denied.reason}): {denied.detail.get('said', '')}"

    async with Bridle(WRITER, place_of(None)) as b:
        folder(b, root)
        key = f"demo-{token_hex(8)}"  # a new run each time: without a key it would join the one before
        waiting = await b.run(note, {}, by="demo", key=key)
        seen = await show_timeline(screen, b, waiting)
        for question in b.approvals.of(RunId(waiting.run_id)):
            card(screen, question, now())
            screen.line(dim("  Nothing is held meanwhile, and no process has to live. The demo answers itself:"))
            commands(screen, question, option_for(None))
            await b.approvals.answer(question.approval, "reject", STANDS_IN, said=BECAUSE)
        result = await b.run(note, {}, by="demo", key=key)  # the same key is the same run: it goes on
        await show_timeline(screen, b, result, seen)
    screen.line("  What the flow made of it: ", good(words(result.answer)))
    notes = root / "notes"
    if not notes.exists():
        screen.line("  ", f"Nothing was written: there is no {notes}.")


# ---- what they share


def documents_of(docs: Path | None, question: str) -> Documents:
    """The folder that is named, or the documentation of bridle: of the checkout, or else what the package brings."""
    if docs is not None:
        if not docs.is_dir():
            raise Failed(f"{docs}: there is no such folder; give one of Markdown or text")
        return Documents(docs.resolve(), str(docs), (question or _question_about(docs),))
    own = Path(__file__).resolve().parents[3] / "docs"
    if own.is_dir() and (own.parent / "pyproject.toml").is_file():
        shown = "docs" if own == Path("docs").resolve() else str(own)
        return Documents(own, shown, (question,) if question else OWN_QUESTIONS)
    package = resources.files("bridle.cli") / STARTER
    kept = Path(tempfile.mkdtemp(prefix="bridle-demo-"))
    for file in package.iterdir():
        if file.name.endswith(".md"):
            (kept / file.name).write_text(file.read_text("utf-8"), "utf-8")
    return Documents(kept, str(kept), (question or _question_about(kept),))


def _question_about(docs: Path) -> str:
    """A question that these documents should know something about: after the first heading there is."""
    for path in islice(sorted(docs.rglob("*.md")), MOST_LOOKED_AT):
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in islice(file, MOST_LOOKED_AT):
                if line.startswith("# ") and line[2:].strip():
                    return f"What is said about {line[2:].strip()[:80]}?"
    raise Failed(f"{docs}: there is no heading in its Markdown; say what to ask with --question")


def _program() -> str:
    """How `bridle` is called here: by its name where that is found, else by the full path of the one that runs."""
    own = Path(sys.executable).with_name("bridle")
    return shlex.quote(str(own)) if shutil.which("bridle") is None and own.exists() else "bridle"


def _title(screen: Screen, number: int, text: str) -> None:
    screen.line()
    screen.line(bold(f"{number}  {text}"))


def _table(screen: Screen, rows: Sequence[Sequence[str]]) -> None:
    head, *others = rows
    painted: list[Sequence[Span]] = [tuple(dim(cell) for cell in head)]
    painted += [(*others_of[:-1], doubtful(others_of[-1])) for others_of in others]
    screen.table(painted, indent="  ")
