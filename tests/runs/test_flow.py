"""Flows: what is checked before anything runs, and what is drawn of them."""

import threading
from dataclasses import dataclass, field

import pytest

from bridle.bridle import Bridle
from bridle.rules.failure import BridleError
from bridle.runs.flow import BadFlow, Flow
from bridle.runs.run import Run


def flow(edges: dict[str, list[str]], visits: dict[str, int] | None = None) -> Flow:
    """A flow of plain steps with these edges."""
    made = Flow("answers")
    for name, to in edges.items():

        async def step(run: Run, state: object) -> object:
            return None

        step.__name__ = name
        made.step(to=to, visits=(visits or {}).get(name, 0))(step)
    return made


@pytest.mark.parametrize(
    ("edges", "visits", "sentence"),
    [
        ({"plan": ["serach"], "search": []}, {}, "plan leads to 'serach', which is no step; did you mean search?"),
        ({"plan": ["zzz"]}, {}, "plan leads to 'zzz', which is no step"),
        ({"plan": [], "lost": []}, {}, "no edge leads to lost"),
        ({"a": ["a", "b"], "b": []}, {}, "a can come back to itself for ever; give a step of the cycle `visits=`"),
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, {}, "b can come back to itself for ever"),
        ({}, {}, "it has no step"),
    ],
)
def test_a_flow_that_cannot_be_right_is_refused_before_it_runs(
    edges: dict[str, list[str]], visits: dict[str, int], sentence: str
) -> None:
    with pytest.raises(BadFlow) as raised:
        flow(edges, visits).check()
    assert f"answers: {sentence}" in str(raised.value)


@dataclass
class Locked:
    """A state that nobody can write down."""

    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Unknown:
    """A state with a type that does not exist."""

    what: "Nowhere"  # type: ignore[name-defined]  # noqa: F821 - that is the mistake


@pytest.mark.parametrize("kind", [Locked, Unknown])
async def test_a_state_that_cannot_be_written_down_is_named_with_its_flow_s_type(kind: type) -> None:
    made = Flow("answers", state=kind)
    made.steps |= flow({"plan": []}).steps
    made.start = "plan"
    async with Bridle({}, ":memory:") as b:
        with pytest.raises(BadFlow, match=f"the state {kind.__name__} has a field that cannot be journaled: "):
            await b.run(made, {})


@pytest.mark.parametrize("given", [{"tenant": 3}, {"by": None}, {"key": 7}])
async def test_who_asks_and_under_which_key_is_text(given: dict[str, object]) -> None:
    async with Bridle({}, ":memory:") as b:
        with pytest.raises(BridleError, match=f"{next(iter(given))} is .*, and has to be a text"):
            await b.run(flow({"plan": []}), {}, **given)  # type: ignore[arg-type]  # that is the mistake


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(BadFlow) as raised:
        flow({"a": ["b", "x"], "b": ["a"], "c": []}).check()
    assert len(str(raised.value).splitlines()) == 4


@pytest.mark.parametrize(
    ("edges", "visits"),
    [
        ({"a": []}, {}),
        ({"a": ["b", "c"], "b": ["c"], "c": []}, {}),
        ({"a": ["a", "b"], "b": []}, {"a": 3}),
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, {"c": 2}),
        ({"a": ["b"], "b": ["b", "a"]}, {"b": 2}),
    ],
)
def test_a_cycle_with_a_bound_is_no_mistake(edges: dict[str, list[str]], visits: dict[str, int]) -> None:
    flow(edges, visits).check()


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"max_tool_cals": 3}, "max_tool_cals is no limit; did you mean max_tool_calls?"),
        ({"max_tool_calls": 0}, "max_tool_calls is a whole number greater than 0, not 0"),
        ({"max_tool_calls": True}, "max_tool_calls is a whole number greater than 0, not True"),
        ({"max_usd": "much"}, "max_usd is an amount of dollars like '0.20', not 'much'"),
        ({"max_usd": "-1"}, "max_usd is a whole number greater than 0, not '-1'"),
        ({"max_usd": "NaN"}, "max_usd is an amount of dollars like '0.20', not 'NaN'"),
        ({"max_usd": "Infinity"}, "max_usd is an amount of dollars like '0.20', not 'Infinity'"),
    ],
)
def test_a_limit_of_an_investigation_that_is_none_is_named(limits: dict[str, int | str], sentence: str) -> None:
    with pytest.raises(BadFlow) as raised:
        Flow("answers").investigate("ask", model="m", goal="?", tools=[], limits=limits)
    assert str(raised.value) == f"answers.ask: {sentence}"


def test_an_edge_of_an_investigation_that_is_none_is_named() -> None:
    with pytest.raises(BadFlow, match="'fuond' is no edge of an investigation; they are found, exhausted"):
        Flow("answers").investigate("ask", model="m", goal="?", tools=[], to={"fuond": "end"})


def test_a_step_is_declared_once_and_is_async() -> None:
    made = flow({"a": []})

    async def a(run: Run, state: object) -> object:
        return None

    with pytest.raises(BadFlow, match="the step a is declared twice"):
        made.step()(a)
    with pytest.raises(BadFlow, match="the step <lambda> must be an async function"):
        made.step()(lambda run, state: None)  # type: ignore[arg-type, return-value]  # that is the point


def test_a_flow_is_drawn_with_its_edges() -> None:
    made = flow({"plan": ["ask"], "end": []})
    made.investigate("ask", model="m", goal="?", tools=[], to={"found": "end", "exhausted": "plan"}, visits=2)
    made.check()
    assert made.mermaid().splitlines() == [
        "stateDiagram-v2",
        "    [*] --> plan",
        "    plan --> ask",
        "    end --> [*]",
        "    ask : ask (investigates)",
        "    ask --> end : found",
        "    ask --> plan : exhausted",
    ]
