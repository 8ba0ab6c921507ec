"""Configurations: a frozen pydantic model, filled by a YAML file and `a.b=value` overrides.

Nothing else fills one: no globals, no includes, no environment variables. What a file or an
override cannot mean is refused in one line.
"""

import difflib
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from skycue.errors import ConfigError


class Config(BaseModel):
    """Base of all configurations: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


C = TypeVar("C", bound=BaseModel)


def load_config(model: type[C], path: Path | None, overrides: Sequence[str] = ()) -> C:
    """Load a configuration from a YAML file, then apply overrides.

    Args:
        model: The pydantic model to fill.
        path: A YAML file; or the bare name of one that comes with the package, such as
            `bimors_released`; or None to start from the defaults of `model`.
        overrides: Settings such as `train.lr=0.01` or `stages.0.lr=0.01`, an entry of a list; the
            value is read as YAML. Later ones win.

    Returns:
        A checked instance of `model`.

    Raises:
        ConfigError: If the file cannot be read, a key is unknown, or a value is not allowed.
    """
    path = path and _find(path)
    settings = {} if path is None else _read_yaml(path)
    for override in overrides:
        _apply(override, settings)
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        where = "" if path is None else f"{path}: "
        raise ConfigError(where + "; ".join(_explanations(model, error))) from error


def shipped_configs() -> dict[str, Path]:
    """Return the configurations that come with the package, by name."""
    return {path.stem: path for path in sorted(configs_folder().glob("*.yaml"))}


def configs_folder() -> Path:
    """Return the folder of what comes with the package: configurations, lists of images."""
    package = Path(__file__).parent
    # In a wheel it lies inside the package, in a checkout beside it.
    return next(path for path in (package / "configs", package.parent / "configs") if path.is_dir())


def _find(path: Path) -> Path:
    """Turn the bare name of a shipped configuration into its path; leave paths as they are."""
    if path.suffix or len(path.parts) > 1 or path.exists():
        return path
    shipped = shipped_configs()
    if path.name not in shipped:
        raise ConfigError(
            f"no configuration '{path.name}': give a YAML file, or one of: {', '.join(shipped)}"
        )
    return shipped[path.name]


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe YAML loader that refuses a key written twice, where YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                line = node.start_mark.line + 1
                raise ConfigError(f"key '{key}' stands twice in the mapping at line {line}")
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, object]:
    """Read the mapping that a YAML file holds; an empty file is an empty mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"cannot read the configuration {path}: {reason}") from error
    try:
        settings = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        found = type(settings).__name__
        raise ConfigError(f"{path} holds a {found}; a configuration is a mapping of keys to values")
    return settings


def _apply(override: str, settings: dict[str, object]) -> None:
    """Set one `a.b=value` in nested `settings`; the entries of a list are named by number."""
    key, separator, text = override.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise ConfigError(f"override '{override}' is not of the form key=value, such as lr=0.01")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"the value of override '{override}' is not YAML") from error
    holder: object = settings
    for depth, part in enumerate(parts, start=1):
        is_last = depth == len(parts)
        if isinstance(holder, dict):
            holder[part] = value if is_last else holder.get(part, {})
            holder = holder[part]
        elif isinstance(holder, list) and part.isdecimal() and int(part) < len(holder):
            holder[int(part)] = value if is_last else holder[int(part)]
            holder = holder[int(part)]
        else:
            parent = ".".join(parts[: depth - 1])
            problem = f"is {holder!r} and holds no keys"
            if isinstance(holder, list):
                problem = f"is a list of {len(holder)}; its entries are named 0, 1, ..."
            raise ConfigError(f"override '{override}': '{parent}' {problem}")


def _explanations(model: type[BaseModel], error: ValidationError) -> Iterator[str]:
    """Explain each thing that is wrong, the key first."""
    for detail in error.errors(include_url=False):
        location = detail["loc"]
        key = ".".join(str(part) for part in location)
        if detail["type"] == "extra_forbidden":
            allowed = _keys_at(model, location[:-1])
            close = difflib.get_close_matches(str(location[-1]), allowed, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"allowed: {', '.join(allowed)}"
            yield f"unknown key '{key}'; {hint}"
        elif detail["type"] == "missing":
            yield f"key '{key}' is missing"
        else:
            reason = detail["msg"].removeprefix("Value error, ")
            reason = reason[:1].lower() + reason[1:]
            found = "" if isinstance(detail["input"], dict) else f" is {detail['input']!r}"
            yield f"'{key}'{found}: {reason}" if key else reason


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """List the keys that the model nested at `location` has."""
    models = [model]
    for part in location:
        inner = [
            nested
            for outer in models
            if part in outer.model_fields
            for nested in _models_in(outer.model_fields[str(part)].annotation)
        ]
        models = inner or models  # an index of a list or the tag of a union names no field
    return sorted({key for each in models for key in each.model_fields})


def _models_in(annotation: object) -> list[type[BaseModel]]:
    """Find the pydantic models that an annotation such as `X | None` or `list[X]` holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in typing.get_args(annotation) for model in _models_in(inner)]
