"""Encoded images of region models, kept on disk: image tokens and features for masks."""

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skycue.backbones.segmenter import MaskFeatures
from skycue.regions.clvnet import ClvNet, ImageTokens
from skycue.store import EncodingStore, WindowKey

REGION_ENCODING_VERSION = 1
"""Raised when frames or preprocessing change, so that older kept encodings are not used."""
_TOKENS, _COARSE, _LEVEL, _FINE = "tokens", "coarse", "level", "fine"


def image_fingerprint(network: ClvNet) -> str:
    """Return the SHA-256 of all that an encoded image depends on.

    That is the image encoder, the segmenter and the configuration, but neither language model nor
    mask decoder beside it: a model that goes on learning finds its images again.
    """
    digest = hashlib.sha256(network.config.model_dump_json().encode())
    digest.update(network.clip.fingerprint.encode())
    for name, tensor in sorted(network.segmenter.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()


class EncodedImage(NamedTuple):
    """An image as the encoders of a region model see it.

    Attributes:
        tokens: The whole image, for the language model.
        features: For masks; None where the segmenter sees windows around boxes instead.
    """

    tokens: ImageTokens
    features: MaskFeatures | None


class KeptImages:
    """The encoded images of one network in a store.

    Numbers come back bit for bit: an answer does not tell whether its image was kept.

    Attributes:
        reused: Images that were found.
        computed: Images that were encoded.
    """

    def __init__(self, store: EncodingStore, network: ClvNet, dtype: torch.dtype) -> None:
        """Name the place of a network's images.

        Args:
            store: Where they lie.
            network: What encodes them.
            dtype: Number format that it computes in.
        """
        self._store, self._network, self._dtype = store, network, dtype
        self.reused = self.computed = 0

    @cached_property
    def _space(self) -> str:
        dtype = str(self._dtype).removeprefix("torch.")
        return f"regions-{image_fingerprint(self._network)}-{dtype}-{REGION_ENCODING_VERSION}"

    def encode(
        self,
        rows: NDArray[np.uint8],
        key: WindowKey | None,
        compute: Callable[[NDArray[np.uint8]], EncodedImage],
    ) -> EncodedImage:
        """Return an encoded image, computed where it is not kept.

        Args:
            rows: RGB, [H, W, 3].
            key: Of the window that the pixels are; the hash of the pixels if not given.
            compute: Encodes the pixels.
        """
        space = f"{self._space}/{key.part}" if key else self._space
        name = str(key) if key else _hash_of_pixels(rows)
        fields = self._store.load_fields(space, name)
        if fields is not None:
            self.reused += 1
            return _unpacked(fields, self._network.clip.device)
        encoded = compute(rows)
        self._store.save_fields(space, name, _packed(encoded))
        self.computed += 1
        return encoded


def _packed(encoded: EncodedImage) -> dict[str, Tensor]:
    """Return the tensors of an encoded image by name."""
    tokens, features = encoded
    fields = {_TOKENS: tokens.tokens}
    fields |= {f"{_LEVEL}{n}": level for n, level in enumerate(tokens.levels)}
    if features is not None:
        fields[_COARSE] = features.coarse
        fields |= {f"{_FINE}{n}": level for n, level in enumerate(features.fine)}
    return fields


def _unpacked(fields: Mapping[str, Tensor], device: torch.device) -> EncodedImage:
    """Turn `_packed` around, on the network's device."""
    placed = {name: field.to(device) for name, field in fields.items()}
    levels, fine = (
        tuple(placed[f"{kind}{n}"] for n in range(len(placed)) if f"{kind}{n}" in placed)
        for kind in (_LEVEL, _FINE)
    )
    features = MaskFeatures(placed[_COARSE], fine) if _COARSE in placed else None
    return EncodedImage(ImageTokens(placed[_TOKENS], levels), features)


def _hash_of_pixels(rows: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(str(rows.shape).encode())
    digest.update(np.ascontiguousarray(rows).data)
    return digest.hexdigest()
