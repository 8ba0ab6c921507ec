"""METEOR and CIDEr of captions, by pycocoevalcap; what splits the words is part of the name.

METEOR (Banerjee and Lavie, 2005; version 1.5) is a Java program, and so is the Penn Treebank
tokenizer that published numbers are made with: its result is called `cider@ptb`. Without Java,
CIDEr (Vedantam et al., CVPR 2015, https://arxiv.org/abs/1411.5726; here CIDEr-D, as everywhere)
reads the words of a plain pattern and is called `cider@plain`; the two are not to be compared.
"""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from skycue.errors import MissingToolError

TokenizerName: TypeAlias = Literal["ptb", "plain"]

_PLAIN_WORD = re.compile(r"[a-z0-9]+(?:['.-][a-z0-9]+)*")
_JAR = "stanford-corenlp-3.4.1.jar"
_TIMEOUT_S = 600
_NO_WORDS = "nothing"  # METEOR answers nothing to a text without words


class CaptionScore(NamedTuple):
    """One number over all captions.

    Attributes:
        name: The measure and its tokenizer, such as "cider@ptb".
        value: CIDEr in [0, 10], METEOR in [0, 1].
    """

    name: str
    value: float


def has_java() -> bool:
    """Tell whether a Java runtime is on the path."""
    return shutil.which("java") is not None


def default_tokenizer() -> TokenizerName:
    """Return "ptb" where Java is installed, otherwise "plain"."""
    return "ptb" if has_java() else "plain"


def require_caption_tools(*, meteor: bool) -> None:
    """Say what is missing before anything is computed.

    Args:
        meteor: Whether METEOR is to be computed, which needs Java.

    Raises:
        MissingToolError: If pycocoevalcap is not installed, or Java where it is needed.
    """
    if importlib.util.find_spec("pycocoevalcap") is None:
        raise MissingToolError(
            "METEOR and CIDEr need pycocoevalcap, which is not installed: run "
            "`pip install 'skycue[evaluate]'`, or leave them out with --metrics."
        )
    if meteor and not has_java():
        raise MissingToolError(
            "METEOR needs Java, and there is no `java` on the path: install a Java runtime (8 or "
            "newer), or leave METEOR out with --metrics."
        )


def tokenize(texts: Sequence[str], tokenizer: TokenizerName) -> list[str]:
    """Split texts into lower-case words without punctuation, joined by single blanks.

    Args:
        texts: Captions.
        tokenizer: "ptb" is the Penn Treebank tokenizer of pycocoevalcap; "plain" takes runs of
            letters and digits, with hyphens, dots and apostrophes inside a word kept.

    Raises:
        MissingToolError: If "ptb" is asked for without Java or pycocoevalcap.
    """
    if tokenizer == "plain":
        return [" ".join(_PLAIN_WORD.findall(text.lower())) for text in texts]
    require_caption_tools(meteor=True)
    return _penn_treebank(texts) if texts else []


def cider(
    predicted: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenizer: TokenizerName | None = None,
) -> CaptionScore:
    """Return the mean CIDEr-D of captions; words are weighed by how rare the references have them.

    Args:
        predicted: One caption an item, N.
        references: One or more true captions an item, N.
        tokenizer: By default `default_tokenizer()`.

    Returns:
        A number in [0, 10] (published tables show it times 100), NaN without items.

    Raises:
        MissingToolError: If pycocoevalcap is not installed.
    """
    require_caption_tools(meteor=False)
    from pycocoevalcap.cider.cider import Cider  # imported when used: it is optional

    chosen = tokenizer or default_tokenizer()
    name = f"cider@{chosen}"
    if not predicted:
        return CaptionScore(name, float("nan"))
    answers, truths = _tokenized(predicted, references, chosen)
    value, _ = Cider().compute_score(truths, answers)
    return CaptionScore(name, float(value))


def meteor(predicted: Sequence[str], references: Sequence[Sequence[str]]) -> CaptionScore:
    """Return METEOR 1.5 of captions over all of them.

    Args:
        predicted: One caption an item, N.
        references: One or more true captions an item, N.

    Returns:
        A number in [0, 1], NaN without items.

    Raises:
        MissingToolError: If Java or pycocoevalcap is not installed.
    """
    require_caption_tools(meteor=True)
    from pycocoevalcap.meteor.meteor import Meteor  # imported when used: it is optional

    if not predicted:
        return CaptionScore("meteor@ptb", float("nan"))
    answers, truths = _tokenized(predicted, references, "ptb")
    answers = {item: [texts[0] or _NO_WORDS] for item, texts in answers.items()}
    scorer = Meteor()
    try:
        value, _ = scorer.compute_score(truths, answers)
    finally:
        scorer.meteor_p.stdout.close()  # it closes the third pipe and ends the process itself
        scorer.meteor_p.stderr.close()
    return CaptionScore("meteor@ptb", float(value))


def _tokenized(
    predicted: Sequence[str], references: Sequence[Sequence[str]], tokenizer: TokenizerName
) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Tokenize both sides at once and put them the way pycocoevalcap reads them."""
    owners = [item for item, texts in enumerate(references) for _ in texts]
    flat = [text for texts in references for text in texts]
    words = tokenize([*predicted, *flat], tokenizer)
    answers = {item: [text] for item, text in enumerate(words[: len(predicted)])}
    truths: dict[int, list[str]] = {item: [] for item in answers}
    for owner, text in zip(owners, words[len(predicted) :], strict=True):
        truths[owner].append(text)
    return answers, truths


def _penn_treebank(texts: Sequence[str]) -> list[str]:
    """Run the tokenizer that comes with pycocoevalcap, without its temporary file and messages."""
    from pycocoevalcap.tokenizer import ptbtokenizer

    # One line a text: whatever else Java may take for the end of a line becomes a blank.
    lines = "\n".join(" ".join(text.split()) for text in texts) + "\n"
    command = ["java", "-Dfile.encoding=UTF-8", "-cp", _JAR]
    command += ["edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    done = subprocess.run(
        command,
        cwd=Path(ptbtokenizer.__file__).parent,
        input=lines.encode(),
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    dropped = set(ptbtokenizer.PUNCTUATIONS)
    found = done.stdout.decode().split("\n")[: len(texts)]
    return [" ".join(word for word in line.split() if word not in dropped) for line in found]
