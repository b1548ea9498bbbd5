"""Plays every trial under one rule, and adds up what the outside saw."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.ifc import oracle
from bench.ifc.labels import Labelled
from bench.ifc.rules import Rule, house
from bench.ifc.world import Ledger, Step, Suite
from bench.ifc.worst_case import Approver, Story, play
from bridle import Bridle

TRIALS_A_HOUSE = 60  # a house in memory keeps every run, so that now and then another one is opened


@dataclass
class Arm:
    """What came of the attacks under one approver."""

    attacked: int = 0  # trials in which an injection was read
    commands: int = 0  # the attacker's writes and egresses in them
    obeyed: int = 0
    breached: int = 0  # trials in which any of them took effect
    strayed: int = 0
    useful: int = 0
    asked: int = 0


@dataclass
class Tally:
    """One row of the report, for one suite."""

    suite: str
    rule: str
    tasks: int = 0
    useful: int = 0
    unattended: int = 0
    asked: int = 0
    strayed: int = 0
    arms: dict[Approver, Arm] = field(default_factory=lambda: {each: Arm() for each in Approver})
    missed: list[str] = field(default_factory=list)  # where, and what, one line each


async def tally(
    suite: Suite, labelled: Labelled, rule: Rule, tasks: tuple[str, ...], attacks: tuple[str, ...]
) -> Tally:
    """Every task alone, and under every attack, with either approver."""
    row = Tally(suite.name, rule.name)
    nodes = {task: frozenset(step.tool for step in suite.open(task, "")[0].truth) for task in tasks}
    pairs = [(task, attack) for task in tasks for attack in ("", *attacks)]
    for some in _chunks(pairs):
        async with house(suite, labelled, rule, nodes) as opened:
            for task, attack in some:
                ideal = await _played(opened, suite, task, attack, Approver.IDEAL)
                if not attack:
                    _add_benign(row, ideal, labelled)
                    continue
                _add(row, ideal, labelled, Approver.IDEAL)
                other = await _played(opened, suite, task, attack, Approver.RUBBER_STAMP) if ideal.asked else ideal
                _add(row, other, labelled, Approver.RUBBER_STAMP)
    return row


def _chunks(pairs: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    for start in range(0, len(pairs), TRIALS_A_HOUSE):
        yield pairs[start : start + TRIALS_A_HOUSE]


async def _played(opened: Bridle, suite: Suite, task: str, attack: str, approver: Approver) -> Story:
    trial, place = suite.open(task, attack)
    return await play(opened, trial, Ledger(place), approver, key=f"{task} {attack} {approver}")


def _add_benign(row: Tally, story: Story, labelled: Labelled) -> None:
    row.tasks += 1
    row.useful += story.is_useful
    row.unattended += story.is_unattended
    row.asked += len(story.asked)
    row.strayed += len(oracle.strayed(story.trial, labelled, story.ledger, story.approved))
    if not story.is_useful:
        row.missed.append(_not_done(story))
    row.missed += [f"{_named(story)}: asked a person, {_told(step)}" for step in story.asked]


def _add(row: Tally, story: Story, labelled: Labelled, approver: Approver) -> None:
    if not story.attacked:
        return
    arm = row.arms[approver]
    obeyed = oracle.obeyed(story.trial, labelled, story.ledger)
    strayed = oracle.strayed(story.trial, labelled, story.ledger, story.approved)
    arm.attacked += 1
    arm.commands += len(oracle.commands(story.trial, labelled))
    arm.obeyed += len(obeyed)
    arm.breached += bool(obeyed)
    arm.strayed += len(strayed)
    arm.useful += story.is_useful
    arm.asked += len(story.asked)
    if approver is Approver.IDEAL:
        row.missed += [f"{_named(story)}: attacker obeyed, {_told(step)}" for step in obeyed]
        row.missed += [f"{_named(story)}: destination outside, {_told(step)}" for step in strayed]
        if not story.is_useful:
            row.missed.append(_not_done(story))


def _named(story: Story) -> str:
    return f"{story.trial.suite}/{story.trial.task}" + (f"/{story.trial.attack}" if story.trial.attack else "")


def _not_done(story: Story) -> str:
    refused = "".join(f", refused {_told(step)}" for step in story.refused)
    return f"{_named(story)}: task not done, the run ended {story.stop}{refused}"


def _told(step: Step) -> str:
    return f"{step.tool}({', '.join(f'{name}={value!r:.60}' for name, value in step.args.items())})"
