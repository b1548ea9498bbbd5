"""The flow that `bridle run` brings along: it answers a question from a folder of documents, with citations."""

from dataclasses import dataclass, field
from pathlib import Path

from bridle.bridle import Bridle
from bridle.bundled import documents
from bridle.models.quoting import keywords
from bridle.rules.names import ToolName
from bridle.rules.policy import Policy
from bridle.runs.flow import Flow
from bridle.runs.run import Run
from bridle.runs.signals import Denied
from bridle.tools.kb import Library

TOOLS = ("search.read", "kb.read")
MODEL = "extractive"
MOST_TERMS = 8  # words of a search
MOST_READ = 3  # documents that are read before the model is asked
# of the investigation
LIMITS: dict[str, int | str] = {"max_tool_calls": 6, "max_model_calls": 6, "max_seconds": 60, "max_usd": "0.20"}
READ_ONLY = Policy(allow=frozenset(ToolName(name) for name in TOOLS))  # where there is no policy file


@dataclass
class Inquiry:
    """What is asked of which folder, and what the steps found on the way."""

    question: str
    folder: str
    terms: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    answer: str = ""


def asking(model: str = MODEL) -> Flow:
    """The flow with this model: plan, read, answer. Two steps of plain code, then one investigation with limits."""
    version = "1" if model == MODEL else f"1 {model}"
    ask = Flow("ask", version=version, state=Inquiry)

    @ask.step(to=["read", "answer"])
    async def plan(run: Run, state: object) -> str:
        assert isinstance(state, Inquiry)
        state.terms = keywords(state.question)[:MOST_TERMS]
        if not state.terms:
            return "answer"
        hits = (await run.call("search.read", {"query": " ".join(state.terms)})).value
        named = [str(hit["doc"]) for hit in hits if isinstance(hit, dict)] if isinstance(hits, list) else []
        state.found = list(dict.fromkeys(named))
        return "read" if state.found else "answer"

    @ask.step(to=["answer"])
    async def read(run: Run, state: object) -> str:
        assert isinstance(state, Inquiry)
        for doc in state.found[:MOST_READ]:
            try:
                await run.call("kb.read", {"doc": doc})
            except Denied:
                continue  # the refusal is in the journal; the others may do
            state.read.append(doc)
        return "answer"

    goal = "{question}"
    if model != MODEL:  # the embedded model takes every word of its goal for a key word
        goal += (
            "\n\nA search for its key words found these documents: {found}. Answer from documents only, and cite them."
        )
    ask.investigate("answer", model=model, goal=goal, tools=TOOLS, limits=LIMITS, into="answer")
    return ask


def over(b: Bridle, folder: Path) -> Library:
    """Declare the tools of this flow over a folder. Close the library when the runs are over."""
    return documents(b, folder)
