"""Pixel models in diffusers' layout: a ``UNet2DModel`` and its scheduler's betas.

Folder layout: ``unet/config.json`` + ``unet/diffusion_pytorch_model.safetensors`` and
``scheduler/scheduler_config.json``, or all three files flat, as in the google/ddpm-* repositories. Only safetensors are
loaded: pickled weights are refused, since they can run code. Our own additions to ``config.json``: ``any_scale`` and
``window`` (:class:`engine.models.Geometry`), ``attention_heads`` (the same number in every attention layer), ``eta``
and ``anchor`` (:class:`engine.models.Model`). A class-conditional model may have ``labels.txt`` (names by number, one a
line), any model ``classifier/`` (:mod:`engine.models.noisy_classifier`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from engine import untrusted
from engine.canvas import Geometry
from engine.devices import inference_dtype
from engine.errors import EngineError
from engine.models import noisy_classifier
from engine.models.folders import LABELS, WEIGHTS, part_folder, read_labels
from engine.models.model import Model, ModelInfo
from engine.models.network_class import unet_2d
from engine.sampling import cosine_alpha_bar, linear_alpha_bar

MAX_ATTENTION_WINDOW = 256
_OLD_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
OWN_KEYS = ("any_scale", "window", "attention_heads", "eta", "anchor")
"""Our own keys in ``config.json``; see :func:`_geometry` and :func:`build`."""


def load(info: ModelInfo, device: torch.device) -> Model:
    """Load ``info.folder`` for inference.

    Raises:
        EngineError: ``model_missing`` or ``model_corrupt``, with what to do next.
    """
    config, scheduler, unet = read(info)
    classes = unet.config.num_class_embeds
    predict = predictor(unet, device)
    alpha_bar = alpha_bar_of(scheduler, info)
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in ("epsilon", "v_prediction", "sample"):
        raise corrupt(info, f"its prediction type {prediction!r} is not known")
    geometry = _geometry(unet, config)
    gradient, classifier_classes = None, None
    if info.classifier is not None:
        gradient, classifier_classes = noisy_classifier.load_gradient(info.classifier, device, geometry.window)
    return Model(
        info,
        predict,
        alpha_bar,
        prediction,
        geometry,
        device,
        labels=_labels(info, classes, classifier_classes),
        label_optional=classes is None,
        eta=config.get("eta"),
        anchor=float(config.get("anchor", 0.0)),
        classifier_gradient=gradient,
    )


def read(info: ModelInfo) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """What ``info.folder`` holds: the network's and the scheduler's configuration, and the ``UNet2DModel`` as stored.

    Raises:
        EngineError: ``model_missing`` or ``model_corrupt``.
    """
    assert info.folder is not None
    unet_dir = part_folder(info.folder, "unet")
    config = read_json(unet_dir / "config.json", info)
    scheduler = read_json(part_folder(info.folder, "scheduler") / "scheduler_config.json", info)
    weights = _read_weights(unet_dir, info)
    try:
        unet = build(config, weights)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        raise corrupt(info, "its weights do not fit its configuration", str(error)) from error
    channels = unet.config.in_channels
    if channels != 3 or unet.config.out_channels not in (channels, 2 * channels):
        raise corrupt(info, "it is not a model of colour pictures", f"channels {channels}")
    return config, scheduler, unet


def predictor(unet: Any, device: torch.device) -> Callable[[torch.Tensor, int, int | None], torch.Tensor]:
    """The network, moved to the device and its number type for inference, as :attr:`engine.models.Model.predict`."""
    dtype = inference_dtype(device)
    # nn.Module.to itself: diffusers would warn of modules to be kept in float32, of which there are none.
    torch.nn.Module.to(unet, device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    classes = unet.config.num_class_embeds

    def predict(x: torch.Tensor, timestep: int, label: int | None = None) -> torch.Tensor:
        with torch.inference_mode():
            x = x.to(dtype).contiguous(memory_format=torch.channels_last)
            labels = None if classes is None else torch.full((len(x),), label or 0, device=device)
            return unet(x, timestep, labels, return_dict=False)[0].to(torch.float32)

    return predict


def build(config: dict[str, Any], state: dict[str, torch.Tensor]) -> Any:
    """A ``UNet2DModel`` with exactly these weights (not copied), ready for inference.

    Raises:
        RuntimeError, TypeError, ValueError: they do not fit the configuration.
    """
    network = unet_2d()
    with torch.device("meta"):
        unet = network.from_config({name: value for name, value in config.items() if name not in OWN_KEYS})
    unet.load_state_dict(state, strict=True, assign=True)
    if config.get("attention_heads"):
        _set_heads(unet, int(config["attention_heads"]))
    return unet.eval().requires_grad_(False)


def _set_heads(unet: Any, heads: int) -> None:
    """Give every attention layer the same number of heads, which ``UNet2DModel`` cannot be configured to."""
    for module in unet.modules():
        if hasattr(module, "to_q"):
            module.heads = heads
            module.scale = (module.to_q.weight.shape[0] / heads) ** -0.5


def _labels(info: ModelInfo, classes: int | None, classifier_classes: int | None) -> tuple[str, ...]:
    """Class names by number: from the model's or the classifier's ``labels.txt``, else the numbers themselves."""
    if classes is not None and classifier_classes not in (None, classes):
        raise corrupt(info, "its classifier knows other classes", f"{classes}, {classifier_classes}")
    number = classes or classifier_classes
    if number is None:
        return ()
    assert info.folder is not None
    for folder in (info.folder, info.classifier):
        names = read_labels(folder / LABELS) if folder is not None else ()
        if names and len(names) != number:
            raise corrupt(info, f"it has {number} classes, but {LABELS} names {len(names)}")
        if names:
            return names
    return tuple(str(each) for each in range(number))


def _geometry(unet: Any, config: dict[str, Any]) -> Geometry:
    """Sizes from the configuration; ``any_scale`` and ``window`` are our own keys, set by our trainer."""
    multiple = 2 ** (len(unet.config.block_out_channels) - 1)
    sample_size = config.get("sample_size") or 64
    if config.get("any_scale"):
        return Geometry(multiple, sample_size, int(config.get("window", MAX_ATTENTION_WINDOW)), True, drafted=True)
    return Geometry(multiple, sample_size, sample_size, False)


def alpha_bar_of(scheduler: dict[str, Any], info: ModelInfo) -> np.ndarray:
    """ᾱ of the betas that a scheduler's configuration describes, (N,) float64."""
    timesteps = int(scheduler.get("num_train_timesteps", 1000))
    betas = scheduler.get("trained_betas")
    kind = scheduler.get("beta_schedule", "linear")
    if betas is not None:
        return np.cumprod(1.0 - np.array(betas, dtype=np.float64))
    if kind == "linear":
        return linear_alpha_bar(timesteps, scheduler.get("beta_start", 1e-4), scheduler.get("beta_end", 0.02))
    if kind == "scaled_linear":
        ends = scheduler.get("beta_start", 1e-4) ** 0.5, scheduler.get("beta_end", 0.02) ** 0.5
        return np.cumprod(1.0 - np.linspace(*ends, timesteps, dtype=np.float64) ** 2)
    if kind == "squaredcos_cap_v2":
        return cosine_alpha_bar(timesteps)
    raise corrupt(info, f"its noise schedule {kind!r} is not known")


