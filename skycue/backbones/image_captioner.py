"""Captions by an image-to-text model of `transformers`: BLIP-2, BLIP and their like.

Decoding is as released with BiMoRS: no text prompt, four beams, at most 16 tokens with T5's start
token, so 15 new ones (Kashyap et al., https://arxiv.org/abs/2601.20675; Li et al., "BLIP-2", ICML
2023, https://arxiv.org/abs/2301.12597). Images go to the model's own processor as they are; the
released code squashed and stretched them first, which `preprocessing: released` repeats.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from torch import Tensor

from skycue.backbones.hub import (
    check_name,
    explain_loading,
    load_model,
    load_part,
    revision_of,
)
from skycue.backbones.text_source import TextSettings
from skycue.config import Config
from skycue.data.images import read_pixels
from skycue.device import explain_out_of_memory
from skycue.errors import CaptionError, CheckpointError

if TYPE_CHECKING:
    from transformers import BatchFeature, PreTrainedTokenizerBase
    from transformers.image_processing_utils import BaseImageProcessor

CHAT_PROMPT = "Describe this aerial image in one short sentence."
"""What a chat model is asked where no prompt is given."""
RELEASED_SIDE = 224
"""Pixels a side to which the released code squashed images before the processor."""
MODEL = "image-to-text model"


class DecodingConfig(Config):
    """How a model is asked and how it answers."""

    prompt: str = ""
    """Text before the caption; chat models are asked `CHAT_PROMPT` if it is empty."""
    max_new_tokens: int = Field(default=15, ge=1)
    """Most tokens of a caption; 15 is the released `max_length` of 16 less T5's start token."""
    num_beams: int = Field(default=4, ge=1)
    """Beams of the search; 1 is greedy decoding. Nothing is sampled."""
    preprocessing: Literal["processor", "released"] = "processor"
    """The model's own, or after the squash and contrast stretch of the released code."""


