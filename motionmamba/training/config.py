"""Configuration composed from small YAML files and dotted overrides."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from torch import nn

from motionmamba import models

_UNKNOWN = object()


def compose(folder: Path, root: str, overrides: list[str]) -> DictConfig:
    """Composes `folder/root.yaml` with one file of each of its groups and the overrides.

    The root's `groups` maps each group, a folder beside it, to its default choice. An override
    `group=choice` picks another file, `group.key=value` or `key=value` sets a value.

    Raises:
        ValueError: for an unknown group choice, an unknown key or a malformed override.
    """
    config = OmegaConf.load(folder / f"{root}.yaml")
    choices = dict(config.pop("groups"))
    values = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ValueError(f"the override {override!r} is not of the form key=value")
        if key in choices:
            choices[key] = value
        else:
            values.append(override)
    for group, choice in choices.items():
        config[group] = _load_choice(folder / group, choice)
    for value in values:
        _set(config, value)
    return config


def _set(config: DictConfig, override: str):
    """Sets an existing value to another of its kind."""
    key = override.partition("=")[0]
    known = OmegaConf.select(config, key, default=_UNKNOWN)
    if known is _UNKNOWN:
        raise ValueError(f"{override}: there is no setting {key}; see the files in configs/")
    given = OmegaConf.select(OmegaConf.from_dotlist([override]), key)
    numbers = (int, float)
    alike = type(known) is type(given) or (type(known) in numbers and type(given) in numbers)
    if known is not None and not alike:
        raise ValueError(f"{override}: expected a value like {known!r}")
    OmegaConf.update(config, key, given)


def _load_choice(folder: Path, choice: str) -> DictConfig:
    path = folder / f"{choice}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise ValueError(f"{folder.name}={choice} is unknown; choose one of {known}")
    return OmegaConf.load(path)


def build_model(settings: DictConfig, **known) -> nn.Module:
    """Builds the class of `motionmamba.models` that `_class_name` in `settings` names.

    The other entries are its arguments; `known` adds those that only the run can tell.
    """
    arguments = OmegaConf.to_container(settings, resolve=True) | known
    name = arguments.pop("_class_name")
    try:
        return getattr(models, name)(**arguments)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"cannot build the model {name}: {error}") from error


def save_config(config: DictConfig, run: Path):
    """Writes the resolved configuration into the run folder."""
    run.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, run / "config.yaml", resolve=True)
