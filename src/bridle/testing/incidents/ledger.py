"""The oracle ledger: what the fake world saw and billed, written by the world itself and never by bridle."""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from bridle.rules.names import MODEL_CALLS, TOOL_CALLS, USD_NANO, Millis, UsdNanos
from bridle.runs.result import RunResult

PRESS: ContextVar[int] = ContextVar("press", default=0)  # which press of the button a call came from; tasks inherit it
MODEL = "model"


@dataclass(frozen=True, slots=True)
class Bill:
    """One line: at what time the world was asked for what, by the work of which press, and what it charges."""

    at: Millis
    what: str
    usd_nano: UsdNanos
    press: int


@dataclass(slots=True)
class Ledger:
    """Every call that reached the world, in order; nothing is ever taken out."""

    bills: list[Bill] = field(default_factory=list)

    def bill(self, at: Millis, what: str, usd_nano: int) -> None:
        """Write a line."""
        self.bills.append(Bill(at, what, UsdNanos(usd_nano), PRESS.get()))

    @property
    def tool_calls(self) -> list[Bill]:
        """The lines of tools."""
        return [bill for bill in self.bills if bill.what != MODEL]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an incident came to. `seconds` is from the first press to the last end, in virtual time.

    `stops` counts how the runs ended, in the words that their users were told. `tokens` are those of the largest
    request to the model.
    """

    presses: int
    tool_calls: int
    model_calls: int
    usd_nano: UsdNanos
    seconds: int
    stops: Mapping[str, int]
    most_tool_calls_of_a_run: int
    tokens: int
    bills: tuple[Bill, ...] = field(repr=False, default=())


@dataclass(frozen=True, slots=True)
class Told:
    """The same by bridle's own figures, added up over its runs, for comparing it with the world's."""

    runs: int
    tool_calls: int
    model_calls: int
    usd_nano: UsdNanos
    stops: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Bounded:
    """An incident under bridle: what the world saw, what bridle says, and what each press was answered."""

    outcome: Outcome
    told: Told
    results: tuple[RunResult, ...]


def outcome_of(ledger: Ledger, presses: int, seconds: int, ends: Iterable[str], tokens: int) -> Outcome:
    """The ledger, added up."""
    calls = ledger.tool_calls
    return Outcome(
        presses=presses,
        tool_calls=len(calls),
        model_calls=len(ledger.bills) - len(calls),
        usd_nano=UsdNanos(sum(bill.usd_nano for bill in ledger.bills)),
        seconds=seconds,
        stops=Counter(ends),
        most_tool_calls_of_a_run=max(Counter(bill.press for bill in calls).values(), default=0),
        tokens=tokens,
        bills=tuple(ledger.bills),
    )


def told_of(results: Iterable[RunResult]) -> Told:
    """What bridle says of its runs; presses that joined a run count it once."""
    runs = {result.run_id: result for result in results}.values()
    return Told(
        runs=len(runs),
        tool_calls=sum(run.spent.get(TOOL_CALLS, 0) for run in runs),
        model_calls=sum(run.spent.get(MODEL_CALLS, 0) for run in runs),
        usd_nano=UsdNanos(sum(run.spent.get(USD_NANO, 0) for run in runs)),
        stops=Counter(run.stop.reason.value for run in runs if run.stop is not None),
    )
