"""From the name of a model, as a policy or a flow writes it, to the model."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from bridle.models.chat_wire import OutputLimit
from bridle.models.extractive import ExtractiveModel
from bridle.models.openai_compatible import OPENAI_URL, Endpoint, OpenAICompatible
from bridle.models.port import Model
from bridle.models.scripted import ScriptedModel

EMBEDDED = "extractive"
SCRIPTED = "scripted"
OPENAI = "openai"
NO_BASE_URLS: Mapping[str, str] = {}


class UnknownModel(ValueError):
    """A name that opens no model; the message says what was meant, perhaps, or what there is."""


def open_model(
    name: str, *, secrets: Callable[[str], str | None], base_urls: Mapping[str, str] = NO_BASE_URLS
) -> Model:
    """The model of this name; the caller closes it with `aclose`.

    - "extractive": the embedded model.
    - "scripted:answers.yaml": a script.
    - "openai:MODEL": OpenAI, with the secret OPENAI_API_KEY.
    - "PREFIX:MODEL" with PREFIX in `base_urls`: a server that speaks the same protocol, with the secret
      PREFIX_API_KEY if there is one. The prefix "openai" may be given another address too.
    - "openai:MODEL@URL": such a server without a key; no secret ever goes to an address inside a name.

    `secrets` is asked by name, before each request. Raises `UnknownModel`, `ScriptError`, OSError.
    """
    prefix, colon, rest = name.partition(":")
    if name == EMBEDDED:
        return ExtractiveModel()
    if colon and not rest:
        raise UnknownModel(f"{name}: what follows the colon is missing, as in {prefix}:{_example(prefix)}")
    if prefix == SCRIPTED and colon:
        return ScriptedModel.from_yaml(Path(rest), name=name)
    if not colon or (prefix != OPENAI and prefix not in base_urls):
        raise UnknownModel(_not_known(name, prefix, [OPENAI, SCRIPTED, *base_urls]))
    model, at, url = rest.partition("@http")
    if at:
        endpoint = _compatible(name, f"http{url}")
        return OpenAICompatible(name, model, key=_no_key, endpoint=endpoint)
    secret = f"{prefix.upper().replace('-', '_')}_API_KEY"
    endpoint = (
        _compatible(name, base_urls[prefix]) if prefix in base_urls else Endpoint(extra={"service_tier": "default"})
    )
    return OpenAICompatible(name, rest, key=lambda: secrets(secret), endpoint=replace(endpoint, secret=secret))


def _compatible(name: str, base_url: str) -> Endpoint:
    """A server of one's own: a key only if there is one, and the output limit that such servers know."""
    if not _is_plain(base_url):  # it is not repeated: what is wrong with it may be a password in it
        wanted = "of the form https://host/v1, without a user, a query or a #"
        raise UnknownModel(f"{name.partition('@')[0]}: its base_url is not {wanted}")
    if base_url.rstrip("/") == OPENAI_URL:
        return Endpoint(extra={"service_tier": "default"})
    newest = name.startswith(f"{OPENAI}:") and "@http" not in name  # OpenAI's own models, at another address
    limit = OutputLimit.MAX_COMPLETION_TOKENS if newest else OutputLimit.MAX_TOKENS
    return Endpoint(base_url, needs_key=False, output_limit=limit)


def _is_plain(base_url: str) -> bool:
    try:
        url = urlsplit(base_url)
        has_place = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
    return has_place and "@" not in url.netloc and not url.query and not url.fragment


def _no_key() -> None:
    return None


def _example(prefix: str) -> str:
    return "answers.yaml" if prefix == SCRIPTED else "gpt-5"


def _not_known(name: str, prefix: str, prefixes: list[str]) -> str:
    shown = name if len(name) <= 100 else f"{name[:97]}..."
    close = get_close_matches(prefix.lower(), [EMBEDDED, *prefixes], n=1)
    if close and close[0] == prefix.lower() == EMBEDDED:
        return f"{shown}: the embedded model is called {EMBEDDED}, and nothing follows"
    meant = f"did you mean {close[0]}{'' if close[0] == EMBEDDED else ':' + _example(close[0])}?" if close else ""
    known = f"there are {EMBEDDED}, " + ", ".join(f"{each}:..." for each in dict.fromkeys(prefixes))
    return f"{shown} is not a model; {meant or known}"
