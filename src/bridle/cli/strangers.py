"""Names of a scope that a store has never heard of: most likely they were mistyped."""

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from sqlite3 import Connection

from bridle.rules.events import CallAdmitted, CallRefused
from bridle.rules.policy import Policy
from bridle.rules.run import RunState
from bridle.rules.switch import Scope
from bridle.store import codec
from bridle.store.opening import connect
from bridle.store.statements import SQL

RUNS, EVENTS, POLICIES = 1_000, 100_000, 1_000  # that are looked at, the newest runs first
_OF_CALLS = tuple(f'["{kind.__name__}",'.encode() for kind in (CallAdmitted, CallRefused))


@dataclass(frozen=True, slots=True)
class Stranger:
    """A name that nothing in the store has; `hint` asks for a near one that something has, or is empty."""

    kind: str  # tenant, flow, or tool, which is also a model
    name: str
    hint: str

    def __str__(self) -> str:
        what = "tool or model" if self.kind == "tool" else self.kind
        said = f"no recent run and no policy of this store names the {what} {self.name}"
        return f"{said}; {self.hint}" if self.hint else said


def strangers(path: Path, scope: Scope) -> list[Stranger]:
    """The names of a scope that no recent run and no policy of the store has. Raises as `connect` does."""
    if scope.width == 0:
        return []
    with closing(connect(path, True)) as db:
        states, policies = list(_states(db)), list(_policies(db))
        tenants: set[str] = {state.tenant for state in states} | {
            name for policy in policies for name in policy.tenants
        }
        flows = {state.name for state in states} | {name for policy in policies for name in policy.flows}
        tools: set[str] = {name for policy in policies for name in _named(policy)}
        if scope.tool and scope.tool not in tools:
            tools |= _called(db, states)
    given = (("tenant", scope.tenant, tenants), ("flow", scope.flow, flows), ("tool", scope.tool, tools))
    return [_stranger(kind, name, known) for kind, name, known in given if name and name not in known]


def _stranger(kind: str, name: str, known: set[str]) -> Stranger:
    from bridle.config.mistake import did_you_mean  # 200 ms, and only for a name that nobody has

    return Stranger(kind, name, did_you_mean(name, sorted(known)))


def _states(db: Connection) -> Iterator[RunState]:
    for body, _, _ in db.execute(SQL["select_runs"], (RUNS,)):
        with suppress(codec.BadRow):  # the doctor names it; here it knows no name
            yield codec.decode_state(body)


def _policies(db: Connection) -> Iterator[Policy]:
    for _, canonical in islice(db.execute(SQL["select_policies"]), POLICIES):
        with suppress(ValueError, KeyError, TypeError):
            yield Policy.parse(canonical)


def _named(policy: Policy) -> Iterator[str]:
    """Every tool and model that a policy speaks of."""
    yield from (*policy.allow, *policy.deny, *policy.tools, *policy.models)
    for narrowing in (*policy.tenants.values(), *policy.flows.values(), *policy.nodes.values()):
        yield from (*(narrowing.allow or ()), *narrowing.deny, *narrowing.tools)


def _called(db: Connection, states: list[RunState]) -> set[str]:
    """Every tool and model that these runs called or were refused."""
    rows = (row for state in states for row in db.execute(SQL["select_run"], (state.run,)))
    bodies = (body for row in rows for _, body, _ in db.execute(SQL["select_events"], (row[0], 0)))
    found = set[str]()
    for body in islice(bodies, EVENTS):
        if body.startswith(_OF_CALLS):
            with suppress(codec.BadRow):
                event = codec.decode(body)
                found |= {event.tool} if isinstance(event, CallAdmitted | CallRefused) else set()
    return found
