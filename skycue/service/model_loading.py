"""How the server loads its models: where they compute, and what they share."""

import threading
from functools import cached_property
from pathlib import Path

import torch

from skycue.backbones.clip import Clip
from skycue.backbones.pretrained import load_clip
from skycue.inference import SceneClassifier
from skycue.region_describer import RegionDescriber
from skycue.region_store import KeptImages
from skycue.store import EncodingStore


class ModelLoading:
    """Loads models for one device and number format, with one store of encodings."""

    def __init__(
        self,
        *,
        region_model: str = "mini",
        backbone: str = "mini",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        encodings: Path | None = None,
        encodings_bytes: int = 0,
    ) -> None:
        """Remember what to load; nothing is loaded yet.

        Args:
            region_model: Name of the region model.
            backbone: Name of the CLIP on which users fit classifiers.
            device: Where to compute.
            dtype: Number format to compute in.
            encodings: Folder of kept encodings; None keeps none.
            encodings_bytes: Its size.
        """
        self.region_model, self.backbone = region_model, backbone
        self.device, self.dtype = torch.device(device), dtype
        self.store = None
        if encodings is not None:
            self.store = EncodingStore(encodings, max_bytes=encodings_bytes)
        self._lock = threading.Lock()

    def clip(self) -> Clip:
        """Return the backbone that all fits share, loaded once."""
        with self._lock:
            return self._clip

    def describer(self) -> RegionDescriber:
        """Load the region model."""
        describer = RegionDescriber.load(self.region_model, device=self.device, dtype=self.dtype)
        if self.store is not None:
            describer.kept = KeptImages(self.store, describer.network, self.dtype)
        return describer

    def classifier(self, folder: Path) -> SceneClassifier:
        """Load a fitted classifier."""
        classifier = SceneClassifier.load(folder, device=self.device, dtype=self.dtype)
        classifier.encoder.store = self.store
        return classifier

    @cached_property
    def _clip(self) -> Clip:
        return load_clip(self.backbone, self.device)
