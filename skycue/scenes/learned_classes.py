"""Methods that are bound to the classes they learned: where a class stands among them."""

from collections.abc import Sequence

from skycue.errors import NewClassesError


def places_of(class_names: Sequence[str], learned: Sequence[str], method: str) -> list[int]:
    """Return the place of each class in the list of those that were learned.

    Args:
        class_names: C names.
        learned: Names of the classes that the method was fitted on.
        method: What the method is called in the message.

    Raises:
        NewClassesError: If a class was not fitted on.
    """
    new = [name for name in class_names if name not in learned]
    if new:
        raise NewClassesError(
            f"{method} scores only the {len(learned)} classes that it was fitted on; {new[0]!r} is "
            "none of them. Fit it on all classes, or use a method that reads class names, such as "
            "coop, bimors or zero-shot."
        )
    return [learned.index(name) for name in class_names]
