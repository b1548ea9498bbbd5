"""A wish becomes a proposal: arguments parsed strictly, measured against the schemas, and priced at their worst."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field, replace

from bridle.gateway.cleaning import clean
from bridle.gateway.context import CallContext
from bridle.gateway.keys import business_key
from bridle.gateway.live import Live, memory_args
from bridle.gateway.schemas import Schema
from bridle.gateway.toolbox import Ruled, Toolbox
from bridle.rules import strict_json
from bridle.rules.call import CallKind, Purpose
from bridle.rules.data import data
from bridle.rules.flow_of_information import UNTRACED, Tracing
from bridle.rules.names import (
    IN_FLIGHT,
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    WRITES,
    Amounts,
    Digest,
    Effect,
    Millis,
    Source,
    ToolName,
    Unit,
    UsdNanos,
    tool_unit,
)
from bridle.rules.prompt import ModelReply, ModelRequest, Usage
from bridle.rules.strict_json import BadJson, Json
from bridle.rules.tool import ReuseScope
from bridle.store.chain import keyed

MAX_ARGUMENTS = 256_000  # bytes
MAX_NAME = 80  # characters; as of a declared tool
Work = Callable[[CallContext], Awaitable[object]]


@data
class ToolWish:
    """Somebody wants a tool called. `arguments` is the text a model wrote, or a mapping from code.

    `work` performs the call where the tool is not bridle's own: a foreign loop's client.
    """

    tool: ToolName
    arguments: str | Mapping[str, object]
    work: Work | None = None
    sends_key: bool = True  # whether `work` is given the key that the far end is to be sent


@data
class ModelWish:
    """Somebody wants a model asked. `ceiling` is the hold in tokens and money, or None when nobody knows the price."""

    request: ModelRequest
    work: Callable[[CallContext, Millis], Awaitable[ModelReply]]
    ceiling: tuple[int, int, UsdNanos] | None
    cost: Callable[[Usage], UsdNanos]
    purpose: Purpose = Purpose.WORK
    timeout: Millis = Millis(120_000)
    is_foreign: bool = False  # somebody else's client performs it


Wish = ToolWish | ModelWish


@data
class Proposal:
    """A wish, measured. What is wrong with it is written down, not raised."""

    wish: Wish
    kind: CallKind
    tool: ToolName
    args: Digest
    ordinal: int
    turn: int
    hold: Amounts
    dependency: str  # under which name the health of its far end is kept
    purpose: Purpose = Purpose.WORK
    ruled: Ruled | None = None
    arguments: dict[str, Json] = field(default_factory=dict)
    kept_args: bytes = b""
    misfit: str = ""
    broken_rule: str = ""
    needs_approval: bool = False
    binding: Digest = Digest("")  # of a call that needs a person: what he is asked about
    question: bytes = b""
    key: str = ""  # of a write that could be performed: under it, it takes effect at most once
    recovers: bool = False  # another attempt of a write whose process died
    traced: Tracing = UNTRACED  # where the values of its arguments came from

    @property
    def is_write(self) -> bool:
        """Whether it changes the world."""
        return self.ruled is not None and self.ruled.tool.effect is Effect.WRITE

    @property
    def source(self) -> Source:
        """Who may have written what it returns: a trusted tool that something untrusted steers is not."""
        trusted = self.ruled is not None and self.ruled.tool.source is Source.TRUSTED and not self.traced.is_steered
        return Source.TRUSTED if trusted else Source.UNTRUSTED

    @property
    def is_reusable(self) -> bool:
        """Whether its observation may stand for an identical call's."""
        return self.ruled is not None and self.ruled.tool.reuse is not ReuseScope.NEVER


def propose(wish: Wish, live: Live, toolbox: Toolbox) -> Proposal:
    """Measure a wish; the same wish gives the same proposal."""
    return _propose_model(wish, live) if isinstance(wish, ModelWish) else _propose_tool(wish, live, toolbox)


