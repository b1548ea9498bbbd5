"""`bridle init`: the first files of a project, and the three commands that work with them."""

from importlib import resources
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bridle.cli.exits import OK, Failed
from bridle.cli.screen import OUT, bold, dim, good

FLOW = '''\
"""A flow with one investigation: it answers a question from the documents in docs/, and cites them."""

from dataclasses import dataclass

from bridle import Bridle, Flow
from bridle.bundled import documents


@dataclass
class Request:
    question: str
    answer: str = ""


b = Bridle("bridle.yaml")
documents(b, "docs")  # declares the tools search.read and kb.read

answer = Flow("answer", state=Request)
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
QUESTION = "How does a run end?"


def init(folder: Annotated[Path, Parameter(name="FOLDER", show_default=False)] = Path(), /) -> int:
    """Write a policy, a flow and a document to start with. What is there already stays as it is.

    Parameters
    ----------
    folder
        Where. Default: this folder.
    """
    for name, text in _files():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError as error:
            if not path.is_file():
                raise Failed(f"{error.filename}: this is in the way; move it, or name another folder") from error
            OUT.line(dim("kept   "), f"{path} ", dim("(it was there already)"))
            continue
        except OSError as error:
            raise Failed(f"{path}: {error.strerror}; name a folder that you may write to") from error
        OUT.line(good("wrote  "), str(path))
    OUT.line()
    OUT.line("Next:")
    if folder != Path():
        OUT.line("  ", bold(f"cd {folder}"))
    OUT.table(
        [
            [bold("bridle check --app flow:b"), dim("what the policy allows, and what a call costs at worst")],
            [bold(f'bridle run "{QUESTION}" --app flow:b'), dim("the flow answers from docs/")],
            [bold("bridle show"), dim("what that run did, what it spent, why it stopped")],
        ],
        indent="  ",
    )
    return OK


def _files() -> tuple[tuple[str, str], ...]:
    """Each file with its text, in the order in which one reads them."""
    starter = resources.files("bridle.cli") / "starter"
    policy, hello = ((starter / name).read_text("utf-8") for name in ("bridle.yaml", "hello.md"))
    return (("bridle.yaml", policy), ("flow.py", FLOW), ("docs/hello.md", hello))
