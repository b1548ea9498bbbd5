"""From a name to a model, and where a key may go."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bridle.models import UnknownModel, open_model
from bridle.models.extractive import ExtractiveModel
from bridle.models.openai_compatible import OPENAI_URL, OpenAICompatible
from bridle.models.scripted import ScriptedModel
from bridle.rules.failure import CallFailed
from tests.models.asking import SOON, request
from tests.wire.provider import provider

KEYS = {"OPENAI_API_KEY": "sk-openai-key", "MY_GROQ_API_KEY": "gsk-groq-key"}


async def test_the_embedded_and_the_scripted_model_open_without_a_key(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("- answer: done")
    assert isinstance(open_model("extractive", secrets=KEYS.get), ExtractiveModel)
    scripted = open_model(f"scripted:{path}", secrets=KEYS.get)
    assert isinstance(scripted, ScriptedModel)
    assert scripted.name == f"scripted:{path}"
    assert (await scripted.complete(request(), timeout=SOON)).text == "done"
    await scripted.aclose()


async def test_openai_is_asked_at_openai_with_its_key_and_at_its_default_price() -> None:
    model = open_model("openai:gpt-5", secrets=KEYS.get)
    assert isinstance(model, OpenAICompatible)
    assert model._endpoint.base_url == OPENAI_URL
    assert model._endpoint.extra == {"service_tier": "default"}
    assert model._key() == "sk-openai-key"
    await model.aclose()


async def test_without_its_key_openai_is_not_asked() -> None:
    model = open_model("openai:gpt-5", secrets=lambda name: None)
    with pytest.raises(CallFailed, match="openai:gpt-5 needs a key and there is no OPENAI_API_KEY"):
        await model.complete(request(), timeout=SOON)
    await model.aclose()


@pytest.mark.parametrize(
    ("name", "prefix", "sent", "limit"),
    [
        ("my-groq:llama:70b", "my-groq", "Bearer gsk-groq-key", "max_tokens"),
        ("local:llama:70b", "local", None, "max_tokens"),
        ("openai:llama:70b", "openai", "Bearer sk-openai-key", "max_completion_tokens"),
    ],
)
async def test_a_server_of_ones_own_gets_the_key_of_its_own_prefix(
    name: str, prefix: str, sent: str | None, limit: str
) -> None:
    async with provider() as far_end:
        model = open_model(name, secrets=KEYS.get, base_urls={prefix: far_end.base_url})
        await model.complete(request(), timeout=SOON)
        await model.aclose()
        asked = far_end.requests[0]
        assert asked.headers.get("authorization") == sent
        assert asked.body["model"] == "llama:70b"
        assert asked.body[limit] == 256


async def test_no_key_goes_to_an_address_inside_a_name() -> None:
    async with provider() as far_end:
        model = open_model(f"openai:llama3@{far_end.base_url}", secrets=KEYS.get)
        assert (await model.complete(request(), timeout=SOON)).text == "done"
        await model.aclose()
        assert "authorization" not in far_end.requests[0].headers
        assert far_end.requests[0].body["model"] == "llama3"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("opnai:gpt-5", "did you mean openai:gpt-5?"),
        ("OpenAI:gpt-5", "did you mean openai:gpt-5?"),
        ("extractiv", "did you mean extractive?"),
        ("extractive:x", "nothing follows"),
        ("script:a.yaml", "did you mean scripted:answers.yaml?"),
        ("gpt-5", "there are extractive, openai:..., scripted:..."),
        ("openai:", "what follows the colon is missing"),
        ("scripted:", "what follows the colon is missing"),
        ("", "there are extractive"),
        ("x" * 10_000, "..."),
    ],
)
def test_an_unknown_name_is_told_what_was_meant(name: str, told: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        open_model(name, secrets=KEYS.get)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@127.0.0.1/v1",
        "http://127.0.0.1/v1?api-key=hunter2",
        "http://127.0.0.1/v1#hunter2",
        "http:///v1",
        "http://127.0.0.1:hunter2/v1",
        "http://127.0.0.1:0/v1",
        "http://[hunter2/v1",
        "ftp://hunter2/v1",
        "hunter2",
    ],
)
def test_an_address_with_a_password_in_it_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        open_model("local:m", secrets=KEYS.get, base_urls={"local": url})
    assert "hunter2" not in str(caught.value)
    if url.startswith("http:"):
        with pytest.raises(UnknownModel) as caught:
            open_model(f"openai:m@{url}", secrets=KEYS.get)
        assert "hunter2" not in str(caught.value)


def test_the_room_opens_without_the_heavy_libraries() -> None:
    heavy = "{'httpx2', 'genai_prices', 'ruamel', 'pydantic'}"
    code = f"import sys, bridle.models; sys.exit(' '.join({heavy} & sys.modules.keys()) or 0)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_script_that_is_not_there_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        open_model("scripted:nowhere.yaml", secrets=KEYS.get)