def _propose_tool(wish: ToolWish, live: Live, toolbox: Toolbox) -> Proposal:
    ruled = toolbox.under(live.policy, wish.tool)
    tool = wish.tool if ruled is not None else _legible(wish.tool)
    arguments, kept, misfit = _read(wish.arguments)
    broken_rule = ""
    if ruled is None:
        closest = toolbox.closest(tool)
        misfit = misfit or (f"there is no tool {tool!r}; did you mean {closest}?" if closest else "")
    elif ruled.declared.function is None and wish.work is None:
        misfit = f"{wish.tool} was declared without a function; call it with `perform=`"
    elif not misfit:
        misfit = _first_error(ruled.declared.takes, arguments)
        broken_rule = _first_error(ruled.rule, arguments) if ruled.rule is not None else ""
    args = keyed(live.salt, kept)
    ordinal = live.next_ordinal(CallKind.TOOL, tool, args)
    is_write = ruled is not None and ruled.tool.effect is Effect.WRITE and not misfit
    return Proposal(
        wish,
        CallKind.TOOL,
        tool,
        args,
        ordinal,
        live.turn,
        _tool_hold(tool, ruled, is_step=live.loop == "attach" and live.asked == 0),
        ruled.tool.depends_on if ruled is not None else str(tool),
        Purpose.WORK,
        ruled,
        arguments,
        kept,
        misfit,
        broken_rule,
        ruled is not None and not misfit and _needs_approval(live, ruled, arguments),
        key=_key(live, ruled, arguments, args, ordinal) if is_write and ruled is not None else "",
    )


def _key(live: Live, ruled: Ruled, arguments: dict[str, Json], args: Digest, ordinal: int) -> str:
    """What a write is known by: its business key, or else the place of this call in its run."""
    tool = ruled.tool
    if tool.key:
        return business_key(tool.key, arguments)
    return f"{live.run}/{live.state.entered}/{tool.name}/{args}/{ordinal}"


def propose_again(proposal: Proposal, live: Live, arguments: dict[str, Json]) -> Proposal:
    """The same call with other arguments; it is still the same proposal of its step, and a write under its own key."""
    ruled = proposal.ruled
    assert ruled is not None
    kept = strict_json.canonical(arguments)
    args, misfit = keyed(live.salt, kept), _first_error(ruled.declared.takes, arguments)
    return replace(
        proposal,
        args=args,
        arguments=arguments,
        kept_args=kept,
        misfit=misfit,
        broken_rule=_first_error(ruled.rule, arguments) if ruled.rule is not None else "",
        key=_key(live, ruled, arguments, args, proposal.ordinal) if proposal.is_write and not misfit else "",
    )


def _needs_approval(live: Live, ruled: Ruled, arguments: dict[str, Json]) -> bool:
    """What the policy wants a person to see: every write, or what its rule for this tool describes."""
    if ruled.tool.effect is Effect.WRITE and live.node.require_approval:
        return True
    return ruled.asks is not None and not ruled.asks.errors(arguments)


def _legible(name: str) -> ToolName:
    """A name that nobody declared, as the journal and a model may be shown it: a model may have written anything."""
    return ToolName("".join(sign if sign.isprintable() else "?" for sign in name[:MAX_NAME]))


def _read(given: str | Mapping[str, object]) -> tuple[dict[str, Json], bytes, str]:
    """The arguments as a strict object, their canonical bytes, and what is wrong with them."""
    try:
        if isinstance(given, str):
            value = strict_json.parse(given or "{}", max_bytes=MAX_ARGUMENTS)
        else:
            value = clean(given, max_bytes=MAX_ARGUMENTS)
    except BadJson as error:
        raw = given.encode("utf-8", "backslashreplace")[:MAX_ARGUMENTS] if isinstance(given, str) else b""
        return {}, raw, str(error)
    if not isinstance(value, dict):
        return {}, strict_json.canonical(value), "the arguments must be one JSON object"
    return value, strict_json.canonical(value), ""


def _first_error(schema: Schema, arguments: dict[str, Json]) -> str:
    return next(iter(schema.errors(arguments)), "")


def _tool_hold(tool: ToolName, ruled: Ruled | None, *, is_step: bool) -> Amounts:
    hold: dict[Unit, int] = {STEPS: 1} if is_step else {}
    hold |= {TOOL_CALLS: 1, tool_unit(tool): 1, IN_FLIGHT: 1}
    if ruled is not None:
        if ruled.tool.cost:
            hold[USD_NANO] = ruled.tool.cost
        if ruled.tool.effect is Effect.WRITE:
            hold[WRITES] = 1
    return hold


def _propose_model(wish: ModelWish, live: Live) -> Proposal:
    request = wish.request
    hold: dict[Unit, int] = {STEPS: 1, MODEL_CALLS: 1}
    if wish.ceiling is not None:
        hold[TOKENS_IN], hold[TOKENS_OUT], money = wish.ceiling
        if money:
            hold[USD_NANO] = money
    tool = ToolName(request.model)
    args = keyed(live.salt, request.digest.encode())
    ordinal = live.next_ordinal(CallKind.MODEL, tool, memory_args(CallKind.MODEL, args))
    return Proposal(wish, CallKind.MODEL, tool, args, ordinal, live.turn, hold, request.model, wish.purpose)
