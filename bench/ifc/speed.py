"""How long one check takes: where the values of a call come from, and what the rule makes of it; nothing else."""

import gc
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles

from bench.ifc.labels import Labelled
from bench.ifc.world import Ledger, Suite
from bridle.gateway.labels import tool_of
from bridle.gateway.tracing import looked_up
from bridle.rules.flow_of_information import FlowRule, Tracing, way_of
from bridle.rules.names import CallId, ToolName
from bridle.rules.provenance import Provenance, Result
from bridle.rules.sinks import Place, Sink
from bridle.rules.strict_json import Json
from bridle.rules.text_index import normal
from bridle.rules.tool import Tool

LARGE = 1_000_000  # characters
ROUNDS, WORDS = 5, 20_000
RULE = FlowRule()
SEED = 1927
PRESENT, ABSENT = "present", "absent"
Row = tuple[str, str, str, str]


@dataclass
class Speed:
    """Microseconds of processor time, by what was checked."""

    suites: list[float]
    large: dict[str, list[float]]  # with 1 MB in the run, by the kind of value
    index_us: float

    @property
    def large_p99(self) -> float:
        """Of all checks with 1 MB in the run."""
        return _percentile([one for of in self.large.values() for one in of], 99)

    @property
    def rows(self) -> list[Row]:
        """As a table: p50, p99, how many."""
        kinds = {
            "the calls of the suites": self.suites,
            **{f"1 MB in the run, {kind}": of for kind, of in self.large.items()},
            "1 MB in the run, all of these": [one for of in self.large.values() for one in of],
            "beside the check: to index the 1 MB, once": [self.index_us],
        }
        return [(name, *_percentiles(of), str(len(of))) for name, of in kinds.items()]


def measure(suites: Mapping[Suite, Labelled]) -> Speed:
    """Take all of it, with the collector off."""
    gc.collect()
    gc.disable()
    try:
        read = texts_of(LARGE)
        known, index_us = large(read)
        kinds = values(read)
        return Speed(
            [one for suite, labelled in suites.items() for one in of_suite(suite, labelled)],
            {kind: [each for one in of for each in _timed(known, SENDS, {"to": one})] for kind, of in kinds.items()},
            index_us,
        )
    finally:
        gc.enable()


def check(known: Provenance, tool: Tool, arguments: Mapping[str, Json]) -> object:
    """What the gateway asks about one call: where its values come from, a strange one too, and what the rule says."""
    unproven = looked_up(known, tool.sinks or (), arguments)
    return way_of(RULE, tool, Tracing(is_tainted=True, has_read_private=True, unproven=unproven))


SENDS = Tool(ToolName("send"), sinks=(Sink("to", (Place.USER, Place.TRUSTED)),))


def of_suite(suite: Suite, labelled: Labelled) -> Iterator[float]:
    """Every write and egress of every task and attack, after all that the task reads."""
    tools = {name: tool_of(name, label) for name, label in labelled.tools.items()}  # type: ignore[arg-type]  # a mapping of labels
    kept = labelled.directories.items()
    listed = {name: frozenset(map(normal, _texts(one["values"]))) for name, one in kept if "values" in one}
    behind = {name: ToolName(str(one["tool"])) for name, one in kept if "tool" in one}
    for task in suite.tasks:
        for attack in ("", *suite.attacks):
            trial, place = suite.open(task, attack)
            ledger, known = Ledger(place), Provenance(directories=listed, directory_tools=behind)
            known.said(trial.prompt)
            for step in trial.truth:
                if labelled.tools[step.tool]["effect"] != "write":
                    ledger.perform(step)
            for number, line in enumerate(ledger.lines):
                untrusted = labelled.tools[line.step.tool]["source"] == "untrusted"
                call = CallId(f"c{number}")
                known.returned(Result(call, ToolName(line.step.tool), line.given.value, line.step.args, untrusted))
            for step in (*trial.truth, *trial.attacker):
                if labelled.tools[step.tool]["effect"] != "read":
                    yield from _timed(known, tools[step.tool], step.args)


