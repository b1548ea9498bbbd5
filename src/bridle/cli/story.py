"""The story of one run, read from the store: told in lines, or as one document."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum

from bridle.cli.card import card, commands
from bridle.cli.outcome import TAINTED, advice, heading, words
from bridle.cli.runs import word_of
from bridle.cli.screen import Screen, Span, bold, counted, dim, doubtful, duration, moment
from bridle.cli.timeline import Timeline, excerpt
from bridle.gateway.world import World
from bridle.rules.events import CallAdmitted, CallRefused, CallReused, CallSettled, Event
from bridle.rules.failure import FailureKind
from bridle.rules.names import (
    MILLIS_PER_SECOND,
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    Millis,
    RunId,
    show_usd,
)
from bridle.rules.policy import Policy
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import Status, StopNote, StopReason
from bridle.runs.approvals import Approvals
from bridle.runs.charter import governing
from bridle.runs.result import RunResult, read_result, spent_by
from bridle.store.base import Entry, Store

MOST_EVENTS = 2_000  # lines of a timeline; --json has all events
LATENCY, SPEND = "latency_ms", "spend_usd_nanos"  # of one run, with their units
_UNITS = {"latency_p95": LATENCY, "spend_per_run": SPEND}


@dataclass(frozen=True, slots=True)
class Story:
    """A run with everything that is told of it. `policy` is None when the store does not have it any more."""

    state: RunState
    result: RunResult
    entries: list[Entry]
    policy: Policy | None
    asked: bytes
    is_worked_on: bool  # by a process that lives


def read_story(store: Store, run: RunId, *, is_worked_on: bool) -> Story:
    """Read a run. Raises UnknownRun, and BadRow for a damaged one."""
    state = store.recorded(run).state
    kept = store.policy(state.policy)
    policy = governing(store, state, Policy.parse(kept)) if kept is not None else None
    asked = store.payload(run, "input") or b""
    return Story(state, read_result(store, run), store.journal(run), policy, asked, is_worked_on)


def tell(screen: Screen, story: Story, store: Store, option: str, at: Millis) -> None:
    """The sentence, the timeline, the money, the reason, what to do."""
    state, result = story.state, story.result
    screen.line(bold(state.run), " ", *sentence(story, at))
    version = f" {state.version}" if state.version else ""
    whose = "attached agent" if state.loop == "attach" else "flow"
    screen.line(dim(f"  {whose} {state.name}{version}, for {state.tenant}, by {state.by}, {moment(state.started_at)}"))
    if state.parent:
        screen.line(dim("  child of "), bold(state.parent), dim(f", begun in its step {state.within}"))
    if story.asked:
        screen.line(dim("  asked: "), excerpt(_given(story.asked), screen.width - 12))
    screen.line()
    _timeline(screen, story, store)
    screen.line()
    screen.table([[dim("spent"), dim("used"), dim("limit")], *_spent(story, at)], indent="  ")
    _tracked(screen, story)
    screen.line()
    if result.stop is None:
        _still_open(screen, story, store, option, at)
        return
    screen.line(bold("why  "), *heading(result.stop))
    for number, line in enumerate(advice(result.stop)):
        screen.line(bold("now  ") if number == 0 else "     ", line)
    _doubts(screen, state, option)
    said = result.answer if result.status is Status.OK else result.partial
    if said not in (None, ""):
        screen.line()
        screen.line(bold("the answer" if result.status is Status.OK else "how far it came"))
        screen.block(words(said))
        if result.is_tainted:
            screen.line(dim(f"  {TAINTED}"))


def _doubts(screen: Screen, state: RunState, option: str) -> None:
    """What a person still has to say; or that it was said after the end."""
    for call in state.in_doubt:
        screen.line("     ", f'`bridle resolve {state.run}/{call} happened --because "..."{option}`, or did-not')
    if state.stop is not None and state.stop.reason is StopReason.WRITE_IN_DOUBT and not state.in_doubt:
        screen.line("     ", "It is known now, see above: nothing of this run is in doubt any more.")


def _given(asked: bytes) -> bytes:
    """The input without the fields that nobody filled."""
    words = _json(asked)
    if not isinstance(words, dict):
        return asked
    filled = {name: value for name, value in words.items() if value not in ("", None, [], {})}
    return json.dumps(filled, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")


def sentence(story: Story, at: Millis) -> tuple[Span, ...]:
    """The whole run in one line."""
    state = story.state
    seen = deeds(story)
    done = [counted(seen["tool_calls"], "tool call"), counted(seen["model_calls"], "model call")]
    for name, noun in (("reused", "reused result"), ("refused", "refused call"), ("failed", "failed call")):
        if seen[name]:
            done.append(counted(seen[name], noun))
    if state.retries:
        done.append(f"{state.retries} {'retry' if state.retries == 1 else 'retries'}")
    worked = f"{', '.join(done)} and {show_usd(state.spent(USD_NANO))}"
    if state.stop is None:
        where = f" in step {state.step}" if state.step else ""
        return (
            doubtful(f"is {word_of(state)}{where}"),
            f" since {duration(at - state.started_at)}: {worked} so far",
        )
    verb = {Status.OK: "answered", Status.FAILED: "failed", Status.CANCELLED: "was cancelled"}
    did = verb.get(state.stop.status, "was stopped")
    is_plain = state.stop.reason.value in (state.stop.status.value, Status.OK.value)
    why = "" if is_plain else f" ({state.stop.reason})"
    return (bold(f"{did}{why}"), f" after {duration(state.last_at - state.started_at)}, {worked}")


def deeds(story: Story) -> Mapping[str, int]:
    """How many calls of each fate."""
    events = [entry.event for entry in story.entries]
    settled = [event for event in events if isinstance(event, CallSettled)]
    return {
        "tool_calls": story.state.spent(TOOL_CALLS),
        "model_calls": story.state.spent(MODEL_CALLS),
        "reused": sum(isinstance(event, CallReused) for event in events),
        "refused": sum(isinstance(event, CallRefused) for event in events),
        "failed": sum(e.failure is not None and e.failure is not FailureKind.CANCELLED for e in settled),
    }


def _timeline(screen: Screen, story: Story, store: Store) -> None:
    run = story.state.run
    timeline = Timeline(story.state.started_at, lambda name: store.payload(run, name), screen.width)
    shown = [line for entry in story.entries[:MOST_EVENTS] for line in timeline.told(entry.event)]
    for line in (*shown, *timeline.waiting()):
        screen.line(*line)
    left = len(story.entries) - MOST_EVENTS
    if left > 0:
        screen.line(dim(f"  ... and {counted(left, 'event')} more; --json has them"))


def _spent(story: Story, at: Millis) -> list[list[Span]]:
    return [[name, used, limit] for name, used, limit in spending(story, at)]


def spending(story: Story, at: Millis) -> list[tuple[str, str, str]]:
    """Each limit of the run, what is used of it, and what it is; without a policy, only what is used."""
    state = story.state
    until = state.last_at if state.phase is Phase.STOPPED else at
    used = {
        "max_steps": state.spent(STEPS),
        "max_model_calls": state.spent(MODEL_CALLS),
        "max_tool_calls": state.spent(TOOL_CALLS),
        "max_tokens": state.spent(TOKENS_IN) + state.spent(TOKENS_OUT),
        "max_usd": state.spent(USD_NANO),
    }
    rows = []
    for name, amount in used.items():
        shown = show_usd if name == "max_usd" else _number
        limit = shown(getattr(story.policy.limits, name)) if story.policy is not None else "?"
        rows.append((name, shown(amount), limit))
    seconds = f"{state.active(until) / MILLIS_PER_SECOND:.1f}"
    rows.append(("max_seconds", seconds, str(story.policy.limits.max_seconds) if story.policy is not None else "?"))
    return rows


def _number(amount: int) -> str:
    return f"{amount:,}"


def tracked(story: Story) -> dict[str, object]:
    """What `monitoring.track` of the policy chose, of this one run."""
    state = story.state
    requests = state.spent(MODEL_CALLS)
    tokens = state.spent(TOKENS_IN) + state.spent(TOKENS_OUT)
    known: dict[str, object] = {
        "tool_calls_per_run": state.spent(TOOL_CALLS),
        "tokens_per_request": tokens // requests if requests else 0,
        "stop_reason": state.stop.reason.value if state.stop else None,
        "latency_p95": state.last_at - state.started_at if state.stop is not None else None,
        "spend_per_run": state.spent(USD_NANO),
    }
    chosen = story.policy.track if story.policy is not None else ()
    return {_UNITS.get(name, name): known[name] for name in chosen if name in known}


def _tracked(screen: Screen, story: Story) -> None:
    shown = []
    for name, value in tracked(story).items():
        if isinstance(value, int) and name == LATENCY:
            shown.append(f"latency {duration(value)}")
        elif isinstance(value, int) and name == SPEND:
            shown.append(f"spend {show_usd(value)}")
        elif name == LATENCY:
            shown.append("latency -")
        else:
            shown.append(f"{name} {value if value is not None else '-'}")
    if shown:
        screen.line(dim(f"  tracked  {', '.join(shown)}"))


def _still_open(screen: Screen, story: Story, store: Store, option: str, at: Millis) -> None:
    state = story.state
    waiting = Approvals(store, World()).of(state.run)
    if waiting:
        screen.line(bold("why  "), doubtful("waiting"), "  A person has to answer.")
        for question in waiting:
            screen.line()
            card(screen, question, at)
            commands(screen, question, option)
        return
    for child in state.children if state.phase is Phase.SUSPENDED else ():
        screen.line(
            bold("why  "), doubtful("waiting"), f"  Its child {child} has not ended; `bridle show {child}{option}`"
        )
    if state.halt is not None:
        screen.line(bold("why  "), f"It is halted: {state.halt.text()}")
    ends = f"`bridle cancel {state.run}{option}` ends it"
    if story.is_worked_on:
        screen.line(bold("now  "), f"A process works on it; {ends}.")
    else:
        screen.line(bold("now  "), f"Nobody works on it. The same request takes it up again; {ends}.")


# ---- as one document


def as_document(story: Story, store: Store) -> dict[str, object]:
    """The story as JSON has it. `events` are those of the journal, with the payloads that are kept beside it."""
    state = story.state
    found = story.result.to_dict()
    if story.result.stop is None:
        found["status"] = word_of(state)
    else:
        found["advice"] = advice(story.result.stop)
    return {
        **found,
        "loop": state.loop,
        "flow": state.name,
        "version": state.version,
        "parent": state.parent or None,
        "tenant": state.tenant,
        "by": state.by,
        "policy": state.policy,
        "started_at_ms": state.started_at,
        "updated_at_ms": state.last_at,
        "input": _json(story.asked),
        "counts": dict(deeds(story)),
        "limits": _limits(story),
        "spent": {str(unit): used for unit, used in spent_by(state).items()},
        "tracked": tracked(story),
        "events": [_event(entry, story, store) for entry in story.entries],
    }


def _limits(story: Story) -> dict[str, int] | None:
    if story.policy is None:
        return None
    limits = story.policy.limits
    return {
        ("max_usd_nano" if item.name == "max_usd" else item.name): getattr(limits, item.name) for item in fields(limits)
    }


def _event(entry: Entry, story: Story, store: Store) -> dict[str, object]:
    event: Event = entry.event
    found: dict[str, object] = {"seq": entry.seq, "event": type(event).__name__}
    for item in fields(event):
        value = getattr(event, item.name)
        found["at_ms" if item.name == "at" else item.name] = _plain(value)
    if isinstance(event, CallRefused):
        found["text"] = _refusal(event)
    if isinstance(event, CallAdmitted | CallRefused):
        kept = store.payload(story.state.run, f"{event.call}.args")
        found["arguments"] = _json(kept) if kept is not None else None
    if isinstance(event, CallSettled):
        kept = store.payload(story.state.run, f"{event.call}.result")
        found["result_bytes"] = len(kept) if kept is not None else 0
    return found


def _refusal(event: CallRefused) -> str:
    return StopNote(event.reason, event.detail).text()


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _json(kept: bytes) -> object:
    try:
        return json.loads(kept)
    except ValueError:
        return kept.decode("utf-8", "replace")
