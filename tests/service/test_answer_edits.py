"""Edited answers say no more than is true of all that they were made of."""

from skycue.service.answer_edits import merge
from skycue.service.exports import features_of
from skycue.service.records import ANSWER_EXAMPLE, AnswerRecord


def test_merged_answers_of_several_windows_name_none() -> None:
    one = AnswerRecord.model_validate(ANSWER_EXAMPLE)
    far = one.model_copy(update={"window": (4096, 0, 1024, 1024)})
    assert merge([one, one]).window == one.window
    merged = merge([one, far])
    assert (merged.window, merged.scale) == (None, None)
    assert len(merged.windows) == 2
    for feature in features_of([merged], "a.tif"):
        assert {feature.properties[name] for name in ("window_x", "scale")} == {None}
