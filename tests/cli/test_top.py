"""Who spends: by tenant, flow, tool, who asked, and run, the dearest first."""

import asyncio
import json
from pathlib import Path

import pytest

from bridle import Bridle, CallFailed, FailureKind, Flow, Run
from bridle.cli.spending import spending
from bridle.rules.names import Millis
from tests.cli.conftest import Bridled
from tests.cli.house import STARTED, Clock, House, busy, process
from tests.cli.test_kill import PATIENT

POLICY = {
    "tools": {"allow": ["web.browse", "kb.read", "refund.create"]},
    "writes": {"require_approval": False},
    "flow": {"when": "never"},
}
CENT = 10_000_000
HOUR = 3_600_000


def burned(place: Path) -> Clock:
    """An hour apart: acme browsed twice, then three times; zeta read once, and has a write in doubt."""
    clock = Clock()
    browsing, reading = Flow("browsing", state=dict), Flow("reading")

    @browsing.step()
    async def browse(run: Run, state: object) -> None:
        assert isinstance(state, dict)
        for page in range(state["pages"]):
            await run.call("web.browse", {"page": page})

    @reading.step()
    async def read(run: Run, state: object) -> None:
        await run.call("kb.read")
        await run.call("refund.create")

    async def ran() -> None:
        async with Bridle(POLICY, f"sqlite:///{place}", world=clock.world) as b:

            @b.tool("web.browse", effect="read", cost="$0.01")
            async def web(page: int) -> str:
                clock.at += 10
                if page == 2:
                    raise CallFailed(FailureKind.REJECTED, "gone")
                return f"page {page}"

            @b.tool("kb.read", effect="read")
            async def kb() -> str:
                return "free"

            @b.tool("refund.create", effect="write", cost="$0.02")
            async def refund() -> str:
                raise CallFailed(FailureKind.TIMEOUT, "no answer")

            await b.run(browsing, {"pages": 2}, tenant="acme", by="eve")
            clock.at += HOUR
            await b.run(browsing, {"pages": 3}, tenant="acme", by="eve")
            await b.run(reading, tenant="zeta", by="bob")

    asyncio.run(ran())
    return clock


def test_who_spends_stands_first_and_a_write_in_doubt_is_paid(here: Path) -> None:
    clock = burned(here / "s.db")
    found = spending(here / "s.db", Millis(clock.at - 60_000))
    total = found.total
    assert (total.spent, total.calls, total.failed, len(total.runs)) == (5 * CENT, 5, 2, 2)
    assert {name: of.spent for name, of in found.tenants.items()} == {"acme": 3 * CENT, "zeta": 2 * CENT}
    assert {name: (of.calls, of.failed) for name, of in found.tools.items()} == {
        "web.browse": (3, 1), "kb.read": (1, 0), "refund.create": (1, 1),
    }  # fmt: skip
    assert (found.askers["eve"].spent, found.flows["reading"].spent) == (3 * CENT, 2 * CENT)
    earlier = spending(here / "s.db", Millis(STARTED))
    assert (earlier.total.spent, len(earlier.tenants["acme"].runs)) == (7 * CENT, 2)


def test_the_table_has_the_dearest_first_and_at_most_so_many(
    bridle: Bridled, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = burned(here / "s.db")
    monkeypatch.setattr("bridle.cli.top.now", clock.world.now)
    out = bridle("top", "--since", "30m", "--limit", "1", "--store", "s.db").out.splitlines()
    assert out[0] == "$0.05 in 5 calls since 30m ago"
    assert [line.split()[0] for line in out[1::2]] == ["tenants", "flows", "tools", "asked", "runs", "bridle"]
    assert out[2].split() == ["acme", "$0.03", "60", "%", "1", "3", "1", "0", "0"]
    told = json.loads(bridle("top", "--json", "--since", "90m", "--store", "s.db").out)
    assert (told["total"]["spent_usd_nanos"], [one["name"] for one in told["tenants"]]) == (7 * CENT, ["acme", "zeta"])
    assert [told["asked_by"][0][word] for word in ("name", "runs", "failed")] == ["eve", 2, 1]


def test_a_call_of_a_child_counts_once_here_and_for_its_parent_in_the_list_of_runs(bridle: Bridled, here: Path) -> None:
    part, whole = Flow("part"), Flow("whole")

    @part.step()
    async def work(run: Run, state: object) -> None:
        await run.call("web.browse", {"page": 1})

    @whole.step()
    async def ask(run: Run, state: object) -> None:
        await run.call("web.browse", {"page": 2})
        await run.child(part, {}, budgets={"max_tool_calls": 2, "max_usd": "0.10", "max_seconds": 20})

    async def ran() -> str:
        async with Bridle(POLICY, "sqlite:///s.db") as b:

            @b.tool("web.browse", effect="read", cost="$0.01")
            async def web(page: int) -> str:
                return f"page {page}"

            return (await b.run(whole, {}, by="eve")).run_id

    parent = asyncio.run(ran())
    top = json.loads(bridle("top", "--store", "s.db", "--json").out)
    assert (top["total"]["spent_usd_nanos"], [one["spent_usd_nanos"] for one in top["runs"]]) == (
        2 * CENT,
        [CENT, CENT],
    )
    assert "each call counts once, for the run that made it" in " ".join(bridle("top", "--help").out.split())
    listed = {
        run["run_id"]: run["spent"] for run in json.loads(bridle("runs", "--store", "s.db", "--json").out)["runs"]
    }
    assert listed.pop(parent)["usd_nano"] == 2 * CENT
    assert [spent["usd_nano"] for spent in listed.values()] == [CENT]
    said = "calls and spent of a run include those of its children; bridle top counts each call once"
    assert said in bridle("runs", "--store", "s.db").out
    assert "what one has spent includes its children" in " ".join(bridle("runs", "--help").out.split())


def test_a_call_in_flight_is_counted_with_what_it_holds(bridle: Bridled, here: Path) -> None:
    (here / "app.py").write_text(PATIENT.replace('effect="read"', 'effect="read", cost="$0.01"'))
    running = process("run", "--app", "app:patient", folder=here)
    try:
        assert running.stderr is not None
        assert any("step once" in line for line in running.stderr)
        totals = (json.loads(bridle("top", "--json").out)["total"] for _ in range(1_000))
        total = next(total for total in totals if total["in_flight"])  # its step has begun, its call soon
        assert (total["in_flight"], total["held_usd_nanos"], total["calls"]) == (1, CENT, 0)
        assert "and $0.01 held by 1 call in flight" in bridle("top").out
    finally:
        (here / "go").touch()
        running.communicate()


def test_refusals_are_counted_and_nothing_is_said_plainly(bridle: Bridled, here: Path) -> None:
    house = House(here / "s.db")
    house.run(busy())
    assert spending(here / "s.db", Millis(STARTED)).tools["mail.send"].refused == 1
    assert bridle("top", "--store", "s.db", "--since", "1s").out == "$0.00 in 0 calls since 1s ago\n"


@pytest.mark.parametrize(
    ("given", "sentence"), [(("--since", "soon"), "--since soon: write a number"), (("--limit", "0"), "--limit is")]
)
def test_what_is_no_stretch_of_time_is_a_sentence(
    bridle: Bridled, here: Path, given: tuple[str, ...], sentence: str
) -> None:
    done = bridle("top", *given)
    assert (done.code, sentence in done.err) == (1, True)
