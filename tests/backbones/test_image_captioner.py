"""Tests of captioning models against transformers itself, on tiny random models."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn

from skycue.backbones.captioner import open_text_source
from skycue.backbones.image_captioner import (
    CHAT_PROMPT,
    DecodingConfig,
    ImageCaptioner,
    stretch,
    without_prompt,
)
from skycue.errors import CaptionError, CheckpointError

hf: Any = transformers  # its hints do not fit the ways it is meant to be called

PAD, END, UNKNOWN, START, IMAGE = range(5)
SPECIAL = ("<pad>", "</s>", "<unk>", "<s>", "<image>")
SENTENCE = (
    "a the road river green grey roofs trees beside many near in water cars bare soil on rows "
    "dense wide user assistant"
)
WORDS = [*SPECIAL, *SENTENCE.split()]
SIDE = 32
TOWER = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 16,
}
TEXT = {"bos_token_id": START, "eos_token_id": END, "pad_token_id": PAD, "vocab_size": len(WORDS)}
CHAT = (
    "{% for m in messages %}user {% for part in m.content %}{% if part.type == 'image' %}<image> "
    "{% else %}{{ part.text }} {% endif %}{% endfor %}{% endfor %}assistant "
)


def word_tokenizer() -> Any:
    """Return a tokenizer of a few words."""
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        bos_token="<s>",
        additional_special_tokens=["<image>"],
    )


def save_random(model: Any, folder: Path, *, seed: int) -> Path:
    """Fill a model with seeded noise that tells images apart, and save it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.6, generator=generator)
    model.save_pretrained(folder)
    return folder


def save_blip2(folder: Path, text: Any, *, seed: int) -> Path:
    """Save a tiny BLIP-2: ViT, Q-Former with four queries, and a language model."""
    queries = {**TOWER, "vocab_size": len(WORDS), "encoder_hidden_size": 16}
    config = hf.Blip2Config(
        vision_config=TOWER,
        qformer_config={**queries, "cross_attention_frequency": 1},
        text_config=text.to_dict(),
        num_query_tokens=4,
        image_token_index=IMAGE,
    )
    processor = hf.Blip2Processor(
        hf.BlipImageProcessorPil(size={"height": SIDE, "width": SIDE}),
        word_tokenizer(),
        num_query_tokens=4,
    )
    processor.save_pretrained(folder)
    return save_random(hf.Blip2ForConditionalGeneration(config), folder, seed=seed)


def save_blip2_t5(folder: Path) -> Path:
    """Save a tiny BLIP-2 over T5, as the released captioner is (there <s> is </s>)."""
    layers = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2}
    text = {**TEXT, **layers, "bos_token_id": END, "decoder_start_token_id": PAD}
    return save_blip2(folder, hf.T5Config(**text), seed=4)


def save_blip2_opt(folder: Path) -> Path:
    """Save a tiny BLIP-2 over OPT, which repeats its prompt before the answer."""
    layers = {"hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 24, "num_hidden_layers": 1}
    sizes = {"num_attention_heads": 2, "max_position_embeddings": 64}
    return save_blip2(folder, hf.OPTConfig(**TEXT, **layers, **sizes), seed=9)


def save_blip(folder: Path) -> Path:
    """Save a tiny BLIP."""
    sizes = {"max_position_embeddings": 40, "encoder_hidden_size": 16, "sep_token_id": END}
    text = {**TOWER, **TEXT, **sizes}
    config = hf.BlipConfig(vision_config=TOWER, text_config=text)
    image_processor = hf.BlipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    hf.BlipProcessor(image_processor, word_tokenizer()).save_pretrained(folder)
    return save_random(hf.BlipForConditionalGeneration(config), folder, seed=5)


def save_vit_gpt2(folder: Path) -> Path:
    """Save a tiny ViT with a GPT-2, whose image processor and tokenizer are files apart."""
    text = hf.GPT2Config(**TEXT, n_embd=16, n_layer=1, n_head=2, n_positions=64)
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(hf.ViTConfig(**TOWER), text)
    model = hf.VisionEncoderDecoderModel(config)
    model.generation_config.decoder_start_token_id = START
    model.generation_config.pad_token_id = PAD
    hf.ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return save_random(model, folder, seed=3)


def save_llava(folder: Path) -> Path:
    """Save a tiny LLaVA, a chat model."""
    text = {**TEXT, **TOWER, "num_key_value_heads": 2}
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**TOWER, projection_dim=16),
        text_config=hf.LlamaConfig(**text),
        image_token_index=IMAGE,
        image_seq_length=4,
        vision_feature_layer=-1,
    )
    processor = hf.LlavaProcessor(
        hf.CLIPImageProcessorPil(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
        ),
        word_tokenizer(),
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )
    processor.save_pretrained(folder)
    return save_random(hf.LlavaForConditionalGeneration(config), folder, seed=7)


