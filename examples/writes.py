"""A write waits for a person, unless the policy says `require_approval: false`.

The same flow runs under both policies. The first run waits: it holds nothing, and no process has to live meanwhile. A
person answers, here the program itself with `b.approvals`, at a shell `bridle approve`; the same key then goes on with
the run, which writes its note once: a note that stands there already is never changed.
"""

import asyncio
from pathlib import Path

from bridle import Bridle, Flow, Run
from bridle.bundled import folder

note = Flow("note", start="write")


@note.step()
async def write(run: Run, state: dict[str, str]) -> str:
    """The only effect of this flow."""
    written = await run.call("notes.write", {"title": state["title"], "text": state["text"]})
    return f"wrote {written.value['path']}"


def notes() -> int:
    """How many there are."""
    return len(list(Path().glob("notes/*.md")))


async def main() -> None:
    """The same flow under two policies."""
    for require_approval in (True, False):
        given = {"title": f"Approval {require_approval}", "text": "The customer was called back."}
        policy = {"tools": {"allow": ["notes.write"]}, "writes": {"require_approval": require_approval}}
        async with Bridle(policy, ":memory:") as b:
            folder(b, Path())
            result = await b.run(note, given, by="eve", key="note")
            print(f"require_approval {require_approval}: {result.status}, notes on disk: {notes()}")
            for question in b.approvals.pending():
                print(f"  {question.summary} {dict(question.arguments)}")
                await b.approvals.answer(question.approval, "approve", by="ann")  # eve, who asked, may not
                result = await b.run(note, given, by="eve", key="note")
            print(f"  {result.status}: {result.answer}, notes on disk: {notes()}")


asyncio.run(main())
