"""What pydantic finds wrong with a request, in words for the one who wrote it."""

from collections.abc import Mapping, Sequence
from typing import Any

from skycue.web.schemas import CRS_PATTERN, ID_PATTERN, NAME_PATTERN

MAX_VALUE = 40
"""Characters of a value that is told."""
WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "union_tag_not_found": "needs {discriminator}, which says what it is",
    "union_tag_invalid": "has {discriminator} {tag!r}; one of {expected_tags} is allowed",
    "literal_error": "is {value}; {expected} is allowed",
    "string_type": "is {value}; a text is needed",
    "string_too_short": "is {value}; at least {min_length} characters are needed",
    "string_too_long": "has more than {max_length} characters",
    "int_type": "is {value}; a whole number is needed",
    "int_parsing": "is {value}; a whole number is needed",
    "int_from_float": "is {value}; a whole number is needed",
    "float_type": "is {value}; a number is needed",
    "float_parsing": "is {value}; a number is needed",
    "finite_number": "is {value}; a finite number is needed",
    "greater_than": "is {value}; it must exceed {gt}",
    "greater_than_equal": "is {value}; {ge} is the least",
    "less_than": "is {value}; it must be less than {lt}",
    "less_than_equal": "is {value}; {le} is the most",
    "list_type": "is {value}; a list is needed",
    "tuple_type": "is {value}; a list is needed",
    "too_short": "has {actual_length} entries; {min_length} are the least",
    "too_long": "has more than {max_length} entries",
    "dict_type": "is {value}; an object is needed",
    "model_type": "is {value}; an object is needed",
    "model_attributes_type": "is {value}; an object is needed",
    "value_error": "is not allowed: {error}",
}
"""By pydantic's name of the problem; in braces, what it knows of it."""
WORDS_OF_PATTERN = {
    ID_PATTERN: "is no id: take one that the server gave",
    NAME_PATTERN: "is {value}; a name holds no line breaks and no control characters",
    CRS_PATTERN: "must be `pixels` or an authority's code such as EPSG:4326",
}


def in_words(problem: Mapping[str, Any]) -> str:
    """Say what is wrong with a request, such as `boxes[0].box[3] is missing`.

    Args:
        problem: One entry of `errors()` of a validation error.
    """
    kind, known = problem["type"], problem.get("ctx", {})
    if kind == "json_invalid":
        return f"the body is no JSON: {known.get('error', 'it ends too soon')}"
    words = WORDS.get(kind)
    if kind == "string_pattern_mismatch":
        words = WORDS_OF_PATTERN.get(known["pattern"])
    place = _place(problem["loc"])
    if words is None:
        return f"{place}: {problem['msg']}"
    return f"{place} {words.format_map({**known, 'value': _value(problem.get('input'))})}"


def _place(parts: Sequence[str | int]) -> str:
    """Return where a problem is, without the part of the request that pydantic names first."""
    place = ""
    for part in parts[1:]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
    return place or f"the {parts[0]}"


def _value(value: object) -> str:
    if isinstance(value, (dict, list, tuple)):
        return "an object" if isinstance(value, dict) else "a list"
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."
