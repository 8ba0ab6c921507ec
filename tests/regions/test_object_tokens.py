"""Found objects as tokens of a language model."""

import torch
from torch.testing import assert_close

from skycue.backbones.object_finder import FoundObjects
from skycue.regions.object_tokens import ObjectTokens

NEAR = torch.tensor([[0.5, 0.5], [0.5, 0.5]])


def found_objects() -> FoundObjects:
    generator = torch.Generator().manual_seed(1)
    boxes = torch.rand(2, 3, 4, generator=generator)
    chances = torch.tensor([[0.9, 0.5, 0.0], [0.8, 0.0, 0.0]])
    return FoundObjects(boxes, chances, torch.randn(2, 3, 5, generator=generator))


def test_padded_rows_say_nothing_but_their_number() -> None:
    torch.manual_seed(2)
    tokens = ObjectTokens(5, 16, 3)
    with torch.no_grad():
        said = tokens(found_objects(), NEAR)
    assert said.shape == (2, 3, 16)
    nothing = (tokens.nothing + tokens.order).detach()
    assert_close(said[0, 2], nothing[2])
    assert_close(said[1, 1:], nothing[1:])
    assert (said[0, 0] - said[0, 1]).abs().max() > 0.1


def test_places_are_told_as_seen_from_the_box() -> None:
    torch.manual_seed(2)
    tokens, found = ObjectTokens(5, 16, 3), found_objects()
    moved = found.boxes + torch.tensor([0.125, -0.25, 0.0, 0.0])
    with torch.no_grad():
        one = tokens(found, NEAR)
        other = tokens(found._replace(boxes=moved), NEAR + torch.tensor([0.125, -0.25]))
        elsewhere = tokens(found._replace(boxes=moved), NEAR)
    assert_close(one, other)
    assert (one - elsewhere)[0, 0].abs().max() > 0.01
