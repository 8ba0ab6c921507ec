"""METEOR and CIDEr: a plain-loop CIDEr-D, hand-worked tokens, and what is said without Java."""

import importlib.util
import math
import shutil
from collections import Counter

import pytest

from skycue.errors import MissingToolError
from skycue.metrics.captions import (
    cider,
    default_tokenizer,
    meteor,
    require_caption_tools,
    tokenize,
)

PREDICTED = [
    "a large ship in the upper left of the image",
    "two airplanes next to a small airplane",
    "a storage tank among storage tanks storage tank",
]
REFERENCES = [
    ["a large ship lies in the upper left", "a ship in a harbor"],
    ["an airplane next to two small airplanes"],
    ["a small storage tank among nine storage tanks"],
]


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)


def grams_of(text: str, n: int) -> Counter[tuple[str, ...]]:
    words = text.split()
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def looped_cider(predicted: list[str], references: list[list[str]]) -> float:
    """CIDEr-D as its paper writes it: clipped tf-idf cosine of 1- to 4-grams, length penalty."""
    total = 0.0
    for text, truths in zip(predicted, references, strict=True):
        for truth in truths:
            for n in range(1, 5):
                weights = []
                for side in (text, truth):
                    weighed = {}
                    for gram, count in grams_of(side, n).items():
                        holders = sum(
                            any(gram in grams_of(each, n) for each in item) for item in references
                        )
                        weighed[gram] = count * math.log(len(references) / max(holders, 1))
                    weights.append(weighed)
                ours, true = weights
                dot = sum(min(ours[gram], true[gram]) * true[gram] for gram in ours if gram in true)
                norms = [math.sqrt(sum(w * w for w in side.values())) for side in weights]
                cosine = dot / (norms[0] * norms[1]) if all(norms) else 0.0
                # pycocoevalcap takes the number of 2-grams for the length; the gap is the same.
                gap = len(text.split()) - len(truth.split())
                total += 10 * cosine * math.exp(-(gap**2) / (2 * 6.0**2)) / 4 / len(truths)
    return total / len(predicted)


def test_cider_is_that_of_plain_loops() -> None:
    score = cider(PREDICTED, REFERENCES, "plain")
    assert score.name == "cider@plain"
    assert 0.1 < score.value < 10
    assert score.value == pytest.approx(looped_cider(PREDICTED, REFERENCES), abs=1e-9)


def test_cider_of_the_references_themselves_is_10() -> None:
    texts = ["a ship in a harbor", "nine storage tanks in a row", "an airplane on an apron"]
    assert cider(texts, [[text] for text in texts], "plain").value == pytest.approx(10)


def test_cider_of_captions_without_a_common_word_is_0() -> None:
    assert cider(["a b c", "d e f"], [["g h i"], ["j k l"]], "plain").value == 0


def test_an_empty_caption_scores_0_and_no_captions_are_not_a_number() -> None:
    assert cider(["", ""], [["a ship"], ["a tank"]], "plain").value == 0
    assert math.isnan(cider([], [], "plain").value)


def test_plain_words_are_lower_case_without_punctuation() -> None:
    texts = ["The left-most ship, near 2.5 tanks.", "", "It's a car; (red)!"]
    assert tokenize(texts, "plain") == ["the left-most ship near 2.5 tanks", "", "it's a car red"]


@pytest.mark.usefixtures("no_java")
def test_without_java_cider_says_that_it_read_plain_words() -> None:
    assert default_tokenizer() == "plain"
    assert cider(PREDICTED, REFERENCES).name == "cider@plain"


@pytest.mark.usefixtures("no_java")
def test_without_java_meteor_is_refused_in_one_line() -> None:
    with pytest.raises(MissingToolError, match=r"METEOR needs Java.* install") as caught:
        meteor(PREDICTED, REFERENCES)
    assert "\n" not in str(caught.value)
    with pytest.raises(MissingToolError, match="needs Java"):
        tokenize(["a ship"], "ptb")


def test_without_pycocoevalcap_cider_is_refused_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingToolError, match=r"pip install 'skycue\[evaluate\]'"):
        require_caption_tools(meteor=False)


@pytest.mark.java
def test_penn_treebank_words_are_those_of_pycocoevalcap(capfd: pytest.CaptureFixture[str]) -> None:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    texts = ["The left-most ship, near 2.5 tanks.", "It's a car; (red)!", "", "Café au coin, 3 m"]
    ours = tokenize(texts, "ptb")
    assert capfd.readouterr() == ("", "")
    assert ours[:2] == ["the left-most ship near 2.5 tanks", "it 's a car -lrb- red -rrb-"]
    theirs = PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(texts)})
    assert ours == [theirs[i][0] for i in range(len(texts))]


@pytest.mark.slow  # it reads tables of paraphrases each time
@pytest.mark.java
def test_meteor_of_the_references_is_1_and_an_empty_caption_lowers_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    texts = ["a ship in a harbor", "nine storage tanks in a row"]
    same = meteor(texts, [[text] for text in texts])
    assert same.name == "meteor@ptb"
    assert same.value == pytest.approx(1.0, abs=1e-6)
    one_empty = meteor(["", texts[1]], [[text] for text in texts])
    assert 0.2 < one_empty.value < 0.8
    assert capfd.readouterr() == ("", "")


@pytest.mark.java
def test_cider_with_java_says_penn_treebank() -> None:
    assert cider(PREDICTED, REFERENCES).name == "cider@ptb"
