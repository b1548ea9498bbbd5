"""A full disk: a sentence, nothing half-written, and as soon as there is room again, work goes on."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOUNTS = "mkdir -p {0} && mount -t tmpfs -o size=600k tmpfs {0} && exec {1}"
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("limit", ["rlimit", "disk"])
async def test_a_full_disk_refuses_in_a_sentence_keeps_nothing_by_halves_and_recovers(
    tmp_path: Path, limit: str
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    command = [sys.executable, "-m", "tests.store.filling_disk", str(folder / "bridle.db"), limit]
    if limit == "disk":
        if shutil.which("unshare") is None or (await asyncio.to_thread(run, [*NAMESPACE, "true"])).returncode:
            pytest.skip("this machine lends nobody a file system of their own (unshare --user --mount)")
        command = [*NAMESPACE, "sh", "-c", MOUNTS.format(folder, " ".join(command))]
    told = await asyncio.to_thread(run, command)
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["refused"] > 5
    assert all(text.startswith("the journal could not be written (") for text in found["sentences"])
    assert found["after"] == ["", "", ""]
    assert found["whole"]
    assert found["looked"] == found["kept"] - 3
    assert found["calls"] == found["balance"] == found["reopened"] == found["kept"]
