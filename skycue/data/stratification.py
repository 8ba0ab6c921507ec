"""Cut images that have several labels so that each class is cut like the whole.

Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011,
https://doi.org/10.1007/978-3-642-23808-6_10, algorithm 1. Where the paper draws among equals, the
order that the images are given in and the order of the parts decide; a caller shuffles first.
"""

from collections.abc import Sequence


def stratify(
    labels_of: Sequence[tuple[int, ...]], sizes: Sequence[int], fractions: Sequence[float]
) -> list[int]:
    """Choose a part for each unit: the rarest label that is left is dealt out first.

    Args:
        labels_of: Labels of N units; a unit may have none.
        sizes: Images that each unit stands for, N.
        fractions: Shares of the parts, which add up to 1; a part of share 0 gets nothing.

    Returns:
        The part of each unit, N indices into `fractions`.
    """
    labels = sorted({label for labels in labels_of for label in labels})
    members = {k: [n for n, own in enumerate(labels_of) if k in own] for k in labels}
    wanted = [fraction * sum(sizes) for fraction in fractions]
    wanted_of = {
        k: [fraction * sum(sizes[n] for n in members[k]) for fraction in fractions] for k in labels
    }
    open_parts = [part for part, fraction in enumerate(fractions) if fraction > 0]
    chosen: dict[int, int] = {}

    def place(unit: int, wishes: Sequence[float]) -> None:
        part = max(open_parts, key=lambda p: (wishes[p], wanted[p], -p))
        chosen[unit] = part
        wanted[part] -= sizes[unit]
        for k in labels_of[unit]:
            wanted_of[k][part] -= sizes[unit]

    left = {k: len(units) for k, units in members.items()}
    while left:
        rarest = min(left, key=lambda k: (left[k], k))
        for unit in members[rarest]:
            if unit not in chosen:
                place(unit, wanted_of[rarest])
                for k in labels_of[unit]:
                    if k in left:
                        left[k] -= 1
        del left[rarest]
    for unit in range(len(labels_of)):
        if unit not in chosen:
            place(unit, wanted)
    return [chosen[unit] for unit in range(len(labels_of))]
