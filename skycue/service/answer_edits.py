"""What a user changes of answers: names, deletions, and what belongs together.

Each edit is a function of the answers it touches; `answer_log.py` keeps what was before.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from skycue.errors import NotFoundError
from skycue.geo.georeference import GeoReference
from skycue.geo.rings import unite
from skycue.service.answer_records import placed
from skycue.service.names import new_id
from skycue.service.records import AnswerRecord, PhraseView


def rename(answer: AnswerRecord, phrase: int | None, name: str | None) -> AnswerRecord:
    """Name an answer, or a phrase of it; None takes the name away.

    Raises:
        NotFoundError: If there is no such phrase.
    """
    if phrase is None:
        return answer.model_copy(update={"name": name})
    named = _phrase(answer, phrase).model_copy(update={"name": name})
    phrases = (*answer.phrases[:phrase], named, *answer.phrases[phrase + 1 :])
    return answer.model_copy(update={"phrases": phrases})


def without_phrase(answer: AnswerRecord, phrase: int) -> AnswerRecord:
    """Take a phrase and its mask away; the caption keeps its words.

    Raises:
        NotFoundError: If there is no such phrase.
    """
    _phrase(answer, phrase)
    return _with_phrases(answer, [n for n in range(len(answer.phrases)) if n != phrase])


def merge_phrases(
    answer: AnswerRecord, chosen: Sequence[int], georeference: GeoReference | None
) -> AnswerRecord:
    """Unite the masks of phrases into that of the first; it is as sure as the least sure of them.

    Raises:
        NotFoundError: If there is no such phrase.
    """
    first, *others = dict.fromkeys(chosen)
    members = [_phrase(answer, number) for number in (first, *others)]
    united = placed(members[0], unite(phrase.outline for phrase in members), georeference)
    united = united.model_copy(update={"score": min(phrase.score for phrase in members)})
    phrases = (*answer.phrases[:first], united, *answer.phrases[first + 1 :])
    whole = answer.model_copy(update={"phrases": phrases})
    if answer.prompted in others:
        whole = whole.model_copy(update={"prompted": first})
    return _with_phrases(whole, [n for n in range(len(phrases)) if n not in others])


def merge(answers: Sequence[AnswerRecord]) -> AnswerRecord:
    """Make one answer of several: captions and phrases follow each other, boxes are united."""
    caption, phrases, flags = "", list[PhraseView](), list[str]()
    prompted = None
    for answer in answers:
        if answer.prompted is not None and prompted is None:
            prompted = len(phrases) + answer.prompted
        caption = f"{caption} " if caption and answer.caption else caption
        start = len(caption)
        for phrase in answer.phrases:
            span = (phrase.span[0] + start, phrase.span[1] + start)
            phrases.append(phrase.model_copy(update={"span": span}))
        caption += answer.caption
        flags += [flag for flag in answer.flags if flag not in flags]
    boxes = [answer.box for answer in answers]
    box = (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
    names = [answer.name for answer in answers if answer.name is not None]
    is_one_window = len({(answer.window, answer.scale) for answer in answers}) == 1
    return answers[0].model_copy(
        update={
            "id": new_id("a"),
            "name": names[0] if names else None,
            "box": box,
            "caption": caption,
            "phrases": tuple(phrases),
            "prompted": prompted,
            "flags": tuple(flags),
            "windows": tuple(window for answer in answers for window in answer.windows),
            "window": answers[0].window if is_one_window else None,
            "scale": answers[0].scale if is_one_window else None,
            "created_at": datetime.now(UTC),
        }
    )


def _phrase(answer: AnswerRecord, number: int) -> PhraseView:
    if number >= len(answer.phrases):
        raise NotFoundError(
            f"the answer has no phrase {number}: it has {len(answer.phrases)}, counted from 0."
        )
    return answer.phrases[number]


def _with_phrases(answer: AnswerRecord, kept: Sequence[int]) -> AnswerRecord:
    """Keep some phrases, by number in their order."""
    prompted = kept.index(answer.prompted) if answer.prompted in kept else None
    phrases = tuple(answer.phrases[number] for number in kept)
    return answer.model_copy(update={"phrases": phrases, "prompted": prompted})
