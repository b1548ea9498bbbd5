"""How a run ended, as people are told: the sentence, the answer or how far it came, what it cost, what to do now."""

import json

from bridle.cli.screen import Screen, Span, bad, bold, counted, cut, dim, doubtful, duration, good
from bridle.rules.names import ACTIVE_MS, MODEL_CALLS, STEPS, TOKENS_IN, TOKENS_OUT, USD_NANO, show_usd
from bridle.rules.stop import Retry, Status, StopNote, StopReason
from bridle.rules.strict_json import Json
from bridle.runs.result import RunResult

MOST_SHOWN = 20_000  # characters of an answer
TAINTED = "It has read untrusted text, and may say what somebody else wanted said."
MOST_ERROR = 200  # columns of the error in a sentence

AGAIN = {
    Retry.NEVER: "The same request would end the same way.",
    Retry.LATER: "The same request may do later.",
    Retry.CHANGE: "The same request needs a change first.",
    Retry.HUMAN: "A person decides before it is sent again.",
    Retry.ANY: "It may be sent again.",
    Retry.FOLLOW: "Another run took over.",
    Retry.NONE: "",
}


WAITS: tuple[Span, ...] = (doubtful("waiting"), "  The run waits for a person, and holds nothing meanwhile.")


def told(screen: Screen, result: RunResult) -> None:
    """Everything one wants to know when a run has ended."""
    is_ok = result.status is Status.OK
    said = result.answer if is_ok else result.partial
    if said not in (None, ""):
        if not is_ok:
            screen.line(bold("How far it came:"))
        screen.block(words(said), indent="" if is_ok else "  ")
        if result.is_tainted:
            screen.line(dim(TAINTED))
        screen.line()
    screen.line(*(heading(result.stop) if result.approval is None else WAITS))
    screen.line(dim(f"  {spent(result)}"))
    if result.stop is not None and result.stop.reason is not StopReason.OK:
        for line in advice(result.stop):
            screen.line(f"  {line}")


def heading(stop: StopNote | None) -> tuple[Span, ...]:
    """The end of a run in one line: the status, the reason, the sentence."""
    if stop is None:
        return (doubtful("open"), "  The run has not ended.")
    colour = {Status.OK: good, Status.FAILED: bad}.get(stop.status, doubtful)
    status = str(stop.status)
    asker = f" By {stop.detail['by']}." if stop.reason is StopReason.CANCELLED and "by" in stop.detail else ""
    return (colour(status), f"  {stop.reason}: " if stop.reason.value != status else "  ", why(stop) + asker)


def why(stop: StopNote) -> str:
    """The sentence of a stop or a refusal, with the error that it came from where the sentence does not have it."""
    text, error = stop.text(), str(stop.detail.get("error", "")).strip()
    if not error or error in text:
        return text
    shown = cut(error, MOST_ERROR)
    return f"{text.removesuffix('.')}: {shown}{'' if shown.endswith(('.', '!', '?')) else '.'}"


def advice(stop: StopNote) -> list[str]:
    """What to do now, and who does it."""
    who = f" ({stop.who})" if stop.who and stop.reason is not StopReason.OK else ""
    return [line for line in (f"{stop.advice}{who}", AGAIN[stop.retry]) if line]


def spent(result: RunResult) -> str:
    """What a run used, on one line."""
    used = result.spent
    tokens = used.get(TOKENS_IN, 0) + used.get(TOKENS_OUT, 0)
    parts = [
        counted(result.tool_calls, "tool call"),
        counted(used.get(MODEL_CALLS, 0), "model call"),
        counted(used.get(STEPS, 0), "step"),
        counted(tokens, "token"),
        show_usd(used.get(USD_NANO, 0)),
        duration(used.get(ACTIVE_MS, 0)),
    ]
    return ", ".join(parts)


def words(said: Json) -> str:
    """An answer as text: a text as it is, everything else as JSON."""
    text = said if isinstance(said, str) else json.dumps(said, indent=2, ensure_ascii=False)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}\n... ({len(text):,} characters; --json has all)"
