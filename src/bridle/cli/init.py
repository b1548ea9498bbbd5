"""`bridle init`: the first files of a project, and the three commands that work with them."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bridle.cli.exits import OK, Failed
from bridle.cli.screen import OUT, bold, dim, good
from bridle.cli.starter import FLOW, HELLO, POLICY

FILES = (("bridle.yaml", POLICY), ("flow.py", FLOW), ("docs/hello.md", HELLO))
QUESTION = "How does a run end?"


def init(folder: Annotated[Path, Parameter(name="FOLDER")] = Path(), /) -> int:
    """Write a policy, a flow and a document to start with. What is there already stays as it is.

    Parameters
    ----------
    folder
        Where. Default: this folder.
    """
    for name, text in FILES:
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
