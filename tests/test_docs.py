"""Every code block of the README and of docs/ runs, so that no page promises what the code does not do.

The blocks of one page run in order, in one temporary folder, with one Python namespace and one event loop:
- python: executed, `await` allowed at the top level;
- bash, console: lines that start with `bridle` or `python` are run and must exit 0 (or N, after `# exits N`);
- yaml: parsed, and read as a policy when it has a key of a policy;
- json: parsed.
`<!-- file: name -->` above a block also writes it to that file; `<!-- not run: reason -->` exempts it.
"""

import ast
import asyncio
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from bridle.config import load_policy

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(path for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")) if path.exists())
SECONDS_PER_COMMAND = 120
SHOWN = {"text", "json", "mermaid", "sql", "http", "html", "toml", "diff"}  # languages of blocks that do nothing
SKIPPED = ("make", "git clone", "cd", "pip install", "python3 -m venv", "apt install", "sudo apt install", "export")
POLICY_KEYS = {"autonomy", "budgets", "enforcement", "kill_switch", "mode", "models", "monitoring", "tools", "writes"}

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[^\s`]*)[^`]*$")
DIRECTIVE = re.compile(r"^<!--\s*(?P<word>not run|file):\s*(?P<text>.*?)\s*-->$")
EXIT_CODE = re.compile(r"#\s*exits (\d+)\s*$")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page; `line` is that of its first line of code."""

    language: str
    code: str
    line: int
    file: str = ""
    not_run: str = ""


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, each with the comment that stands just above it."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        opening = FENCE.match(lines[at])
        if opening is None:
            at += 1
            continue
        end = at + 1
        while end < len(lines) and lines[end].strip() != opening["ticks"]:
            end += 1
        assert end < len(lines), f"line {at + 1}: this block is never closed"
        above = next((line.strip() for line in reversed(lines[:at]) if line.strip()), "")
        directive = DIRECTIVE.match(above)
        said = {directive["word"]: directive["text"]} if directive else {}
        assert all(said.values()), f"line {at + 1}: the comment above this block gives no name or reason"
        code = textwrap.dedent("\n".join(lines[at + 1 : end])) + "\n"
        yield Block(opening["language"], code, at + 2, said.get("file", ""), said.get("not run", ""))
        at = end + 1


def commands(block: Block) -> Iterator[str]:
    """The commands of a block: every line of bash, the lines after `$` of a console."""
    for raw in block.code.replace("\\\n", " ").splitlines():
        line = raw.strip()
        if block.language == "console":
            if line.startswith("$ "):
                yield line.removeprefix("$ ")
        elif line and not line.startswith("#"):
            yield line


def run_command(command: str, where: str) -> None:
    """Run one `bridle` or `python` line with the programs of this environment, or say that it is skipped."""
    words = shlex.split(command, comments=True)
    if command.startswith(SKIPPED):
        print(f"{where}: skipped: {command}")
        return
    assert words[:1] in (["bridle"], ["python"]), f"{where}: this test cannot run {command!r}; see SKIPPED"
    assert not {"|", "&&", ">", ";", "&"} & set(words), f"{where}: one plain command a line, without shell syntax"
    program = str(Path(sys.executable).with_name(words[0]))
    environment = os.environ | {"PATH": f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}
    done = subprocess.run(
        [program, *words[1:]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_PER_COMMAND,
        env=environment,
        check=False,
    )
    expected = EXIT_CODE.search(command)
    assert done.returncode == int(expected[1] if expected else 0), f"{where}: {command}\n{done.stdout}{done.stderr}"


def run_python(block: Block, runner: asyncio.Runner, namespace: dict[str, object], page: str) -> None:
    """Execute a block in the namespace of its page; a traceback names the page and its line."""
    source = "\n" * (block.line - 1) + block.code
    code = compile(source, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:

        async def body() -> None:
            await eval(code, namespace)

        runner.run(body())
    else:
        exec(code, namespace)


def read_policy(text: str) -> None:
    """Read a policy as the library reads it."""
    path = Path("policy-of-this-block.yaml")
    path.write_text(text, encoding="utf-8")
    load_policy(path)


def run_page(text: str, page: str) -> None:
    """Run every block of one page in the current folder."""
    namespace: dict[str, object] = {"__name__": "page"}
    with asyncio.Runner() as runner:
        for block in blocks(text):
            where = f"{page}:{block.line}"
            if block.file:
                Path(block.file).write_text(block.code, encoding="utf-8")
            if block.not_run:
                print(f"{where}: not run: {block.not_run}")
                continue
            match block.language:
                case "python":
                    run_python(block, runner, namespace, page)
                case "bash" | "console":
                    for command in commands(block):
                        run_command(command, where)
                case "yaml":
                    data = YAML(typ="safe", pure=True).load(block.code)
                    if isinstance(data, dict) and POLICY_KEYS & data.keys():
                        read_policy(block.code)
                case "json":
                    json.loads(block.code)
                case language:
                    assert language in SHOWN, f"{where}: a block says what it is: python, bash, yaml, text, ..."


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_code_block_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    run_page(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))


def fenced(language: str, code: str, above: str = "") -> str:
    return f"{above}\n```{language}\n{code}\n```\n"


@pytest.mark.parametrize(
    "page",
    [
        fenced("python", "assert False"),
        fenced("python", "import asyncio\nawait asyncio.sleep(0)\nassert False"),
        fenced("bash", "python -c 'assert False'"),
        fenced("console", "$ python -c 'raise SystemExit(3)'  # exits 4"),
        fenced("bash", "curl example.com"),
        fenced("bash", "python -c 'print(1)' | cat"),
        fenced("yaml", "a: [1"),
        fenced("json", "{'a': 1}"),
        fenced("", "what is this"),
        fenced("python", "assert False", "<!-- not run: -->"),
        fenced("python", "assert False", "<!-- not run: far above -->\nsomething else"),
        "```python\nnever closed",
    ],
)
def test_a_block_that_is_wrong_fails(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception):  # noqa: B017, PT011 - each wrong block fails in the way of its language
        run_page(page, "wrong.md")


def test_a_page_shares_its_folder_its_names_and_its_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (
        fenced("yaml", "some: thing", "<!-- file: some.yaml -->")
        + fenced("python", "import asyncio\nloop = asyncio.get_running_loop()\nawait asyncio.sleep(0)")
        + fenced("python", "assert asyncio.get_running_loop() is loop\nawait asyncio.sleep(0)")
        + fenced("console", "$ python -c \"assert open('some.yaml').read() == 'some: thing\\n'\"\nits output")
        + fenced("bash", "make demo\n# a comment\npython -c 'raise SystemExit(3)'  # exits 3")
        + fenced("python", "assert False", "<!-- not run: it would fail -->")
    )
    run_page(page, "right.md")