MODELS = [save_blip2_t5, save_blip2_opt, save_blip, save_vit_gpt2, save_llava]
Save = Callable[[Path], Path]


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Keep the progress bars of saving out of the tests' output."""
    hf.utils.logging.disable_progress_bar()


@pytest.fixture
def pictures() -> list[NDArray[np.uint8]]:
    """Five unequal images, [40, 48, 3]."""
    rng = np.random.default_rng(5)
    low = rng.integers(0, 160, (5, 1, 1, 3))
    return list((low + rng.integers(0, 96, (5, 40, 48, 3))).astype(np.uint8))


@pytest.fixture
def files(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> list[Path]:
    """The same images as files."""
    paths = [tmp_path / f"{index}.png" for index in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)
    return paths


def directly(
    folder: Path, model: Any, pictures: list[NDArray[np.uint8]], **decoding: Any
) -> list[str]:
    """Caption with transformers alone, one image at a time."""
    loaded = model.from_pretrained(folder).eval()
    images = hf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    texts = []
    for picture in pictures:
        pixels = images(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            ids = loaded.generate(pixel_values=pixels, **decoding)
        texts.append(tokenizer.decode(ids[0], skip_special_tokens=True).strip())
    return texts


def test_blip2_writes_what_the_released_decoding_writes(
    tmp_path: Path, files: list[Path], pictures: list[NDArray[np.uint8]]
) -> None:
    folder = save_blip2_t5(tmp_path / "blip2")
    captions = open_text_source(f"hf:{folder}").caption(files)
    expected = directly(
        folder,
        hf.Blip2ForConditionalGeneration,
        pictures,
        max_length=16,
        num_beams=4,
        early_stopping=True,
    )
    assert captions == expected
    assert len(set(captions)) > 1


@pytest.mark.parametrize(
    ("save", "model"),
    [
        (save_blip2_opt, hf.Blip2ForConditionalGeneration),
        (save_blip, hf.BlipForConditionalGeneration),
        (save_vit_gpt2, hf.VisionEncoderDecoderModel),
    ],
)
def test_other_models_write_what_transformers_writes(
    save: Save,
    model: Any,
    tmp_path: Path,
    files: list[Path],
    pictures: list[NDArray[np.uint8]],
) -> None:
    folder = save(tmp_path / "model")
    captions = open_text_source(f"hf:{folder}").caption(files)
    beams = {"num_beams": 4, "early_stopping": True}
    assert captions == directly(folder, model, pictures, max_new_tokens=15, **beams)
    assert len(set(captions)) > 1


@pytest.mark.parametrize("save", MODELS)
def test_captions_do_not_depend_on_the_batch(save: Save, tmp_path: Path, files: list[Path]) -> None:
    folder = str(save(tmp_path / "model"))
    whole = ImageCaptioner(folder, batch_size=8).caption(files)
    assert ImageCaptioner(folder, batch_size=2).caption(files) == whole
    assert ImageCaptioner(folder, batch_size=1).caption(files[3:4]) == whole[3:4]


def test_a_chat_model_is_asked_and_its_answer_alone_is_kept(
    tmp_path: Path, files: list[Path], pictures: list[NDArray[np.uint8]]
) -> None:
    folder = save_llava(tmp_path / "llava")
    source = ImageCaptioner(str(folder))
    assert source.settings.maker["prompt"] == CHAT_PROMPT
    model = hf.LlavaForConditionalGeneration.from_pretrained(folder).eval()
    processor = hf.AutoProcessor.from_pretrained(folder, backend="pil")
    question = f"user <image> {CHAT_PROMPT} assistant "
    expected = []
    for picture in pictures:
        inputs = processor(images=Image.fromarray(picture), text=question, return_tensors="pt")
        ids = model.generate(**inputs, max_new_tokens=15, num_beams=4, early_stopping=True)
        answer = ids[0, inputs["input_ids"].shape[1] :]
        expected.append(processor.decode(answer, skip_special_tokens=True).strip())
    assert source.caption(files) == expected
    assert len(set(expected)) > 1


def test_a_prompt_changes_the_answer_and_is_not_repeated_in_it(
    tmp_path: Path, files: list[Path]
) -> None:
    folder = str(save_blip2_opt(tmp_path / "blip2"))
    plain = ImageCaptioner(folder).caption(files)
    asked = ImageCaptioner(folder, DecodingConfig(prompt="the river")).caption(files)
    assert asked != plain
    assert not any(caption.startswith("the river") for caption in asked)


def test_settings_name_the_very_model_and_how_it_decodes(tmp_path: Path) -> None:
    folder = save_blip2_t5(tmp_path / "blip2")
    source = ImageCaptioner(str(folder), DecodingConfig(num_beams=2))
    maker = source.settings.maker
    assert source.settings.kind == "hf"
    assert maker["model"] == str(folder)
    assert (maker["num_beams"], maker["max_new_tokens"]) == (2, 15)
    assert (maker["dtype"], maker["preprocessing"]) == ("float32", "processor")
    assert len(str(maker["revision"])) == 64
    assert ImageCaptioner(str(folder)).settings.maker["revision"] == maker["revision"]
    save_random(hf.Blip2ForConditionalGeneration.from_pretrained(folder), folder, seed=5)
    assert ImageCaptioner(str(folder)).settings.maker["revision"] != maker["revision"]


def test_released_preprocessing_squashes_and_stretches(
    tmp_path: Path, pictures: list[NDArray[np.uint8]]
) -> None:
    folder = str(save_blip2_t5(tmp_path / "blip2"))
    released = ImageCaptioner(folder, DecodingConfig(preprocessing="released"))
    squashed = [
        stretch(np.array(Image.fromarray(picture).resize((224, 224), Image.Resampling.BILINEAR)))
        for picture in pictures
    ]
    assert released.caption_images(pictures) == ImageCaptioner(folder).caption_images(squashed)


def test_stretch_spreads_all_channels_together() -> None:
    image = np.array([[[10, 30, 50], [20, 40, 60]]], dtype=np.uint8)
    assert stretch(image).tolist() == [[[0, 102, 204], [51, 153, 255]]]
    flat = np.full((2, 2, 3), 7, dtype=np.uint8)
    assert stretch(flat).tolist() == flat.tolist()


def test_without_prompt_cuts_what_is_repeated_only() -> None:
    prompt = torch.tensor([[3, 8, 9]])
    assert without_prompt(torch.tensor([[3, 8, 9, 5, 6]]), prompt).tolist() == [[5, 6]]
    assert without_prompt(torch.tensor([[3, 8, 5, 6]]), prompt).tolist() == [[5, 6]]
    assert without_prompt(torch.tensor([[0, 5, 6]]), prompt).tolist() == [[0, 5, 6]]


def test_a_model_that_says_nothing_is_an_error_that_names_the_image(
    tmp_path: Path, files: list[Path]
) -> None:
    folder = save_blip2_t5(tmp_path / "blip2")
    model = hf.Blip2ForConditionalGeneration.from_pretrained(folder)
    for parameter in model.language_model.parameters():
        nn.init.zeros_(parameter)  # all words equally likely: the first, padding, wins
    model.save_pretrained(folder)
    with pytest.raises(CaptionError, match=r"wrote nothing for 5 of 5 images, the first .*0\.png"):
        ImageCaptioner(str(folder), DecodingConfig(num_beams=1)).caption(files)


def test_weights_that_are_missing_are_named_and_not_made_up(tmp_path: Path) -> None:
    folder = save_blip2_t5(tmp_path / "blip2")
    model = hf.Blip2ForConditionalGeneration.from_pretrained(folder)
    state = {key: value for key, value in model.state_dict().items() if key != "query_tokens"}
    model.save_pretrained(folder, state_dict=state)
    with pytest.raises(CheckpointError, match="lack or misfit query_tokens"):
        ImageCaptioner(str(folder))


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    folder = save_blip2_t5(tmp_path / "blip2")
    model = hf.Blip2ForConditionalGeneration.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        ImageCaptioner(str(folder))


def test_a_network_that_writes_no_text_is_refused_by_name(tmp_path: Path) -> None:
    hf.ViTModel(hf.ViTConfig(**TOWER)).save_pretrained(tmp_path / "vit")
    with pytest.raises(CheckpointError, match=r"image-to-text model '.*vit'"):
        ImageCaptioner(str(tmp_path / "vit"))


def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="give a folder with config"):
        ImageCaptioner(str(tmp_path / "absent"))


def test_a_prompt_that_a_model_cannot_read_is_refused(tmp_path: Path) -> None:
    folder = save_vit_gpt2(tmp_path / "vit_gpt2")
    make = partial(ImageCaptioner, str(folder), DecodingConfig(prompt="the river"))
    with pytest.raises(CheckpointError, match="reads no prompt"):
        make()


def test_an_old_blip2_without_image_token_is_refused(tmp_path: Path) -> None:
    folder = save_blip2_t5(tmp_path / "blip2")
    config = folder / "config.json"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace('"image_token_index": 4', '"image_token_index": null'))
    with pytest.raises(CheckpointError, match="without image_token_index"):
        ImageCaptioner(str(folder))
