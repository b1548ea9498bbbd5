"""The files that `bridle init` writes."""

POLICY = """\
# What this house allows. `bridle check` says what it means; `bridle schema` prints the schema for your editor.
# Limits are hard: a call that does not fit at its worst does not happen. What is left out has a safe default.

mode:
  default: explicit_flow                 # the flow decides what comes next ...
autonomy:
  allowed_for: [investigation_nodes]     # ... and only an investigation chooses its own calls

budgets:                                 # of one run
  max_steps: 30
  max_seconds: 90
  max_tool_calls: 15
  max_usd: "1.00"

tools:
  allow: [search.read, kb.read]          # every other tool is refused
  # allow: [search.read, kb.read, http.get]    and declare it in flow.py: bridle.bundled.web(b)

writes:
  require_approval: true                 # nothing is written without a person's yes

# models:                                # what a model costs, where the list of genai-prices does not know it
#   "openai:my-model":
#     usd_per_million_in: "1.00"
#     usd_per_million_out: "3.00"

monitoring:
  track: [tool_calls_per_run, tokens_per_request, stop_reason, latency_p95, spend_per_run]
kill_switch:
  mode_when_enabled: disable_writes
"""

FLOW = '''\
"""A flow with one investigation: it answers a question from the documents in docs/, and cites them."""

from dataclasses import dataclass

from bridle import Bridle, Flow
from bridle.bundled import documents


@dataclass
class Question:
    question: str
    answer: str = ""


b = Bridle("bridle.yaml")
documents(b, "docs")  # declares the tools search.read and kb.read

answer = Flow("answer", state=Question)
answer.investigate(
    "investigate",
    model="extractive",  # embedded: quotes what it finds; "openai:gpt-5" needs the key OPENAI_API_KEY
    goal="{question}",
    tools=["search.read", "kb.read"],
    limits={"max_tool_calls": 6, "max_usd": "0.20"},
    into="answer",
)
b.register(answer)
'''

HELLO = """\
# Hello

This is a document that the flow in `flow.py` reads. Put your own Markdown and text beside it.

## How a run ends

Every run ends with exactly one stop reason. A run that answered ends with the reason `ok`.
A run that used up a limit ends with the name of that limit, for example `max_tool_calls`, and keeps its partial result.
`bridle show` tells which reason it was, who has to act, and whether the same request may be sent again.

## What a run may do

A run may call only the tools that the policy allows. Every other call is refused, and the refusal is written down.
A write needs the approval of a person.
"""
