"""The closed set of reasons for which a run ends, in one table: who acts, whether a retry helps, what people read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType

from bridle.rules.data import data
from bridle.rules.names import show_time

Detail = Mapping[str, str | int]


class StopReason(StrEnum):
    """Why a run ended; the same word stands in the exception, the API, the journal, the metrics and the UI."""

    OK = "ok"
    OK_DEGRADED = "ok_degraded"
    MAX_STEPS = "max_steps"
    MAX_SECONDS = "max_seconds"
    MAX_MODEL_CALLS = "max_model_calls"
    MAX_TOOL_CALLS = "max_tool_calls"
    MAX_TOKENS = "max_tokens"
    MAX_USD = "max_usd"
    TOOL_QUOTA = "tool_quota"
    ACCOUNT_BUDGET = "account_budget"
    PRICE_UNKNOWN = "price_unknown"
    NO_PROGRESS = "no_progress"
    CONTEXT_OVERFLOW = "context_overflow"
    MODEL_REFUSED = "model_refused"
    ANSWER_INVALID = "answer_invalid"
    INPUT_REJECTED = "input_rejected"
    TOOL_DENIED = "tool_denied"
    POLICY_DENIED = "policy_denied"
    APPROVAL_DENIED = "approval_denied"
    APPROVAL_EXPIRED = "approval_expired"
    TOOL_UNAVAILABLE = "tool_unavailable"
    TOOL_OUTPUT_INVALID = "tool_output_invalid"
    MODEL_UNAVAILABLE = "model_unavailable"
    RATE_LIMITED = "rate_limited"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    KILLED = "killed"
    WORKER_LOST = "worker_lost"
    RUN_EXPIRED = "run_expired"
    CREDENTIALS_INVALID = "credentials_invalid"
    TENANT_SUSPENDED = "tenant_suspended"
    CONFIG_INVALID = "config_invalid"
    CONTROL_UNAVAILABLE = "control_unavailable"
    INTERNAL_ERROR = "internal_error"
    WRITE_IN_DOUBT = "write_in_doubt"


class Status(StrEnum):
    """What a caller branches on. `waiting` is no end."""

    OK = "ok"
    STOPPED = "stopped"
    FAILED = "failed"
    CANCELLED = "cancelled"
    WAITING = "waiting"


class Retry(StrEnum):
    """Whether the same request may be sent again."""

    NEVER = "never"  # not with the same input
    LATER = "later"  # the same request may do later
    CHANGE = "change"  # after somebody changed a limit, a policy or the input
    HUMAN = "human"  # a person decides first
    ANY = "any"  # as you like
    FOLLOW = "follow"  # another run took over: follow it
    NONE = "none"  # there is nothing to retry


class Precedence(IntEnum):
    """Which halt wins when several fire: the smaller number."""

    KILLED = 0
    CONTROL_UNAVAILABLE = 1
    WRITE_IN_DOUBT = 2
    ACCOUNT_BUDGET = 3
    RUN_LIMIT = 4
    NO_PROGRESS = 5
    REST = 6


@dataclass(frozen=True, slots=True)
class StopRow:
    """What is known of a reason before it happens."""

    status: Status
    retry: Retry
    http: int  # only where a run's end is an HTTP answer; never 408, 409, 429 or 5xx, which SDKs re-send by themselves
    who: str  # who has to act; empty when nobody has to
    precedence: Precedence
    text: str  # English; other languages go by the message key `stop.<reason>`
    advice: str  # what to do now


def _row(
    status: Status, retry: Retry, http: int, who: str, text: str, advice: str, precedence: Precedence = Precedence.REST
) -> StopRow:
    return StopRow(status, retry, http, who, precedence, text, advice)


_LIMIT_ADVICE = "Use the partial result, or raise the limit in the policy if the work was worth it."


def _limit(text: str) -> StopRow:
    return _row(Status.STOPPED, Retry.CHANGE, 402, "agent owner", text, _LIMIT_ADVICE, Precedence.RUN_LIMIT)


STOPS: Mapping[StopReason, StopRow] = MappingProxyType({
    StopReason.OK: _row(Status.OK, Retry.NONE, 200, "", "The run answered.", "Nothing to do."),
    StopReason.OK_DEGRADED: _row(
        Status.OK, Retry.LATER, 200, "user",
        "The run answered without {missing}.", "Ask again later if what is missing matters.",
    ),
    StopReason.MAX_STEPS: _limit("The run used all its steps ({used} of {limit})."),
    StopReason.MAX_SECONDS: _limit("The run used all its time ({used} of {limit} s)."),
    StopReason.MAX_MODEL_CALLS: _limit("The run used all its model calls ({used} of {limit})."),
    StopReason.MAX_TOOL_CALLS: _limit("The run used all its tool calls ({used} of {limit})."),
    StopReason.MAX_TOKENS: _limit("The next request did not fit into the run's tokens ({used} of {limit})."),
    StopReason.MAX_USD: _limit("The next call did not fit into the run's money ({used} of {limit})."),
    StopReason.TOOL_QUOTA: _row(
        Status.STOPPED, Retry.CHANGE, 402, "agent owner",
        "The run used all its calls of {tool} ({used} of {limit}).", _LIMIT_ADVICE, Precedence.RUN_LIMIT,
    ),
    StopReason.ACCOUNT_BUDGET: _row(
        Status.STOPPED, Retry.LATER, 402, "tenant admin",
        "The budget of {level} is used up until {until}.", "Wait for the next window, or raise the budget.",
        Precedence.ACCOUNT_BUDGET,
    ),
    StopReason.PRICE_UNKNOWN: _row(
        Status.STOPPED, Retry.CHANGE, 422, "operator",
        "The price of {model} is not known, so its cost cannot be bounded.",
        "Put its prices under `models:` in the policy file.",
    ),
    StopReason.NO_PROGRESS: _row(
        Status.STOPPED, Retry.NEVER, 422, "agent owner",
        "The run repeated itself without learning anything new ({tool}).",
        "Look at the repeated calls; change the goal, the tools or the prompt.", Precedence.NO_PROGRESS,
    ),
    StopReason.CONTEXT_OVERFLOW: _row(
        Status.STOPPED, Retry.CHANGE, 422, "agent owner",
        "The policy and the task do not fit into what the model can read.", "Shorten the task, or take a larger model.",
    ),
    StopReason.MODEL_REFUSED: _row(
        Status.STOPPED, Retry.NEVER, 422, "user", "The model would not answer this.", "Ask something else.",
    ),
    StopReason.ANSWER_INVALID: _row(
        Status.STOPPED, Retry.CHANGE, 422, "agent owner",
        "The answer does not have the declared form: {error}.", "Look at the answer and at the flow's output type.",
    ),
    StopReason.INPUT_REJECTED: _row(
        Status.STOPPED, Retry.CHANGE, 422, "user", "The input was not accepted: {error}.", "Correct the input.",
    ),
    StopReason.TOOL_DENIED: _row(
        Status.STOPPED, Retry.NEVER, 403, "agent owner",
        "The tool {tool} is not allowed here.", "Allow it under `tools: allow:`, or leave the agent without it.",
    ),
    StopReason.POLICY_DENIED: _row(
        Status.STOPPED, Retry.NEVER, 403, "agent owner",
        "The policy refused a call of {tool} ({rule}).", "Read the rule; change the policy only if the call was right.",
    ),
    StopReason.APPROVAL_DENIED: _row(
        Status.STOPPED, Retry.HUMAN, 403, "requester", "A person said no to {tool}.", "Talk to the approver.",
    ),
    StopReason.APPROVAL_EXPIRED: _row(
        Status.STOPPED, Retry.LATER, 403, "approvers",
        "Nobody decided about {tool} in time. Nothing was written.", "Ask again when an approver is there.",
    ),
    StopReason.TOOL_UNAVAILABLE: _row(
        Status.FAILED, Retry.LATER, 424, "tool owner", "The tool {tool} is not available.", "Try again later.",
    ),
    StopReason.TOOL_OUTPUT_INVALID: _row(
        Status.STOPPED, Retry.CHANGE, 424, "tool owner",
        "The tool {tool} returned something that is not usable: {error}.", "Correct the tool or its output schema.",
    ),
    StopReason.MODEL_UNAVAILABLE: _row(
        Status.FAILED, Retry.LATER, 424, "operator", "The model {model} is not available.", "Try again later.",
    ),
    StopReason.RATE_LIMITED: _row(
        Status.STOPPED, Retry.LATER, 424, "operator",
        "The far end of {tool} asked to slow down for longer than the run had time.", "Try again later.",
    ),
    StopReason.CANCELLED: _row(Status.CANCELLED, Retry.ANY, 200, "user", "The run was cancelled.", "Nothing to do."),
    StopReason.SUPERSEDED: _row(
        Status.CANCELLED, Retry.FOLLOW, 200, "", "Another run took over ({by}).", "Follow that run.",
    ),
    StopReason.KILLED: _row(
        Status.STOPPED, Retry.HUMAN, 423, "whoever set the switch",
        "The kill switch is on ({level}, {scope}).", "Ask {by}, who set it; nothing of it starts until it is off.",
        Precedence.KILLED,
    ),
    StopReason.WORKER_LOST: _row(
        Status.FAILED, Retry.LATER, 424, "operator",
        "The process that ran this died, and its loop was not bridle's to resume.", "Send the request again.",
    ),
    StopReason.RUN_EXPIRED: _row(
        Status.STOPPED, Retry.LATER, 422, "requester", "The run waited for too long.", "Send the request again.",
    ),
    StopReason.CREDENTIALS_INVALID: _row(
        Status.FAILED, Retry.CHANGE, 403, "tenant admin",
        "The credentials for {tool} were not accepted: {error}.", "Renew them, then send the request again.",
    ),
    StopReason.TENANT_SUSPENDED: _row(
        Status.STOPPED, Retry.HUMAN, 403, "admin", "The tenant is suspended.", "Talk to the operator.",
    ),
    StopReason.CONFIG_INVALID: _row(
        Status.FAILED, Retry.CHANGE, 422, "agent owner", "The set-up is not valid: {error}.", "Correct it.",
    ),
    StopReason.CONTROL_UNAVAILABLE: _row(
        Status.FAILED, Retry.LATER, 424, "operator",
        "The journal could not be written, so nothing new was allowed to start ({error}).",
        "Look at the disk and the database; `bridle doctor` names what is wrong.", Precedence.CONTROL_UNAVAILABLE,
    ),
    StopReason.INTERNAL_ERROR: _row(
        Status.FAILED, Retry.LATER, 424, "us",
        "The code of the run failed ({error}).", "Look for incident {incident_id} in the log.",
    ),
    StopReason.WRITE_IN_DOUBT: _row(
        Status.STOPPED, Retry.HUMAN, 424, "operator",
        "Nobody knows whether {tool} took effect.", "Look at the far end before anything is sent again.",
        Precedence.WRITE_IN_DOUBT,
    ),
})  # fmt: skip


_BY_RULE: Mapping[tuple[StopReason, str], tuple[str, str]] = MappingProxyType({
    (StopReason.TOOL_DENIED, "unknown"): (
        "No tool {tool} is declared here.", "Declare it with `@b.tool`, or correct its name.",
    ),
    (StopReason.POLICY_DENIED, "arguments"): (
        "The arguments of {tool} do not have its form: {error}.", "Correct the call.",
    ),
    (StopReason.POLICY_DENIED, "key_in_flight"): (
        "The same write of {tool} is on its way ({of}).", "Wait until it has ended; its receipt then answers this one.",
    ),
    (StopReason.POLICY_DENIED, "key_of_other_arguments"): (
        "{tool} was called under the same key with other arguments ({of}).",
        "A key stands for one write: correct the arguments, or give the other write a key of its own.",
    ),
    (StopReason.POLICY_DENIED, "key_was_used"): (
        "{tool} was called under the same key before ({of}), and what it was called with was erased.",
        "It took effect, and is not made again; what came of it, the far end knows.",
    ),
    (StopReason.WRITE_IN_DOUBT, "key_in_doubt"): (
        "Nobody knows whether the same write of {tool} took effect before ({of}).",
        "Look at the far end, then say so: `bridle resolve {of} happened`, or `did-not`, with `--because`.",
    ),
    (StopReason.POLICY_DENIED, "generations"): (
        "A child of a child of a child has no children.", "Begin it further up.",
    ),
    **{
        (StopReason(name), "child"): (
            f"A child asks for {{wanted}} of {name}, and {{used}} of {{limit}} are used or held.",
            "Give it less in `budgets`, or raise the limit of the run.",
        )
        for name in ("max_steps", "max_seconds", "max_model_calls", "max_tool_calls", "max_tokens", "max_usd")
    },
})  # fmt: skip


class _Blanks(dict[str, str]):
    """Detail that a template asks for and nobody gave."""

    def __missing__(self, key: str) -> str:
        return "?"


@data
class StopNote:
    """One stop: the reason with its detail (limit, used, tool, rule, level, until, ...)."""

    reason: StopReason
    detail: Detail = field(default_factory=dict)

    @property
    def row(self) -> StopRow:
        """The row of the table."""
        return STOPS[self.reason]

    @property
    def status(self) -> Status:
        """What a caller branches on."""
        return self.row.status

    @property
    def retry(self) -> Retry:
        """Whether the same request may be sent again."""
        return self.row.retry

    @property
    def who(self) -> str:
        """Who has to act; empty when nobody has to."""
        return self.row.who

    @property
    def message_key(self) -> str:
        """The key of the sentence in a catalog of texts."""
        return f"stop.{self.reason}"

    def text(self, lang: str = "en") -> str:
        """One sentence for the user. Only English exists; any other `lang` falls back to it."""
        del lang
        return self._filled(self._words[0])

    @property
    def advice(self) -> str:
        """What to do now, in one sentence."""
        return self._filled(self._words[1])

    @property
    def _words(self) -> tuple[str, str]:
        """The sentences of the row, or closer ones where the rule that fired is known."""
        own = (self.row.text, self.row.advice)
        return _BY_RULE.get((self.reason, str(self.detail.get("rule", ""))), own)

    def _filled(self, template: str) -> str:
        return template.format_map(_Blanks({key: _shown(key, value) for key, value in self.detail.items()}))


def _shown(key: str, value: str | int) -> str:
    return show_time(value) if key == "until" and isinstance(value, int) and value else str(value)


def strongest(stops: "list[StopNote] | tuple[StopNote, ...]") -> StopNote:
    """The stop that wins: by precedence, then the one that was raised first. Raises ValueError when there is none."""
    return min(stops, key=lambda stop: stop.row.precedence)
