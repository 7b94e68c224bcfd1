"""Low-rank updates in the linear layers of a model's copy, and whether a model has a place for them. By peft.

Knows modules and settings; no rows and no trainings.
"""

import warnings
from collections.abc import Sequence

import torch
from torch import nn

from softprompt.core.errors import ConfigError, ExtraError, nearest
from softprompt.lab.comparison.settings import FullSettings, LoraSettings
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.weights.copies import module_of, require_copy, trainable_copy

__all__ = ["add_adapters", "require_trainable"]


def require_trainable(backbone: Backbone, settings: LoraSettings | FullSettings) -> None:
    """Refuse weights that cannot be trained, and adapters where there is no place for them; nothing is trained.

    Raises:
        ExtraError: ``extra.missing`` without peft.
        ConfigError: ``config.invalid`` for modules that the model does not have.
        ModelError: ``model.cannot_train``, ``model.spread``, ``model.unsupported``.

    >>> from softprompt.testing import tiny
    >>> require_trainable(tiny(), LoraSettings(targets=("q_proj", "v_projj")))
    Traceback (most recent call last):
    softprompt.core.errors.ConfigError: targets: the model has no module 'v_projj'; did you mean 'v_proj'? ...
    """
    if isinstance(settings, LoraSettings):
        add_adapters(module_of(trainable_copy(backbone, share=True)), settings, seed=0)
    else:
        require_copy(backbone)


def add_adapters(module: nn.Module, settings: LoraSettings, *, seed: int) -> None:
    """Put low-rank updates into the linear layers of a copy, in place; they alone are trained.

    Raises:
        ExtraError: ``extra.missing`` without peft.
        ConfigError: ``config.invalid`` for modules that the model does not have.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise ExtraError.needs("peft", extra="compare", purpose="LoRA") from None
    targets = settings.targets if isinstance(settings.targets, str) else _known(settings.targets, module)
    alpha = settings.alpha if settings.alpha is not None else 2.0 * settings.rank
    config = LoraConfig(r=settings.rank, lora_alpha=alpha, target_modules=targets, lora_dropout=0.0)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # peft says which way round GPT-2 keeps its weights, and sets that itself
        warnings.simplefilter("ignore", UserWarning)
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(config, module)
        except ValueError as error:
            message = f"LoRA on {settings.targets}: {' '.join(str(error).split())[:200]}"
            raise ConfigError("config.invalid", message, cure="name modules of the model as targets") from None
    for name, parameter in module.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    module.eval()


def _known(targets: Sequence[str], module: nn.Module) -> list[str]:
    """Names of modules, each of which is there: peft is content with one of several.

    Raises:
        ConfigError: ``config.invalid``.
    """
    names = [name for name, _ in module.named_modules()]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            layers = (name for name, one in module.named_modules() if getattr(one, "weight", None) is not None)
            linear = {name.rpartition(".")[2] for name in layers if module.get_submodule(name).weight.ndim == 2}
            message = f"targets: the model has no module {target!r}; {nearest(target, linear)}"
            raise ConfigError("config.invalid", message, cure="name modules of the model, or leave targets out")
    return list(targets)
