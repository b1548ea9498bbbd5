"""What a text of a policy is answered with: the lines of its mistakes, or of its notes."""

from textwrap import dedent

import pytest

from bridle.config import BadPolicy, load_policy


def complaints(text: str) -> list[str]:
    """The mistakes of a policy, one a line, without the name of the file."""
    with pytest.raises(BadPolicy) as caught:
        load_policy(dedent(text) + "\n")
    lines = str(caught.value).split("\n")
    assert lines == [str(mistake) for mistake in caught.value.mistakes]
    return [line.removeprefix("policy:") for line in lines]


def notes(text: str) -> list[str]:
    """The notes on a good policy, without the name of the file."""
    return [str(note).removeprefix("policy:") for note in load_policy(dedent(text) + "\n").notes]
