"""The methods by name, and how one is built from its configuration."""

from typing import Annotated

from pydantic import Field

from skycue.backbones.clip import Clip
from skycue.config import Config
from skycue.scenes.applenet import APPLeNet, APPLeNetConfig
from skycue.scenes.base import Need, PromptMethod
from skycue.scenes.bimors import BiMoRS, BiMoRSConfig
from skycue.scenes.clip_adapter import ClipAdapter, ClipAdapterConfig
from skycue.scenes.cocoop import CoCoOp, CoCoOpConfig
from skycue.scenes.coop import CoOp, CoOpConfig
from skycue.scenes.csaw import CSAW, CSAWConfig
from skycue.scenes.kgcoop import KgCoOp, KgCoOpConfig
from skycue.scenes.linear_probe import LinearProbe, LinearProbeConfig
from skycue.scenes.maple import MaPLe, MaPLeConfig
from skycue.scenes.prograd import ProGrad, ProGradConfig
from skycue.scenes.promptsrc import PromptSRC, PromptSRCConfig
from skycue.scenes.regional import Regional, RegionalConfig
from skycue.scenes.stylip import StyLIP, StyLIPConfig
from skycue.scenes.tip_adapter import TipAdapter, TipAdapterConfig, TipAdapterF, TipAdapterFConfig
from skycue.scenes.vpt import VPT, VPTConfig
from skycue.scenes.zero_shot import ZeroShot, ZeroShotConfig

METHODS: dict[str, tuple[type[PromptMethod], type[Config]]] = {
    "zero-shot": (ZeroShot, ZeroShotConfig),
    "linear-probe": (LinearProbe, LinearProbeConfig),
    "tip-adapter": (TipAdapter, TipAdapterConfig),
    "tip-adapter-f": (TipAdapterF, TipAdapterFConfig),
    "clip-adapter": (ClipAdapter, ClipAdapterConfig),
    "coop": (CoOp, CoOpConfig),
    "kgcoop": (KgCoOp, KgCoOpConfig),
    "prograd": (ProGrad, ProGradConfig),
    "cocoop": (CoCoOp, CoCoOpConfig),
    "bimors": (BiMoRS, BiMoRSConfig),
    "vpt": (VPT, VPTConfig),
    "maple": (MaPLe, MaPLeConfig),
    "promptsrc": (PromptSRC, PromptSRCConfig),
    "applenet": (APPLeNet, APPLeNetConfig),
    "stylip": (StyLIP, StyLIPConfig),
    "regional": (Regional, RegionalConfig),
    "c-saw": (CSAW, CSAWConfig),
}
"""Class and configuration of each method."""

MethodConfig = Annotated[
    ZeroShotConfig
    | LinearProbeConfig
    | TipAdapterConfig
    | TipAdapterFConfig
    | ClipAdapterConfig
    | CoOpConfig
    | KgCoOpConfig
    | ProGradConfig
    | CoCoOpConfig
    | BiMoRSConfig
    | VPTConfig
    | MaPLeConfig
    | PromptSRCConfig
    | APPLeNetConfig
    | StyLIPConfig
    | RegionalConfig
    | CSAWConfig,
    Field(discriminator="name"),
]
"""The configuration of any method, told apart by its `name`."""


def needs_of(config: MethodConfig) -> frozenset[Need]:
    """Return the fields of `ImageInputs` that a method reads under its configuration."""
    method, _ = METHODS[config.name]
    return method.needs_with(config)


def build_method(clip: Clip, config: MethodConfig) -> PromptMethod:
    """Return an untrained method; its random tensors come from PyTorch's global generator.

    Raises:
        ConfigError: If an option does not fit the backbone.
    """
    build, _ = METHODS[config.name]
    method = build(clip, config)  # type: ignore[call-arg]  # every method takes its own
    return method.to(clip.device)
