"""Random numbers that are a function of where they are used, not of what ran before."""

import hashlib

import torch


def generator_at(seed: int, *place: int | str) -> torch.Generator:
    """Return a CPU generator for one place of a run, such as `(seed, epoch, image)`.

    The same seed and place give the same numbers in any order, in any process, on any machine;
    that is what lets a killed run go on as if it had never stopped.
    """
    name = "/".join(str(part) for part in (seed, *place))
    digest = hashlib.sha256(name.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
