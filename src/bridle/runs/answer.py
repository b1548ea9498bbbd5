"""Whether what a model said last is an answer of the declared form."""

from dataclasses import dataclass

from bridle.gateway.schemas import Schema
from bridle.rules import strict_json
from bridle.rules.prompt import ModelReply
from bridle.rules.strict_json import BadJson

NO_ANSWER = "The answer was empty. Say what you found, or say plainly that you found nothing."
MAX_ANSWER = 1_000_000  # bytes


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """The value, or what is wrong with it as a sentence that the model can act on."""

    value: object
    is_valid: bool = True
    error: str = ""


def read_answer(reply: ModelReply, output: object) -> FinalAnswer:
    """Text as it is where no output type is declared; else strict JSON of that type."""
    text = reply.text.strip()
    if not text:
        return FinalAnswer(None, is_valid=False, error=NO_ANSWER)
    if output is None:
        return FinalAnswer(text)
    try:
        value = strict_json.parse(_unfenced(text), max_bytes=MAX_ANSWER)
    except BadJson as error:
        return FinalAnswer(None, is_valid=False, error=f"Answer with one JSON value and nothing else. {error}")
    errors = Schema.of(output).errors(value)
    if errors:
        return FinalAnswer(
            None, is_valid=False, error=f"The answer has another form than was asked for: {'; '.join(errors)}"
        )
    return FinalAnswer(value)


def _unfenced(text: str) -> str:
    """JSON out of the code fence that models like to put around it."""
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text.split("\n", 1)[1].removesuffix("```").strip()
    return text
