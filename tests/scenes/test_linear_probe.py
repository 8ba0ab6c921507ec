"""Linear probe: separates what is separable, keeps to its classes, survives a round trip."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.errors import CheckpointError, NewClassesError
from skycue.scenes.base import ImageInputs
from skycue.scenes.linear_probe import LinearProbe, LinearProbeConfig

CLASSES = ["harbor", "storage tank", "forest"]


def clustered_embeddings(n_classes: int, per_class: int, width: int) -> tuple[ImageInputs, Tensor]:
    generator = torch.Generator().manual_seed(5)
    centres = torch.randn(n_classes, width, generator=generator)
    labels = torch.arange(n_classes).repeat_interleave(per_class)
    noise = 0.2 * torch.randn(len(labels), width, generator=generator)
    return ImageInputs(embedding=F.normalize(centres[labels] + noise, dim=-1)), labels


@pytest.mark.parametrize("per_class", [1, 2, 6])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_clusters_are_told_apart(n_classes: int, per_class: int, tiny_clip: Clip) -> None:
    inputs, labels = clustered_embeddings(n_classes, per_class, tiny_clip.config.embed_dim)
    probe = LinearProbe(tiny_clip, LinearProbeConfig())
    probe.solve(inputs, labels, CLASSES[:n_classes])
    assert torch.equal(probe(inputs, CLASSES[:n_classes]).argmax(-1), labels)


def test_two_class_probabilities_equal_those_of_scikit_learn(tiny_clip: Clip) -> None:
    from sklearn.linear_model import LogisticRegression

    inputs, labels = clustered_embeddings(2, 6, tiny_clip.config.embed_dim)
    probe = LinearProbe(tiny_clip, LinearProbeConfig(inverse_penalty=10.0))
    probe.solve(inputs, labels, CLASSES[:2])
    features = inputs.require("embedding").double().numpy()
    reference = LogisticRegression(C=10.0, max_iter=1000).fit(features, labels.numpy())
    expected = torch.from_numpy(reference.predict_proba(features)).float()
    assert_close(probe(inputs, CLASSES[:2]).softmax(-1), expected, rtol=1e-4, atol=1e-5)


def test_a_class_it_was_not_fitted_on_is_refused_by_name(tiny_clip: Clip) -> None:
    inputs, labels = clustered_embeddings(3, 2, tiny_clip.config.embed_dim)
    probe = LinearProbe(tiny_clip, LinearProbeConfig())
    probe.solve(inputs, labels, CLASSES)
    with pytest.raises(NewClassesError, match=r"only the 3 classes .* 'beach' is none of them"):
        probe(inputs, ["harbor", "beach"])


def test_classes_can_be_asked_for_in_any_order(tiny_clip: Clip) -> None:
    inputs, labels = clustered_embeddings(3, 2, tiny_clip.config.embed_dim)
    probe = LinearProbe(tiny_clip, LinearProbeConfig())
    probe.solve(inputs, labels, CLASSES)
    assert_close(probe(inputs, CLASSES[::-1]), probe(inputs, CLASSES).flip(-1))


def test_a_loaded_probe_scores_the_same_and_wrong_shapes_are_refused(tiny_clip: Clip) -> None:
    inputs, labels = clustered_embeddings(3, 2, tiny_clip.config.embed_dim)
    probe = LinearProbe(tiny_clip, LinearProbeConfig())
    probe.solve(inputs, labels, CLASSES)
    again = LinearProbe(tiny_clip, LinearProbeConfig())
    again.load_learned_state(probe.learned_state(), CLASSES)
    assert torch.equal(again(inputs, CLASSES), probe(inputs, CLASSES))
    with pytest.raises(CheckpointError, match="a linear probe holds"):
        again.load_learned_state(probe.learned_state(), CLASSES[:2])