class ImageCaptioner:
    """The text source `hf:NAME`."""

    def __init__(
        self,
        name: str,
        config: DecodingConfig | None = None,
        *,
        batch_size: int = 8,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Load a model.

        Args:
            name: A folder or a hub name, such as "Salesforce/blip2-flan-t5-xl".
            config: Decoding; None takes the defaults.
            batch_size: Images in one pass.
            device: Where to compute.
            dtype: Number format of the weights; the model keeps in float32 what needs it.

        Raises:
            CheckpointError: If it cannot be loaded or is no image-to-text model.
        """
        check_name(name, MODEL)
        with explain_loading(name, MODEL, "give a folder"):
            from transformers import AutoModelForImageTextToText

            load = AutoModelForImageTextToText.from_pretrained
            model = load_model(load, name, dtype=dtype, device=device)
            self._reader = _Reader(name)
        if model.config.model_type == "blip-2" and model.config.image_token_index is None:
            raise CheckpointError(
                f"'{name}' is a BLIP-2 without image_token_index in its config.json; get the newer "
                "revision of the model, which has it."
            )
        self._model = model
        config = config or DecodingConfig()
        if config.prompt and not self._reader.reads_prompts:
            raise CheckpointError(f"'{name}' reads no prompt; leave decoding.prompt empty.")
        if self._reader.chats and not config.prompt:
            config = config.model_copy(update={"prompt": CHAT_PROMPT})
        self._config = config
        self._batch_size = batch_size
        self._dtype = dtype
        maker = {
            "source": "hf",
            "model": name,
            "revision": revision_of(name, model.config),
            "dtype": str(dtype).removeprefix("torch."),
            **config.model_dump(),
        }
        self._settings = TextSettings(kind="hf", maker=maker)

    @property
    def settings(self) -> TextSettings:
        """The model with its revision, number format, preprocessing and decoding."""
        return self._settings

    def caption(self, paths: Sequence[Path]) -> list[str]:
        """Caption image files.

        Raises:
            CaptionError: If the model answers an image with nothing.
            ImageReadError: If a file cannot be read.
            OutOfMemoryError: If a batch does not fit the device.
        """
        captions: list[str] = []
        for start in range(0, len(paths), self._batch_size):
            batch = paths[start : start + self._batch_size]
            with explain_out_of_memory(f"--batch-size {self._batch_size}"):
                captions += self.caption_images([read_pixels(path) for path in batch])
        silent = [path for path, text in zip(paths, captions, strict=True) if not text]
        if silent:
            raise CaptionError(
                f"{self._settings.maker['model']} wrote nothing for {len(silent)} of {len(paths)} "
                f"images, the first {silent[0]}; use another model or a --set prompt."
            )
        return captions

    @torch.no_grad()
    def caption_images(self, images: Sequence[NDArray[np.uint8]]) -> list[str]:
        """Caption decoded images in one pass; an answer may be empty.

        Args:
            images: RGB bytes, each [H, W, 3].
        """
        pictures = [self._picture(image) for image in images]
        inputs = self._reader.inputs(pictures, self._config.prompt)
        inputs = inputs.to(self._model.device, self._dtype)  # ids stay integers
        beams = self._config.num_beams
        generate = cast("Callable[..., Tensor]", self._model.generate)
        tokens = generate(
            **inputs,
            max_new_tokens=self._config.max_new_tokens,
            num_beams=beams,
            early_stopping=beams > 1,
            do_sample=False,
        )  # [B, L]
        if "input_ids" in inputs:
            tokens = without_prompt(tokens, inputs["input_ids"])
        return self._reader.texts(tokens)

    def _picture(self, image: NDArray[np.uint8]) -> Image.Image:
        """Return the picture that the model's processor gets."""
        picture = Image.fromarray(image)
        if self._config.preprocessing == "processor":
            return picture
        square = picture.resize((RELEASED_SIDE, RELEASED_SIDE), Image.Resampling.BILINEAR)
        return Image.fromarray(stretch(np.array(square)))


class _Reader:
    """Turns pictures and a prompt into a model's inputs, and its answers into text."""

    def __init__(self, name: str) -> None:
        from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer, ProcessorMixin

        loaded = load_part(AutoProcessor.from_pretrained, name)
        # Images and text together; None where a model comes with two parts for them.
        self._processor = loaded if isinstance(loaded, ProcessorMixin) else None
        image_processor = load_part(AutoImageProcessor.from_pretrained, name)
        self._image_processor = cast("BaseImageProcessor", image_processor)
        tokenizer = getattr(loaded, "tokenizer", None) or load_part(
            AutoTokenizer.from_pretrained, name
        )
        self._tokenizer = cast("PreTrainedTokenizerBase", tokenizer)
        self._tokenizer.padding_side = "left"  # answers follow prompts of any length
        self.chats = self._processor is not None and self._processor.chat_template is not None
        self.reads_prompts = self._processor is not None

    def inputs(self, images: list[Image.Image], prompt: str) -> "BatchFeature":
        """Return what the model's `generate` takes."""
        if self._processor is not None and self.chats:
            chats = [[_question(image, prompt)] for image in images]
            inputs: object = self._processor.apply_chat_template(
                chats,  # type: ignore[arg-type]  # contents may be lists, as its docstring says
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs={"padding": True},
            )
        elif prompt and self._processor is not None:
            texts = [prompt] * len(images)
            inputs = self._processor(images=images, text=texts, return_tensors="pt")
        else:
            inputs = self._image_processor(images, return_tensors="pt")
        return cast("BatchFeature", inputs)

    def texts(self, tokens: Tensor) -> list[str]:
        """Decode answers, [B, L], without special tokens and spare white space."""
        decoded = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(text.split()) for text in decoded]


def stretch(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Spread an image's values, all channels together, over 0 to 255; one value stays as it is."""
    low, high = int(image.min()), int(image.max())
    if low == high:
        return image
    scaled = (image.astype(np.float32) - low) / (high - low) * np.iinfo(np.uint8).max
    return scaled.astype(np.uint8)


def without_prompt(tokens: Tensor, prompt: Tensor) -> Tensor:
    """Drop the prompt that decoder-only models repeat before their answer.

    BLIP repeats all but its last token; an encoder-decoder repeats nothing.

    Args:
        tokens: Generated ids, [B, L].
        prompt: Ids of the prompt, [B, P].
    """
    length = min(tokens.shape[1], prompt.shape[1])
    equal = (tokens[:, :length] == prompt[:, :length]).all(dim=0)  # [min(L, P)]
    n_repeated = int(equal.int().cumprod(dim=0).sum())
    return tokens[:, n_repeated:] if n_repeated >= prompt.shape[1] - 1 else tokens


def _question(image: Image.Image, prompt: str) -> dict[str, object]:
    """Return the user's turn of a chat: an image and a question."""
    content = [{"type": "image", "image": image}, {"type": "text", "text": prompt}]
    return {"role": "user", "content": content}
