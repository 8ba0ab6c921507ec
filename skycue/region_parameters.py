"""Which parameters learn: those whose names fit the patterns of a stage."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from skycue.errors import ConfigError
from skycue.region_network import FROZEN


def choose_parameters(
    modules: Mapping[str, nn.Module], patterns: Sequence[str]
) -> dict[str, nn.Parameter]:
    """Let exactly the parameters learn whose name fits a pattern, and return them.

    The frozen image encoder never learns. The last pattern that fits a name decides; one that
    begins with `!` takes away.

    Args:
        modules: What may learn, by the first part of its parameters' names.
        patterns: Shell-style, such as `net.*`.

    Raises:
        ConfigError: If a pattern fits none.
    """
    named: dict[str, nn.Parameter] = {}
    seen: set[int] = set()
    for prefix, module in modules.items():
        for name, parameter in module.named_parameters():
            if id(parameter) not in seen and not name.startswith(FROZEN):
                seen.add(id(parameter))
                named[f"{prefix}.{name}"] = parameter
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern.removeprefix("!")) for name in named):
            raise ConfigError(
                f"stages.trains: no parameter fits {pattern!r}; patterns are such as 'net.*' "
                "or '!net.segmenter.backbone.blocks.0.*'."
            )
    for name, parameter in named.items():
        parameter.requires_grad_(_is_chosen(name, patterns))
    return {name: p for name, p in named.items() if p.requires_grad}


def _is_chosen(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether the last pattern that fits a name gives or takes away."""
    chosen = False
    for pattern in patterns:
        if fnmatchcase(name, pattern.removeprefix("!")):
            chosen = not pattern.startswith("!")
    return chosen
