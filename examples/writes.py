"""A write waits until a person approves it, unless the policy says `require_approval: false`.

The same flow runs under both policies. The first run waits, and nothing of it stays in memory meanwhile; the
second run writes its note, once: a note that stands there already is never changed.
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
    """The same input under two policies."""
    given = {"title": "Order 88213", "text": "The customer was called back."}
    for require_approval in (True, False):
        policy = {"tools": {"allow": ["notes.write"]}, "writes": {"require_approval": require_approval}}
        async with Bridle(policy, ":memory:") as b:
            folder(b, Path())
            result = await b.run(note, given)
        said = result.stop.text() if result.stop else "a person is asked"
        print(f"require_approval {require_approval}: {result.status}, {said}")
        print(f"  answer: {result.answer}, notes on disk: {notes()}")


asyncio.run(main())
