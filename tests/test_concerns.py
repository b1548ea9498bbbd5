"""The pages of docs/ agree with the code: checks, settings, events, stop reasons, and every file that they name.

What they claim beyond that is run by tests/test_docs.py, or is prose.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import pytest

from bridle import Bridle
from bridle.config.grammar import PolicyFile
from bridle.gateway.world import World
from bridle.models.port import Model
from bridle.rules.checks import CHECKS
from bridle.rules.events import Event
from bridle.rules.names import show_usd
from bridle.rules.stop import STOPS
from bridle.testing.incidents import outage_bounded, outage_unbounded, research_bounded, research_unbounded
from bridle.testing.incidents.research import PRESSES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
CONCERNS = sorted(path for path in (DOCS / "concerns").glob("*.md") if path.name != "README.md")
QUESTIONS = ("policy", "check", "events", "stored in", "see it", "stops with", "tests")
MOST_LINES = 50

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)")
NAMED = re.compile(r"`([^`\n]+)`")
OWN_FILE = re.compile(r"(?<![\w./-])((?:src|tests|docs|examples|bench|requirements)/[\w./-]*\w/?)")
BLOCK = re.compile(r"^(`{3,})[^\n]*\n.*?^\1$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def house(policy: Path, models: Mapping[str, Model], world: World) -> Bridle:
    return Bridle(policy, ":memory:", models=models, world=world)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def row(page: Path, question: str) -> str:
    """What the table at the top of a page answers; empty when it has no such row."""
    found = re.search(rf"^\| {question} \| (.+) \|$", text_of(page), re.MULTILINE)
    return found[1] if found else ""


def names(answer: str) -> set[str]:
    """The words in backquotes."""
    return set(NAMED.findall(answer))


def anchors(path: Path) -> set[str]:
    """The headings of a page, as GitHub links to them."""
    prose = BLOCK.sub("", text_of(path))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(prose)}


def broken_links(path: Path) -> Iterator[str]:
    prose = BLOCK.sub("", text_of(path))
    for target, anchor in LINK.findall(prose):
        to = (path.parent / target).resolve() if target else path
        if not to.exists() or not to.is_relative_to(ROOT):
            yield f"{target} does not exist"
        elif anchor and anchor not in anchors(to):
            yield f"{target}#{anchor}: there is no such heading"


def missing_files(path: Path) -> Iterator[str]:
    prose = BLOCK.sub("", text_of(path))
    for named in NAMED.findall(prose):
        for own in OWN_FILE.findall(named):
            if not (ROOT / own).exists():
                yield f"{own} does not exist"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_and_every_file_that_a_page_names_exists(page: Path) -> None:
    assert [*broken_links(page), *missing_files(page)] == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n[a](nowhere.md) [b](#no-heading) `src/bridle/nowhere.py` [c](https://example.com)\n")
    assert len([*broken_links(page), *missing_files(page)]) == 3
    page.write_text("# A page\n[b](#a-page)\n```text\n[a](nowhere.md)\n```\n")
    assert len(list(broken_links(page))) == 1, "a page outside of the repository is no place to link to"


@pytest.mark.parametrize("page", CONCERNS, ids=name_of)
def test_a_concern_answers_every_question_on_one_screen(page: Path) -> None:
    assert [question for question in QUESTIONS if not row(page, question)] == []
    assert row(page, "tests").count("`tests/") >= 1
    assert len(text_of(page).splitlines()) <= MOST_LINES


def test_the_index_names_every_concern_and_every_decision() -> None:
    for folder in (DOCS / "concerns", DOCS / "decisions"):
        index = text_of(folder / "README.md")
        listed = {target for target, _ in LINK.findall(index)}
        assert {path.name for path in folder.glob("*.md")} - {"README.md"} <= listed, f"{folder.name}/README.md"


def test_every_check_is_on_exactly_one_page() -> None:
    told = {check.__name__: [page.stem for page in CONCERNS if check.__name__ in names(row(page, "check"))]
            for check in CHECKS}  # fmt: skip
    assert {check: pages for check, pages in told.items() if len(pages) != 1} == {}


def test_every_section_of_the_policy_file_is_on_some_page() -> None:
    told = {re.split(r"[.:]", name)[0] for page in CONCERNS for name in names(row(page, "policy"))}
    assert set(PolicyFile.model_fields) - told == set()


def test_every_event_is_on_some_page_and_no_other_is() -> None:
    events = {kind.__name__ for kind in get_args(Event)}
    told = {name for page in CONCERNS for name in names(row(page, "events"))}
    assert {name for name in told if re.fullmatch(r"([A-Z][a-z]+){2,}", name)} == events


def test_a_concern_stops_runs_with_reasons_that_there_are() -> None:
    for page in CONCERNS:
        assert names(row(page, "stops with")) <= {reason.value for reason in STOPS}, page.name


def test_the_table_of_stop_reasons_is_the_one_of_the_code() -> None:
    lines = ["| reason | status | retry | HTTP | who acts | what the user reads | what to do |", "|---" * 7 + "|"]
    for reason, known in STOPS.items():
        cells = (f"`{reason}`", known.status, known.retry, known.http, known.who or "-", known.text, known.advice)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    table = "\n".join(lines)
    shown = text_of(DOCS / "stops.md").split("<!-- stops:begin -->\n")[1].split("\n<!-- stops:end -->")[0]
    assert shown == table, f"paste this between the two comments of docs/stops.md:\n{table}"


def test_the_readme_has_a_place_for_the_figures_of_the_bench() -> None:
    readme = text_of(ROOT / "README.md")
    assert readme.index("<!-- bench:begin -->") < readme.index("<!-- bench:end -->")


def test_the_incidents_in_the_readme_have_the_figures_of_the_simulated_worlds() -> None:
    rows = [line for line in text_of(ROOT / "README.md").splitlines() if line.startswith("| a ")]
    alone, pressed = research_unbounded(), research_unbounded(PRESSES)
    research, outage = research_bounded(house, PRESSES), outage_bounded(house)
    for figure in (
        f"{alone.tool_calls} tool calls, ${alone.usd_nano / 1e9:.0f}, {alone.seconds // 60} minutes",
        f"{pressed.tool_calls} calls with three presses",
        f"{research.outcome.tool_calls} tool calls, {show_usd(research.outcome.usd_nano)}",
        f"{research.outcome.seconds} seconds for all three presses",
    ):
        assert figure in rows[0]
    down = outage_unbounded()
    assert f"{down.tool_calls:,} browser calls and ${down.usd_nano / 1e9:,.0f} in a day" in rows[1]
    assert f"{outage.outcome.tool_calls} browser calls, {show_usd(outage.outcome.usd_nano)}" in rows[1]
    assert outage.told.stops["ok"] == down.stops["answered"], "the same requests answered"
