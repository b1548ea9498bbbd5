"""A model that says what its script says: for tests, demos and simulations, without a network."""

import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from itertools import accumulate, islice
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import Digest, Millis
from bridle.rules.prompt import Finish, Message, ModelReply, ModelRequest, Role, ToolUse, Usage

FOREVER = 1_000_000_000  # turns; no run is that long
MAX_SCRIPT_BYTES = 10_000_000
MAX_REMEMBERED = 1_024  # conversations, and requests that have failed before
BYTES_PER_TOKEN = 4  # what is counted when a script says nothing of usage
_KEYS = {"call", "calls", "answer", "refuse", "fail", "usage", "repeat", "turns"}
_SPEAKING = ("call", "calls", "answer", "refuse")
_role = attrgetter("role")
K = TypeVar("K")
V = TypeVar("V")


class ScriptError(ValueError):
    """A script that cannot be read; the message names the turn and the cure."""


class Reported(StrEnum):
    """What a turn says of its usage, when it names no numbers."""

    COUNTED = "counted"  # input by the request's size, output by the length of the text
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a script: what is said, or how asking fails. Uses without an id get one."""

    answer: str = ""
    uses: tuple[ToolUse, ...] = ()
    usage: Usage | Reported = Reported.COUNTED
    finish: Finish = Finish.STOP
    fail: FailureKind | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Turns that are played so many times, one after another."""

    turns: tuple[Turn, ...]
    times: int = 1


class ScriptedModel:
    """Plays turns, one for each request; the turn follows from the conversation, not from this object.

    The number of assistant messages in the request is the number of turns that were spoken. So many runs may share
    one object, and a run that is resumed goes on at its turn. Only failures are counted here, by request digest: a
    turn that fails N times fails the first N attempts at one request, and two runs with equal conversations share
    that count. After the last turn: `CallFailed(REJECTED)`.
    """

    def __init__(self, turns: Sequence[Turn | Block], *, name: str = "scripted") -> None:
        self.name = name
        self._spoken, self._failures = _sorted_out(turns)
        self._starts = _starts(self._spoken)
        self._attempts: OrderedDict[Digest, int] = OrderedDict()
        self._seen: OrderedDict[int, tuple[tuple[Message, ...], int]] = OrderedDict()

    @classmethod
    def from_yaml(cls, path: str | Path, *, name: str = "") -> "ScriptedModel":
        """Read a script from a YAML file (docs/models.md shows one). Raises `ScriptError` or OSError."""
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        text = Path(path).read_bytes()
        if len(text) > MAX_SCRIPT_BYTES:
            raise ScriptError(f"{path}: a script has at most {MAX_SCRIPT_BYTES:,} bytes")
        try:
            listed = YAML(typ="safe", pure=True).load(text)
        except (YAMLError, UnicodeDecodeError, RecursionError) as error:
            raise ScriptError(f"{path}: this is not YAML: {error}") from None
        try:
            return cls(_read_list(listed, "turn"), name=name or f"scripted:{path}")
        except ScriptError as error:
            raise ScriptError(f"{path}: {error}") from None

    async def complete(self, request: ModelRequest, *, timeout: Millis) -> ModelReply:  # noqa: ASYNC109 - the port's word
        """The turn of this conversation; see `Model.complete`. It takes no time, so `timeout` is not needed."""
        at = self._turns_spoken(request.messages)
        self._fail_if_due(request.digest, self._failures.get(at, ()))
        if at >= self._starts[-1]:
            raise CallFailed(FailureKind.REJECTED, "the script is over", happened=False)
        block = bisect_right(self._starts, at) - 1
        turns = self._spoken[block].turns
        turn = turns[(at - self._starts[block]) % len(turns)]
        uses = tuple(use if use.id else replace(use, id=f"call_{at}_{i}") for i, use in enumerate(turn.uses))
        return ModelReply(turn.answer, uses, _usage(turn, request), Finish.TOOL_CALLS if uses else turn.finish)

    async def aclose(self) -> None:
        """Nothing to give back."""

    def _fail_if_due(self, digest: Digest, failures: tuple["Block", ...]) -> None:
        attempt = self._attempts.get(digest, 0)
        for failure in failures:
            if attempt < failure.times:
                _remember(self._attempts, digest, self._attempts.get(digest, 0) + 1)
                kind = failure.turns[0].fail or FailureKind.CRASHED
                raise CallFailed(kind, f"the script says: {kind.value}")
            attempt -= failure.times

    def _turns_spoken(self, messages: tuple[Message, ...]) -> int:
        """Count assistant messages; a beginning that was counted for the turn before is compared, not counted again."""
        backwards = range(len(messages) - 1, 0, -1)
        newest = list(islice((at for at in backwards if messages[at].role is Role.ASSISTANT), 2))
        if not newest:
            return 0
        known = messages[1 : newest[0] + 1]  # without the system message, which may change from turn to turn
        spoken = next(self._counted_before(messages, newest), None)
        if spoken is None:
            spoken = list(map(_role, known)).count(Role.ASSISTANT)
        _remember(self._seen, id(known[-1]), (known, spoken))
        return spoken

    def _counted_before(self, messages: tuple[Message, ...], newest: list[int]) -> Iterator[int]:
        for later, at in enumerate(newest):
            begun, spoken = self._seen.pop(id(messages[at]), ((), 0))
            if begun and begun == messages[1 : at + 1]:
                yield spoken + later


