"""The classifier of scenes that users hold in Python: fit, save, load, predict."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from skycue.backbones.pretrained import load_clip
from skycue.data.few_shot import draw, draw_at_most
from skycue.data.scenes import SceneItem, is_multi_label
from skycue.data.splits import load_split
from skycue.encoding import SceneEncoder
from skycue.errors import DatasetError, NewClassesError
from skycue.fitting import IMAGES_AT_ONCE, fit_method, labels_of, logits_of, open_encoder
from skycue.label_scores import LabelScores, choose_label_scores
from skycue.metrics.multi_label import mean_average_precision
from skycue.model_folder import (
    FitFacts,
    ModelRecord,
    hash_of_bytes,
    installed_versions,
    learned_bytes,
    read_model,
    write_model,
)
from skycue.scene_config import (
    SceneConfig,
    config_of,
    prompt_names,
    require_known_descriptions,
    with_multi_label,
)
from skycue.scenes.asymmetric import MultiLabelConfig
from skycue.scenes.base import ImageInputs, PromptMethod
from skycue.scenes.registry import METHODS, build_method
from skycue.store import EncodingStore
from skycue.training import StepRecord


class SceneClassifier:
    """A fitted prompt method with its backbone and its classes.

    Attributes:
        method: What scores images.
        encoder: What encodes them.
        config: Method, training and names, complete.
        class_names: Names of the classes as their folders say.
        facts: How the classifier came about.
        backbone: Name that the backbone was loaded by.
        label_scores: How logits become probabilities and labels, where images show several
            classes; None where each image is of one class.
    """

    def __init__(
        self,
        method: PromptMethod,
        encoder: SceneEncoder,
        config: SceneConfig,
        class_names: Sequence[str],
        facts: FitFacts,
        backbone: str = "",
        label_scores: LabelScores | None = None,
    ) -> None:
        self.method = method
        self.encoder = encoder
        self.config = config
        self.class_names = tuple(class_names)
        self.facts = facts
        self.backbone = backbone
        self.label_scores = label_scores

    @classmethod
    def fit(
        cls,
        data: Path | str,
        *,
        method: str = "bimors",
        shots: int = 16,
        seed: int = 1,
        backbone: str = "mini",
        config: SceneConfig | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        cache: Path | None = None,
        state: Path | None = None,
    ) -> Self:
        """Learn the classes of a folder from a few images of each.

        Args:
            data: A dataset's folder: a folder for each class in it, or images with a file of their
                labels (`data.label_files`).
            method: Name of the method; `config` takes its place.
            shots: Images of each class to learn from, K; none are used where nothing is learned.
            seed: Of the draw, of the random starts and of the batches.
            backbone: `mini`, a folder or a hub name.
            config: Method and training in full.
            device: Where to compute.
            dtype: Number format to compute in.
            cache: Folder that keeps encodings for the next call; None keeps none.
            state: File that keeps the training state, to go on from after a kill.

        Raises:
            SkycueError: Of the kind that fits what is wrong with data, options or backbone; the
                images are checked, all at once, before anything else is done.
        """
        data = Path(data)
        config = config or config_of(method)
        split = load_split(data)
        require_known_descriptions(config, [split.class_names])
        items = draw(split.train, shots, seed, split.class_names) if _learns(config) else ()
        validation = draw_at_most(split.val, config.validation_shots, seed)
        store = EncodingStore(cache) if cache is not None else None
        clip = load_clip(backbone, device)
        encoder = open_encoder(clip, config, backbone=backbone, store=store, dtype=dtype, root=data)
        fitted = cls.fit_items(
            items,
            split.class_names,
            config,
            encoder=encoder,
            seed=seed,
            validation=validation,
            state=state,
            backbone=backbone,
        )
        told = {"shots": shots if items else 0, "split_sha256": split.sha256}
        fitted.facts = fitted.facts.model_copy(update=told | fitted._validated(validation))
        return fitted

    @classmethod
    def fit_items(
        cls,
        items: Sequence[SceneItem],
        class_names: Sequence[str],
        config: SceneConfig,
        *,
        encoder: SceneEncoder,
        seed: int,
        validation: Sequence[SceneItem] = (),
        state: Path | None = None,
        backbone: str = "",
        after_step: Callable[[StepRecord], None] | None = None,
    ) -> Self:
        """Learn from a list of images; see `fitting.fit_method`.

        Where images show several classes, thresholds are chosen on the validation images, or on
        the training images if there are none.

        Args:
            items: Images to learn from; their labels index into `class_names`.
            class_names: Names of the classes as their folders say.
            config: Method and training.
            encoder: Encodes the images.
            seed: Of the random starts and of the batches.
            validation: Images to choose an epoch by, where the configuration says so.
            state: File that keeps the training state, to go on from after a kill.
            backbone: Name that the backbone was loaded by, to be recorded.
            after_step: Told about each step of training; what it raises ends the training.

        Raises:
            ConfigError: If `multi_label` is set and images have one label each.
            DatasetError: If images show several classes and there is none to choose thresholds on.
        """
        several = is_multi_label((*items, *validation))
        config = with_multi_label(config, images_show_several=several)
        fitted = fit_method(
            items,
            prompt_names(class_names, config),
            config,
            encoder=encoder,
            seed=seed,
            validation=validation,
            state=state,
            after_step=after_step,
        )
        facts = FitFacts(
            seed=seed,
            n_train=len(items),
            epochs=fitted.epochs,
            interpolation=fitted.interpolation,
        )
        classifier = cls(fitted.method, encoder, fitted.config, class_names, facts, backbone)
        if several:
            classifier._choose_label_scores(items, validation)
        return classifier

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        backbone: str | None = None,
        captions: str | None = None,
        cache: Path | None = None,
        batch_size: int | None = None,
    ) -> Self:
        """Load a classifier that `save` or `skycue fit` wrote.

        Args:
            folder: The model's folder.
            device: Where to compute.
            dtype: Number format to compute in.
            backbone: Where the backbone lies now, if not where it lay when fitted.
            captions: Source of captions of the new images, where it is not the one learned from.
            cache: Folder that keeps encodings; None keeps none.
            batch_size: Images encoded at once; as when it was fitted, if not given.

        Raises:
            CheckpointError: If the folder is incomplete or damaged.
            BackboneMismatchError: If the backbone is another than the one fitted with.
            CaptionError: If captions are made in another way than those learned from.
        """
        record, learned = read_model(Path(folder))
        config = record.config
        if captions is not None:
            config = config.model_copy(update={"captions": captions})
        name = backbone or record.backbone
        clip = load_clip(name, device)
        record.require_backbone(name, clip.fingerprint)
        store = EncodingStore(cache) if cache is not None else None
        encoder = open_encoder(
            clip, config, backbone=name, store=store, dtype=dtype, batch_size=batch_size
        )
        record.require_captions(
            encoder.captions.settings if encoder.captions else None,
            encoder.sentence.settings if encoder.sentence else None,
        )
        method = build_method(clip, config.method).eval()
        method.load_learned_state(learned, record.prompt_names)
        names, scores = record.class_names, record.label_scores
        return cls(method, encoder, config, names, record.fit, name, scores)

    def save(self, folder: Path | str) -> None:
        """Write the classifier into a folder: what was learned, not the backbone."""
        content = learned_bytes(self.method.learned_state())
        write_model(Path(folder), self._record_with(content), content)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides its probabilities: what was learned, backbone, captions."""
        told = {"fit", "versions", "backbone"}  # how it came about does not decide
        return hash_of_bytes(self.record().model_dump_json(exclude=told).encode())

    def record(self) -> ModelRecord:
        """Return all that the `config.json` of its folder says."""
        return self._record_with(learned_bytes(self.method.learned_state()))

    def _record_with(self, content: bytes) -> ModelRecord:
        """Return what is recorded of the classifier beside the content of its learned file."""
        captions, sentence = self.encoder.captions, self.encoder.sentence
        return ModelRecord(
            config=self.config,
            class_names=self.class_names,
            prompt_names=prompt_names(self.class_names, self.config),
            backbone=self.backbone,
            backbone_fingerprint=self.encoder.clip.fingerprint,
            captions=captions.settings if captions else None,
            sentence_encoder=sentence.settings if sentence else None,
            label_scores=self.label_scores,
            fit=self.facts,
            learned_sha256=hash_of_bytes(content),
            versions=installed_versions(),
        )

    @property
    def n_learned(self) -> int:
        """Numbers that were learned."""
        if self.method.trains == "solver":
            return sum(tensor.numel() for tensor in self.method.learned_state().values())
        return sum(p.numel() for p in self.method.learned_parameters().values())

    def predict(
        self, images: Iterable[Path | str], class_names: Sequence[str] | None = None
    ) -> list[dict[str, float]]:
        """Return for each image file the probability of each class, the most probable first.

        They sum to one; where images show several classes each is a probability of its own, and
        `shown_classes` tells which are high enough.

        Args:
            images: Image files.
            class_names: Classes to tell apart; those fitted on if not given.

        Raises:
            ImageReadError: If a file cannot be read.
            NewClassesError: If the method cannot score a class that it has not learned.
        """
        names = self.class_names if class_names is None else tuple(class_names)
        rows = self.probabilities_of([Path(image) for image in images], names).tolist()
        pairs = [zip(names, row, strict=True) for row in rows]
        return [dict(sorted(pair, key=lambda item: -item[1])) for pair in pairs]

    def shown_classes(self, probabilities: Mapping[str, float]) -> list[str]:
        """Return which classes an image is said to show, in the order of its `probabilities`.

        That is all over their thresholds; the most probable one where each image is of one class.
        """
        if self.label_scores is None:
            return [max(probabilities, key=probabilities.__getitem__)]
        return self.label_scores.labels(probabilities)

    def probabilities_of(
        self, paths: Sequence[Path], class_names: Sequence[str] | None = None
    ) -> Tensor:
        """Return class probabilities of image files, [N, C]; bounded memory for any N."""
        names = self.class_names if class_names is None else tuple(class_names)
        self.require_scorable(names)
        rows = [torch.empty(0, len(names))]
        for start in range(0, len(paths), IMAGES_AT_ONCE):
            inputs = self.encoder.encode(paths[start : start + IMAGES_AT_ONCE], self.method.needs)
            rows.append(self.probabilities(inputs, names))
        return torch.cat(rows)

    def probabilities(
        self, inputs: ImageInputs, class_names: Sequence[str] | None = None
    ) -> Tensor:
        """Return class probabilities of encoded images, [B, C]."""
        names = self.class_names if class_names is None else tuple(class_names)
        return self.probabilities_of_logits(self._logits(inputs, names), names)

    def probabilities_of_logits(self, logits: Tensor, class_names: Sequence[str]) -> Tensor:
        """Return what logits [B, C] of these classes mean: a softmax, or one sigmoid a class."""
        if self.label_scores is None:
            return logits.softmax(dim=-1)
        return self.label_scores.probabilities(logits, class_names)

    def _logits(self, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
        """Return logits of encoded images, [B, C]."""
        self.require_scorable(class_names)
        read_as = prompt_names(class_names, self.config)
        return logits_of(self.method, inputs, read_as, self.encoder.dtype)

    def require_scorable(self, class_names: Sequence[str]) -> None:
        """Refuse new classes before any image is encoded, where the method cannot score them."""
        new = [name for name in class_names if name not in self.class_names]
        if new and not self.method.scores_new_classes:
            raise NewClassesError(
                f"{self.config.method.name} scores only the {len(self.class_names)} classes that "
                f"it was fitted on; {', '.join(new)} are none of them. Fit it on all classes, or "
                "use a method that reads class names, such as coop or bimors."
            )

    def _choose_label_scores(
        self, items: Sequence[SceneItem], validation: Sequence[SceneItem]
    ) -> None:
        """Choose level and thresholds on the validation images, else on the training images."""
        chosen = validation or items
        if not chosen:
            raise DatasetError(
                "images show several classes, and there are none to choose thresholds on: give the "
                "split a validation part, and validation_shots of at least 1."
            )
        inputs = self.encoder.encode([item.path for item in chosen], self.method.needs)
        self.label_scores = choose_label_scores(
            self._logits(inputs, self.class_names),
            labels_of(chosen, len(self.class_names)),
            self.class_names,
            self.config.multi_label or MultiLabelConfig(),
            "validation" if validation else "training",
        )

    def _validated(self, items: Sequence[SceneItem]) -> dict[str, float | int]:
        """Return how well validation images are recognised, as `FitFacts` tell it."""
        if not items:
            return {}
        probabilities = self.probabilities_of([item.path for item in items])
        labels = labels_of(items, len(self.class_names))
        if labels.dim() == 2:
            found = mean_average_precision(probabilities.numpy(), labels.numpy() > 0)
            return {"validation_map": found, "n_validation": len(items)}
        right = (probabilities.argmax(dim=-1) == labels).double()
        return {"validation_accuracy": float(right.mean()), "n_validation": len(items)}


def _learns(config: SceneConfig) -> bool:
    method, _ = METHODS[config.method.name]
    return method.trains != "nothing"
