"""Which sentences of some texts answer a question: BM25 over sentences, without a language model.

BM25: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with its usual k1 and b.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

K1, B = 1.2, 0.75
HEADING_WEIGHT = 0.5  # of a word that stands only in the heading above a sentence
MAX_QUOTES = 5
NEARLY = 0.5  # of the best score: what is not nearly as good is not quoted
MAX_SENTENCES = 20_000
MAX_QUESTION = 20_000  # characters that are looked at, and of them at most
MAX_WANTED = 32  # words
MIN_WORDS, MAX_CHARS = 3, 400  # of a sentence that is quoted
SAME = 0.8  # share of words from which two sentences are one
MAX_SOURCE = 120  # characters
CUT = "\ufffc"  # stands where a text was cut; a sentence that holds it is not whole, and is not quoted

_WORD = re.compile(r"\w+")
_COMMENT = re.compile(r"<!--(?:(?!-->)[\s\S]){0,2000}-->")  # bounded: an open comment is read once, not to the end
_LINK = re.compile(r"!?\[([^\[\]\n]{0,200})\]\([^()\s]{0,500}\)")
_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[^a-z\s])")
_MARKS = re.compile(r"^[\s>|*+#-]+|^\s*\d{1,3}[.)]\s+|[*`|]+")
_STOP_WORDS = frozenset(
    _WORD.findall("""a about after all also an and any are as at be been but by can could did do does done for from had
    has have how i if in into is it its me more most my no not of on one or other our out over she should so some such
    than that the their them then there these they this to under up us was we were what when where
    which while who whom whose why will with would you your may must might shall
    many much please tell explain describe find show give answer question
    aber als am an auf aus bei das dass dem den der des die ein eine einem einen einer es für hat ich im in ist kann
    mit nach nicht oder sie sind und von war was welche wenn wer wie wird wo zu zum zur""")
)


@dataclass(frozen=True, slots=True)
class Quotable:
    """A text that may be quoted (`CUT` where something is missing), the heading above it, and where it is from."""

    text: str
    heading: str
    source: str


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    words: Counter[str]
    heading: frozenset[str]
    source: str


def keywords(text: str) -> list[str]:
    """The words of a text that say what it is about, in its order, each once."""
    words = _WORD.findall(text[:MAX_QUESTION].casefold())
    telling = (word for word in words if word not in _STOP_WORDS and (len(word) > 1 or word.isdigit()))
    return list(dict.fromkeys(telling))[:MAX_WANTED]


def relevance(question: str, texts: Sequence[str]) -> list[float]:
    """How well each text matches a question, by BM25 among these texts; 0 is not at all."""
    wanted = set(map(_stem, keywords(question)))
    return _bm25(wanted, [_Sentence(text, _counted(text), frozenset(), "") for text in texts])


def quotes(question: str, passages: Sequence[Quotable]) -> list[tuple[str, str]]:
    """The sentences that match a question best, as (sentence, source), the best first, no two nearly the same."""
    wanted = set(map(_stem, keywords(question)))
    sentences = [sentence for passage in passages for sentence in _sentences(passage)][:MAX_SENTENCES]
    scores = _bm25(wanted, sentences)
    needed = 1 if len(wanted) < 3 else 2  # one word in common is chance, when many were asked for
    ranked = sorted(zip(scores, sentences, strict=True), key=lambda pair: -pair[0])
    chosen, best = list[_Sentence](), 0.0
    for score, sentence in ranked:
        if len(chosen) >= MAX_QUOTES or (chosen and score < NEARLY * best):
            break
        own = sentence.words.keys() & wanted
        if own and len(own | (sentence.heading & wanted)) >= needed and not any(_is_same(sentence, c) for c in chosen):
            best = best if chosen else score
            chosen.append(sentence)
    return [(sentence.text, sentence.source) for sentence in chosen]


def _bm25(wanted: set[str], sentences: Sequence[_Sentence]) -> list[float]:
    total = len(sentences)
    average = sum(sentence.words.total() for sentence in sentences) / total if total else 1.0
    rarity = {}
    for word in sorted(wanted):
        having = sum(word in sentence.words for sentence in sentences)
        rarity[word] = math.log(1 + (total - having + 0.5) / (having + 0.5))
    scores = []
    for sentence in sentences:
        norm = K1 * (1 - B + B * sentence.words.total() / max(average, 1.0))
        counts = {word: sentence.words[word] or HEADING_WEIGHT * (word in sentence.heading) for word in rarity}
        scores.append(sum(rarity[word] * n * (K1 + 1) / (n + norm) for word, n in counts.items() if n))
    return scores


def _sentences(passage: Quotable) -> list[_Sentence]:
    """Its sentences: Markdown headings become context, marks and links become text, code and tables are skipped."""
    found: list[_Sentence] = []
    source, heading, is_code = _clean(passage.source)[:MAX_SOURCE], passage.heading, False
    for paragraph in _paragraphs(_COMMENT.sub("", passage.text)):
        if paragraph.startswith(("```", "~~~")):
            is_code = not is_code
        elif paragraph.startswith("#"):
            heading, is_code = paragraph.lstrip("# "), False
        elif not is_code and not paragraph.startswith("|"):
            above = frozenset(_counted(heading))
            for part in _END.split(_LINK.sub(r"\1", paragraph)):
                text = _clean(part)
                if len(text.split()) >= MIN_WORDS and CUT not in part:
                    found.append(_Sentence(_shortened(text), _counted(text), above, source))
    return found


def _paragraphs(text: str) -> list[str]:
    """Lines that belong together, joined; headings, fences, list items and rows of tables stand alone."""
    found: list[str] = []
    is_open = False
    for raw in text.splitlines():
        line = raw.strip()
        stands_alone = line.startswith(("#", "```", "~~~", "|"))
        if is_open and line and not stands_alone and not re.match(r"[-*+>] |\d{1,3}[.)] ", line):
            found[-1] += f" {line}"
        elif line:
            found.append(line)
        is_open = bool(line) and not stands_alone
    return found


def _clean(text: str) -> str:
    """One line that cannot be taken for a citation of ours: no marks, no brackets, nothing unprintable."""
    plain = _MARKS.sub("", text).replace("[", "(").replace("]", ")")
    shown = plain if plain.isprintable() else "".join(c if c.isprintable() else " " for c in plain)
    return " ".join(shown.split())


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS].rsplit(' ', 1)[0]} ..."


def _counted(text: str) -> Counter[str]:
    return Counter(map(_stem, _WORD.findall(text.casefold())))


def _stem(word: str) -> str:
    """A word without the endings that English inflects it with: enough to match, not to print."""
    for ending in ("ings", "ing", "ies", "ied", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word[: -len(ending)] + ("y" if ending in ("ies", "ied") else "")
    return word.removesuffix("e") if len(word) > 3 else word


def _is_same(one: _Sentence, other: _Sentence) -> bool:
    either = one.words.keys() | other.words.keys()
    return len(one.words.keys() & other.words.keys()) >= SAME * len(either)