def _remember(memory: OrderedDict[K, V], key: K, value: V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > MAX_REMEMBERED:
        memory.popitem(last=False)


def _usage(turn: Turn, request: ModelRequest) -> Usage | None:
    match turn.usage:
        case Usage():
            return turn.usage
        case Reported.MISSING:
            return None
        case Reported.COUNTED:
            written = len(turn.answer) + sum(len(use.arguments) for use in turn.uses)
            tokens_out = min(1 + written // BYTES_PER_TOKEN, request.max_output)
            return Usage(max(1, request.size // BYTES_PER_TOKEN), tokens_out)


def _sorted_out(turns: Sequence[Turn | Block]) -> tuple[list[Block], dict[int, tuple[Block, ...]]]:
    """What is spoken; and what fails before it, by the number of turns spoken until then."""
    spoken: list[Block] = []
    failures: dict[int, tuple[Block, ...]] = {}
    said = 0
    for each in turns:
        block = each if isinstance(each, Block) else Block((each,))
        if not block.turns or block.times < 1:
            raise ScriptError("a block has at least one turn and is played at least once")
        failing = [turn for turn in block.turns if turn.fail is not None]
        if not failing:
            spoken.append(block)
            said += len(block.turns) * block.times
        elif len(block.turns) == 1:
            failures[said] = (*failures.get(said, ()), block)
        else:
            raise ScriptError("a turn that fails stands alone, not among turns that repeat; move it out of the block")
    return spoken, failures


def _starts(blocks: Sequence[Block]) -> list[int]:
    """The turn at which each block begins, and after them the turn at which the script is over."""
    return list(accumulate((len(block.turns) * block.times for block in blocks), initial=0))


# ---- YAML


def _read_list(listed: object, where: str) -> list[Turn | Block]:
    if not isinstance(listed, list) or not listed:
        raise ScriptError(f"{where}s are a list of at least one turn, each with a dash: - answer: done")
    return [_read_entry(entry, f"{where} {number}") for number, entry in enumerate(listed, 1)]


def _read_entry(entry: object, where: str) -> Turn | Block:
    if not isinstance(entry, dict):
        raise ScriptError(f"{where}: a turn is a mapping, as in answer: done")
    for key in entry.keys() - _KEYS:
        close = get_close_matches(str(key), _KEYS, n=1)
        meant = f"did you mean {close[0]}?" if close else f"the keys are {', '.join(sorted(_KEYS))}"
        raise ScriptError(f"{where}: {key} is not a key of a turn; {meant}")
    times = _read_repeat(entry.get("repeat", 1), where)
    if "turns" in entry:
        if entry.keys() - {"turns", "repeat"}:
            raise ScriptError(f"{where}: beside turns only repeat may stand")
        inner = _read_list(entry["turns"], f"{where}, turn")
        turns = tuple(turn for turn in inner if isinstance(turn, Turn))
        if len(turns) != len(inner):
            raise ScriptError(f"{where}: turns that repeat cannot hold turns that repeat")
        return Block(turns, times)
    turn = _read_turn(entry, where)
    return turn if times == 1 else Block((turn,), times)


def _read_repeat(times: object, where: str) -> int:
    if times == "forever":
        return FOREVER
    if type(times) is not int or not 1 <= times <= FOREVER:
        raise ScriptError(f"{where}: repeat is a whole number from 1, or forever")
    return times


def _read_turn(entry: Mapping[str, object], where: str) -> Turn:
    if "fail" in entry:
        if entry.keys() - {"fail", "repeat"}:
            raise ScriptError(f"{where}: beside fail only repeat may stand")
        return Turn(fail=_read_failure(entry["fail"], where))
    spoken = entry.keys() & set(_SPEAKING)
    if not spoken or {"call", "calls"} <= spoken or {"answer", "refuse"} <= spoken or {"refuse"} < spoken:
        raise ScriptError(f"{where}: a turn has call, calls, answer, refuse or fail; only an answer may go with calls")
    calls = [entry["call"]] if "call" in entry else entry.get("calls", [])
    if not isinstance(calls, list):
        raise ScriptError(f"{where}: calls is a list of mappings, each with a tool and args")
    text = entry.get("refuse", entry.get("answer", ""))
    if not isinstance(text, str):
        raise ScriptError(f"{where}: an answer is text; put it in quotes")
    uses = tuple(_read_call(call, where) for call in calls)
    finish = Finish.REFUSED if "refuse" in entry else Finish.STOP
    return Turn(text, uses, _read_usage(entry.get("usage", "counted"), where), finish)


def _read_call(call: object, where: str) -> ToolUse:
    if not isinstance(call, dict) or not isinstance(call.get("tool"), str) or call.keys() - {"tool", "args", "id"}:
        raise ScriptError(f"{where}: a call has a tool, args and perhaps an id: {{tool: kb.read, args: {{doc: a}}}}")
    args = call.get("args", {})
    try:
        text = args if isinstance(args, str) else json.dumps(args, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise ScriptError(f"{where}: the args of {call['tool']} are no JSON (a date, perhaps?); use quotes") from None
    return ToolUse(str(call.get("id", "")), call["tool"], text)


def _read_failure(kind: object, where: str) -> FailureKind:
    if kind not in list(FailureKind):
        raise ScriptError(f"{where}: {kind} is no failure; the failures are {', '.join(FailureKind)}")
    return FailureKind(str(kind))


def _read_usage(usage: object, where: str) -> Usage | Reported:
    if isinstance(usage, str) and usage in list(Reported):
        return Reported(usage)
    if isinstance(usage, dict) and usage.keys() == {"in", "out"}:
        tokens_in, tokens_out = usage["in"], usage["out"]
        if type(tokens_in) is int and type(tokens_out) is int and min(tokens_in, tokens_out) >= 0:
            return Usage(tokens_in, tokens_out)
    raise ScriptError(f"{where}: usage is {{in: 120, out: 8}} in whole tokens, or missing")