def read_json(path: Path, info: ModelInfo) -> dict[str, Any]:
    """A configuration file of a model; EngineError ``model_missing``, ``model_corrupt`` or ``model_code``."""
    try:
        data = untrusted.read_json(path)
    except FileNotFoundError as error:
        raise EngineError(
            "model_missing", f"The model {info.title} is not complete here; install it again.", str(error)
        ) from error
    except (OSError, ValueError) as error:
        raise corrupt(info, f"{path.name} cannot be read", str(error)) from error
    if not isinstance(data, dict):
        raise corrupt(info, f"{path.name} is not an object")
    if data.get("auto_map"):
        raise brings_code(info, path)
    return data


def brings_code(info: ModelInfo, path: Path) -> EngineError:
    """The error of a model whose files name program code."""
    return EngineError(
        "model_code",
        f"The model {info.title} wants to run program code of its own ({path.name}), which is never run here; "
        "choose another model.",
        str(path),
    )


def _read_weights(folder: Path, info: ModelInfo) -> dict[str, torch.Tensor]:
    path = folder / WEIGHTS
    if not path.is_file():
        pickled = sorted(folder.glob("*.bin")) + sorted(folder.glob("*.pt")) + sorted(folder.glob("*.ckpt"))
        if pickled:
            raise EngineError(
                "model_pickled",
                f"The model {info.title} holds only pickled weights, which could run code; get its .safetensors file.",
                str(pickled[0]),
            )
        raise EngineError(
            "model_missing", f"The weights of the model {info.title} are missing; install it again.", str(path)
        )
    try:
        return _renamed(load_file(path))
    except Exception as error:  # safetensors raises its own SafetensorError, OSError or ValueError
        raise corrupt(info, "its weight file is damaged", repr(error)) from error


def _renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Attention layers as diffusers named them in 2022 (the google/ddpm-* repositories) → today's names."""
    renamed = {}
    for name, tensor in state.items():
        for old, new in _OLD_ATTENTION.items():
            if ".attentions." in name and old in name:
                name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


def corrupt(info: ModelInfo, why: str, details: str = "") -> EngineError:
    """The error of a model that is here but cannot be used."""
    return EngineError(
        "model_corrupt", f"The model {info.title} cannot be used: {why}; install it again or choose another.", details
    )
