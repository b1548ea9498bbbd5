"""What a person is shown before he answers: the sentence, every argument in full, and nothing that hides."""

import json
import shlex
from collections.abc import Mapping

from bridle.cli.screen import Screen, ago, bad, bold, dim, doubtful, duration, moment
from bridle.rules.names import Millis
from bridle.rules.strict_json import Json
from bridle.runs.approvals import Question


def card(screen: Screen, question: Question, at: Millis) -> None:
    """Everything that the answer is about."""
    screen.line(bold(question.approval), "  ", question.summary)
    whose = f"{question.tool}, for {question.tenant}, asked by {question.by} {ago(question.asked_at, at)} ago"
    screen.line(dim("  call     "), whose)
    for name, value in sorted(question.arguments.items()):
        _named(screen, name, value)
    if question.preview is not None:
        _named(screen, "(preview)", question.preview)
    for sentence in question.why:
        screen.hanging([dim("  why      ")], sentence)
    if is_late(question, at):
        screen.line(dim("  until    "), bad(f"expired {ago(question.until, at)} ago"))
        return
    left = f"{moment(question.until)}, {duration(question.until - at)} left"
    screen.line(dim("  until    "), doubtful(left))


def is_late(question: Question, at: Millis) -> bool:
    """Whether nobody can answer it any more."""
    return at >= question.until


def commands(screen: Screen, question: Question, option: str) -> None:
    """What may be typed about it."""
    named = question.approval
    smaller = shlex.quote(_text(_edit(question.arguments)))
    for line in (
        f"bridle approve {named}{option}",
        f"bridle edit {named} --args {smaller}{option}",
        f'bridle reject {named} --because "..."{option}',
        f'bridle respond {named} --text "..."{option}',
    ):
        screen.line("  ", line)


def changes(screen: Screen, before: Mapping[str, Json], after: Mapping[str, Json]) -> None:
    """An edit, argument by argument."""
    for name, value in sorted(before.items()):
        if name in after and after[name] == value and type(after[name]) is type(value):
            _named(screen, name, value)
        else:
            screen.line(f"  {name}: ", bad(_text(value)), " -> ", bold(_text(after[name]) if name in after else "gone"))
            _bytes(screen, [value, after.get(name)])


def as_document(question: Question, at: Millis) -> dict[str, object]:
    """One question as JSON has it."""
    run, _, call = question.approval.rpartition("/")
    return {
        "approval": question.approval,
        "run_id": run,
        "call": call,
        "tool": question.tool,
        "summary": question.summary,
        "arguments": dict(question.arguments),
        "preview": question.preview,
        "why": list(question.why),
        "tenant": question.tenant,
        "by": question.by,
        "asked_at_ms": question.asked_at,
        "until_ms": question.until,
        "is_late": is_late(question, at),
    }


def _named(screen: Screen, name: str, value: Json) -> None:
    screen.line(f"  {name}: ", bold(_text(value)))
    _bytes(screen, [value])


def _bytes(screen: Screen, values: list[Json]) -> None:
    """The same in ASCII, where letters of other alphabets could be taken for ours, or cannot be seen."""
    for value in values:
        if not _text(value).isascii():
            screen.line(dim(f"    as ASCII: {json.dumps(value, ensure_ascii=True)}"))


def _text(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _edit(arguments: Mapping[str, Json]) -> dict[str, Json]:
    """The arguments that an edit may make smaller; the numbers, or all of them where there are none."""
    numbers = {name: value for name, value in arguments.items() if isinstance(value, int | float)}
    return {name: value for name, value in (numbers or arguments).items() if not isinstance(value, bool)}
