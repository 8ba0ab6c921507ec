"""Class names that a text encoder can read, made from the names of folders.

Published prompts read "a photo of a denseresidential." because folder names are used as they are.
Cleaning changes results, so whoever scores with clean names says so.
"""

import re

# MLRSNet's folder is swimmimg_pool; one of its 60 labels is habor.
_SPELLINGS = {"swimmimg": "swimming", "habor": "harbor"}

# Words that datasets write together; found in the folder names of `data/datasets/`.
_JOINED = {
    "bareland": "bare land",
    "baseballdiamond": "baseball diamond",
    "baseballfield": "baseball field",
    "basketballcourt": "basketball court",
    "denseresidential": "dense residential",
    "footballfield": "football field",
    "golfcourse": "golf course",
    "groundtrackfield": "ground track field",
    "mediumresidential": "medium residential",
    "mobilehomepark": "mobile home park",
    "parkinglot": "parking lot",
    "parkingspace": "parking space",
    "railwaystation": "railway station",
    "runwaymarking": "runway marking",
    "solarpanel": "solar panel",
    "sparseresidential": "sparse residential",
    "storagetank": "storage tank",
    "storagetanks": "storage tanks",
    "swimmingpool": "swimming pool",
    "tenniscourt": "tennis court",
}

# Clean words that do not yet say what is meant: adjectives, and two classes in one folder.
_MEANINGS = {
    "agricultural": "agricultural land",
    "commercial": "commercial area",
    "industrial": "industrial area",
    "residential": "residential area",
    "annual crop": "annual crop land",  # EuroSAT
    "permanent crop": "permanent crop land",
    "sea lake": "sea or lake",
    "oil gas field": "oil and gas field",  # PatternNet
    "resident": "residential area",  # RSSCN7
}

_LEADING_LETTER = re.compile(r"^[a-z](?=[A-Z][a-z])")  # RSSCN7 numbers its folders: aGrass, bField
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS = re.compile(r"[_\-\s]+")


def clean_class_name(raw: str) -> str:
    """Return a folder's name as lower-case English words.

    Separators and capitals divide words, "&" is read as "and", compounds that remote-sensing sets
    write together are parted, MLRSNet's spelling is mended, and a few names are said in full. What
    is clean stays as it is.

    >>> [clean_class_name(raw) for raw in ("denseresidential", "AnnualCrop", "harbor&port")]
    ['dense residential', 'annual crop', 'harbor and port']
    """
    name = _CAMEL.sub(" ", _LEADING_LETTER.sub("", raw.strip()))
    words = _SEPARATORS.sub(" ", name.replace("&", " and ")).lower().split()
    clean = " ".join(_JOINED.get(word, _SPELLINGS.get(word, word)) for word in words)
    return _MEANINGS.get(clean, clean)


def clean_class_names(raw: tuple[str, ...]) -> tuple[str, ...]:
    """Return the clean name of each folder, in order."""
    return tuple(clean_class_name(name) for name in raw)
