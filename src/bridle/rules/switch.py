"""The kill switch: what is switched off, for whom, and which calls that takes away."""

from collections.abc import Iterable
from dataclasses import dataclass

from bridle.rules.names import Effect, Millis, TenantId, ToolName
from bridle.rules.policy import KillLevel
from bridle.rules.stop import Detail, StopNote, StopReason
from bridle.rules.tool import Tool


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """For whom; a part that is empty names all of them. `flow` is a flow, or the agent of an attached loop."""

    tenant: str = ""
    flow: str = ""
    tool: str = ""

    def covers_run(self, tenant: str, flow: str) -> bool:
        """Whether a run is in it, whatever it calls."""
        return self.tenant in ("", tenant) and self.flow in ("", flow)

    @property
    def is_whole_runs(self) -> bool:
        """Whether it names runs, and not only the calls of one tool in them."""
        return not self.tool

    @property
    def width(self) -> int:
        """How wide it is: house, tenant, flow, tool; 0 is the widest."""
        return 3 if self.tool else 2 if self.flow else 1 if self.tenant else 0

    def __str__(self) -> str:
        parts = (("tenant", self.tenant), ("flow", self.flow), ("tool", self.tool))
        return ", ".join(f"{word} {name}" for word, name in parts if name) or "house"


HOUSE = Scope()


@dataclass(frozen=True, slots=True)
class Switch:
    """One thing that somebody took away. `generation` numbers the changes of all switches; 0 is the KILL file's."""

    level: KillLevel
    scope: Scope = HOUSE
    by: str = ""
    because: str = ""
    generation: int = 0
    at: Millis = Millis(0)

    @property
    def halts(self) -> bool:
        """Whether whole runs end by it."""
        return self.level is KillLevel.ALL and self.scope.is_whole_runs

    @property
    def detail(self) -> Detail:
        """What is said of it where it refused something."""
        return {"level": self.level.value, "scope": str(self.scope), "by": self.by}

    @property
    def note(self) -> StopNote:
        """The stop of a run that ends by it."""
        return StopNote(StopReason.KILLED, self.detail)


def takes_away(level: KillLevel, tool: Tool | None) -> bool:
    """Whether a level takes away the calls of a tool; None is a model, or a tool that nobody declared.

    `expensive` and `egress` each take writes with them and do not know each other. A model is asked at an address that
    the house chose, so no level but `all` takes it away.
    """
    match level:
        case KillLevel.ALL:
            return True
        case KillLevel.WRITES:
            return tool is not None and tool.effect is Effect.WRITE
        case KillLevel.EXPENSIVE:
            return tool is not None and (tool.effect is Effect.WRITE or tool.expensive)
        case KillLevel.EGRESS:
            return tool is not None and tool.effect is not Effect.READ


def against_call(
    switches: Iterable[Switch], tenant: TenantId, flow: str, name: ToolName, tool: Tool | None
) -> Switch | None:
    """What takes this call away: a switch that halts the run before any other, then the widest. None: it may go."""
    found = [
        switch
        for switch in switches
        if switch.scope.covers_run(tenant, flow)
        and switch.scope.tool in ("", name)
        and takes_away(switch.level, tool)
    ]  # fmt: skip
    return min(found, key=lambda switch: (not switch.halts, switch.scope.width, switch.generation), default=None)


def stood_still(turns: Iterable[tuple[str, Switch]], since: Millis, until: Millis) -> tuple[int, bool]:
    """For how many milliseconds some of these switches was on, and whether one still is; the oldest turn first.

    A turn is `kill`, `unkill`, or what was seen of a KILL file: `file on`, `file off`.
    """
    on: set[tuple[KillLevel, Scope, str]] = set()
    at, total = since, 0
    for act, switch in turns:
        then = min(max(switch.at, at), until)  # a clock may be behind another one
        total += then - at if on else 0
        at = Millis(then)
        whose = switch.by if act.startswith("file") else ""
        if act in ("kill", "file on"):
            on.add((switch.level, switch.scope, whose))
        else:
            on.discard((switch.level, switch.scope, whose))
    return total + (until - at if on else 0), bool(on)


def against_run(switches: Iterable[Switch], tenant: str, flow: str) -> Switch | None:
    """What ends this run, and lets none like it start. None: it may go on."""
    found = [switch for switch in switches if switch.halts and switch.scope.covers_run(tenant, flow)]
    return min(found, key=lambda switch: (switch.scope.width, switch.generation), default=None)
