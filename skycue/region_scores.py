"""The numbers that a region model gets: their names, what each means, and a page of them."""

import math

from skycue.config import Config

COLUMNS: dict[str, str] = {
    "meteor": "METEOR of the captions",
    "cider": "CIDEr of the captions",
    "cider_of_class_and_box": "CIDEr of the rules that know only the true class and the box",
    "glamm_ap50": "AP50 of all phrases' masks as published for GLaMM: every score is 1",
    "ap50": "AP50 of all phrases' masks, with the model's scores and without empty masks",
    "glamm_miou": "mean IoU of greedy pairs as published for GLaMM: unpaired masks cost nothing",
    "miou": "mean IoU of the best one-to-one pairs, unpaired masks on either side counting 0",
    "glamm_recall": "phrases found by mask and text as published for GLaMM: greedy, ends early",
    "recall": "phrases found by mask and text, every pair tried",
    "p_iou": "IoU of the prompted object's mask with the object in the box (P-IoU)",
    "class_accuracy": "answers whose prompted phrase names the true class",
    "shuffled_p_iou": "P-IoU when the box is another object's of the same image; low is right",
    "look_alike_confusion": "of prompts with a like object near, masks that rather cover that one",
    "relation_accuracy": "relations and counts in the captions that hold in the ground truth",
    "jittered_p_iou": "P-IoU when each side of the box moves by up to a tenth of its extent",
}
"""Each column and its meaning; what it was computed with follows its name behind an @."""


class RegionScores(Config):
    """How well a model described boxes."""

    model: str
    """Name and hash of the model."""
    records: str
    """Where the boxes come from."""
    n_records: int
    """Boxes described."""
    n_images: int
    """Images that they lie on."""
    seed: int
    """Of shuffled and jittered boxes."""
    columns: dict[str, float | None]
    """Numbers by column name (`COLUMNS`); shares in [0, 1], CIDEr in [0, 10]; None of nothing."""
    counts: dict[str, int]
    """What was left out or looked at, in words."""

    def markdown(self) -> str:
        """Return a page with all numbers, times 100 as published tables have them."""
        lines = [
            f"# Region evaluation of {self.model}",
            "",
            f"{self.n_records} boxes on {self.n_images} images of {self.records}; seed {self.seed} "
            "for shuffled and jittered boxes. All numbers are times 100.",
            "",
            "| column | value | meaning |",
            "| --- | ---: | --- |",
        ]
        for name, value in self.columns.items():
            shown = "not applicable" if value is None else f"{100 * value:.1f}"
            lines.append(f"| {name} | {shown} | {meaning_of(name)} |")
        lines += ["", "| looked at or left out | |", "| --- | ---: |"]
        lines += [f"| {words} | {count} |" for words, count in self.counts.items()]
        return "\n".join(lines) + "\n"


def meaning_of(column: str) -> str:
    """Return what a column says, with what it was computed with."""
    name, _, used = column.partition("@")
    return f"{COLUMNS[name]} ({used})" if used else COLUMNS[name]


def known(value: float) -> float | None:
    """Return a number as JSON can hold it: None in place of NaN."""
    return None if math.isnan(value) else value