def texts_of(size: int) -> tuple[str, list[Json]]:
    """That many characters, half prose and half JSON."""
    chance = random.Random(SEED)
    return _prose(chance, size // 2), _rows(chance, size // 2)


def large(read: tuple[str, list[Json]]) -> tuple[Provenance, float]:
    """A run that has read this as trusted text, and how long it took to index it."""
    known = Provenance()
    known.said("Please look into this.")
    known.returned(Result(CallId("c1"), ToolName("kb.read"), read[0], {}, is_untrusted=False))
    known.returned(Result(CallId("c2"), ToolName("crm.read"), read[1], {}, is_untrusted=False))
    start = time.thread_time_ns()
    check(known, SENDS, {"to": "nobody@nowhere.example"})
    check(known, SENDS, {"to": "2026-01-01"})
    return known, (time.thread_time_ns() - start) / 1_000


def values(read: tuple[str, list[Json]], rounds: int = 100) -> dict[str, list[str]]:
    """Values that stand in the text, and values that do not: addresses, ids and numbers, and several words."""
    chance = random.Random(SEED + 1)
    prose, rows = read
    words = prose.split(" ")
    one, some = "an address, an id or a number", "two to five words"
    found: dict[str, list[str]] = {f"{kind}, {how}": [] for kind in (one, some) for how in (PRESENT, ABSENT)}
    for _ in range(rounds):
        row = chance.choice(rows)
        assert isinstance(row, dict)
        found[f"{one}, {PRESENT}"] += [str(row["email"]), str(row["id"]), str(row["amount"])]
        found[f"{one}, {ABSENT}"] += [f"x{row['email']}", f"{row['id']}9", f"{chance.randrange(10**7)}.07"]
        at, length = chance.randrange(len(words) - 5), chance.randrange(2, 6)
        found[f"{some}, {PRESENT}"].append(" ".join(words[at : at + length]).strip(".,"))
        mixed = " ".join(chance.sample(words, length)).strip(".,")
        found[f"{some}, {ABSENT}"] += [mixed] if mixed not in prose else []
    return found


def _timed(known: Provenance, tool: Tool, arguments: Mapping[str, Json]) -> Iterator[float]:
    check(known, tool, arguments)  # what was read since is indexed now
    for _ in range(ROUNDS):
        start = time.thread_time_ns()
        check(known, tool, arguments)
        yield (time.thread_time_ns() - start) / 1_000


def _prose(chance: random.Random, size: int) -> str:
    """Words as often as words are in a language: the n-th most common one 1/n as often as the first (Zipf 1935)."""
    vocabulary = ["".join(chance.choices("etaoinshrdlucmfwypvbgk", k=chance.randrange(2, 10))) for _ in range(WORDS)]
    shares = [1 / rank for rank in range(1, WORDS + 1)]
    words = chance.choices(vocabulary, shares, k=size // 5)
    return " ".join(word + ("." if number % 12 == 11 else "") for number, word in enumerate(words))[:size]


def _rows(chance: random.Random, size: int) -> list[Json]:
    rows: list[Json] = []
    while size > 0:  # every row makes it smaller
        name = "".join(chance.choices("abcdefghiklmnoprstu", k=8))
        note = f"Called on 2026-0{chance.randrange(1, 10)}-1{chance.randrange(10)} for {chance.randrange(10**5)}."
        row: dict[str, Json] = {"id": f"K-{chance.randrange(10**6)}", "email": f"{name}@example.com", "note": note}
        rows.append({**row, "amount": chance.randrange(10**4)})
        size -= len(note) + 60
    return rows


def _texts(value: Json) -> list[str]:
    assert isinstance(value, list)
    return [str(one) for one in value]


def _percentiles(of: Sequence[float]) -> tuple[str, str]:
    return f"{_percentile(of, 50):,.1f}", f"{_percentile(of, 99):,.1f}"


def _percentile(of: Sequence[float], at: int) -> float:
    return quantiles(of, n=100, method="inclusive")[at - 1] if len(of) > 1 else sum(of)
