"""Checkpoints of other projects → model folders in diffusers layout, offline.

Pickled files are read by a process of their own that hands back plain tensors (:mod:`engine.models.unpickle`); the rest
sees safetensors only. A conversion writes into a hidden folder beside the target and appears at once, whole, or not at
all.
"""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file, save_file

from engine.errors import BadInput, EngineError
from engine.models import guided, noisy_classifier, unet, unpickle
from engine.models.folders import (
    CLASSIFIER,
    WEIGHTS,
    converting,
    read_labels,
    record_origin,
    staging,
    sweep,
    valid_name,
)
from engine.models.guided import GuidedConfig
from engine.models.noisy_classifier import ClassifierConfig

ADM_128 = (1, 1, 2, 3, 4)
ADM_64 = (1, 2, 3, 4)

# The flags that the authors publish with each checkpoint: README.md of github.com/openai/guided-diffusion at 22e0df8,
# confs/ of github.com/andreas128/RePaint at 8e2a055.
PRESETS: dict[str, GuidedConfig | ClassifierConfig] = {
    "adm-64": GuidedConfig(64, 192, ADM_64, 3, classes=1000, new_order=True, cosine=True),
    "adm-128": GuidedConfig(128, 256, ADM_128, 2, head_channels=None, heads=4, classes=1000),
    "adm-256": GuidedConfig(classes=1000),
    "adm-256-uncond": GuidedConfig(),
    "repaint-celebahq-256": GuidedConfig(),
    "repaint-places2-256": GuidedConfig(),
    "lsun-256": GuidedConfig(),
    "classifier-64": ClassifierConfig(64, multipliers=ADM_64, layers=4),
    "classifier-128": ClassifierConfig(128, multipliers=ADM_128),
    "classifier-256": ClassifierConfig(256),
}

Say = Callable[[str], None]


def convert(
    source: Path, kind: str, name: str | None, models: Path, attention: str | None = None, say: Say = lambda _: None
) -> Path:
    """Convert ``source`` into the folder ``models/name``, or, for a classifier, into the model folder ``models/name``.

    Args:
        source: a .pt, .bin or .safetensors file.
        kind: one of :data:`PRESETS`.
        attention: ``legacy`` or ``new`` where a checkpoint departs from its kind's row order.

    Raises:
        BadInput: unknown kind, bad name, no such file.
        EngineError: unsafe or damaged file, weights of another kind, full disk.
    """
    if kind not in PRESETS:
        raise BadInput("bad_kind", f"There is no kind {kind!r}; choose one of {', '.join(PRESETS)}.")
    config = PRESETS[kind]
    sweep(models)
    if not source.is_file():
        raise BadInput("no_file", f"There is no file {source}; name the downloaded checkpoint.")
    if isinstance(config, ClassifierConfig):
        if name is None or not (models / valid_name(name) / "config.json").is_file():
            raise BadInput("bad_name", "A classifier belongs to a model: give the installed model's name with -o.")
        return _classifier(source, config, models / name, say)
    if attention is not None:
        config = replace(config, new_order=attention == "new")
    target = models / valid_name(name or kind)
    if target.exists():
        raise BadInput(
            "name_taken", f"There is a model {target.name} already; give another name with -o, or remove that one."
        )
    return _unet(source, kind, config, target, say)


def _unet(source: Path, kind: str, config: GuidedConfig, target: Path, say: Say) -> Path:
    with tensors(source, target.parent) as original, staging(target) as folder:
        state = guided.convert_state(original, config)
        try:
            network = unet.build(guided.unet_config(config), state)
        except RuntimeError as error:
            raise _misfit(error) from error
        error_of_attention = guided.probe_attention(network, original, config)
        say(f"attention layers agree with the checkpoint's arithmetic to {error_of_attention:.1g}")
        mine, other = guided.probe_order(original, config, network)
        if mine < guided.ORDER_MARGIN * other:
            say(f"row order confirmed: noise error {mine:.3g}, the other way round {other:.3g}")
        else:
            say(f"row order taken as published: a trial does not tell ({mine:.3g}, other way round {other:.3g})")
        del network
        _write(folder, json.dumps(guided.unet_config(config), indent=2), state)
        (folder / "scheduler_config.json").write_text(json.dumps(guided.scheduler_config(config), indent=2))
        if config.classes == 1000:
            (folder / "labels.txt").write_text("\n".join(imagenet_labels()) + "\n", encoding="utf-8")
        record_origin(folder, source=source, kind=kind)
    return target


def _classifier(source: Path, config: ClassifierConfig, model: Path, say: Say) -> Path:
    target = model / CLASSIFIER
    with tensors(source, model.parent) as original, staging(target, model.parent, replace_it=True) as folder:
        try:
            network = noisy_classifier.build(config, original)
        except RuntimeError as error:
            raise _misfit(error) from error
        del network
        _write(folder, noisy_classifier.config_json(config), original)
        if config.classes == 1000:
            (folder / "labels.txt").write_text("\n".join(imagenet_labels()) + "\n", encoding="utf-8")
        record_origin(folder, source=source, kind=f"classifier-{config.image_size}")
    say(f"{model.name} now has a classifier")
    return target


@contextmanager
def tensors(source: Path, scratch: Path) -> Iterator[guided.State]:
    """The named weights in a checkpoint file, pickled or safetensors, as float32.

    Raises:
        EngineError: ``model_pickled`` (it holds more than weights), ``model_corrupt``, ``disk_full``.
    """
    if source.suffix == ".safetensors":
        try:
            state = load_file(source)
        except Exception as error:  # safetensors raises its own error, OSError or ValueError
            raise _damaged(source, repr(error)) from error
        yield _float(state)
        return
    with converting(scratch) as place:
        plain = place / WEIGHTS
        to_safetensors(source, plain)
        yield _float(load_file(plain))


def to_safetensors(source: Path, target: Path) -> None:
    """Pickled weights → safetensors, in a process of its own that loads nothing but weights.

    Raises:
        EngineError: ``model_pickled``, ``model_corrupt``, ``disk_full``.
    """
    program = Path(unpickle.__file__)
    command = [sys.executable, "-P", str(program), str(source), str(target)]
    pipe = subprocess.PIPE  # its input stays open for as long as this process lives
    with subprocess.Popen(command, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe, text=True) as process:
        assert process.stderr is not None
        details = process.stderr.read().strip()
        status = process.wait()
    if status == unpickle.OK:
        return
    target.unlink(missing_ok=True)
    if status == unpickle.UNSAFE:
        raise EngineError(
            "model_pickled",
            f"{source.name} holds more than weights and could run code, so it was not loaded; "
            "delete it and get the model from its authors.",
            details,
        )
    if status == unpickle.CANNOT_WRITE:
        raise disk_full(target.parent, details)
    raise _damaged(source, details or f"exit code {status}")


def disk_full(folder: Path, details: str = "") -> EngineError:
    return EngineError(
        "disk_full", f"There is not enough room on the disk of {folder}; free some and try again.", details
    )


def imagenet_labels() -> list[str]:
    """Names of ImageNet's 1000 classes by number, synonyms separated by commas."""
    return list(read_labels(Path(__file__).with_name("imagenet.txt")))


def _write(folder: Path, config: str, state: guided.State) -> None:
    (folder / "config.json").write_text(config, encoding="utf-8")
    try:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / WEIGHTS)
    except Exception as error:  # safetensors reports a full disk as its own error
        free = shutil.disk_usage(folder).free
        if getattr(error, "errno", None) == errno.ENOSPC or "No space" in str(error) or free < 2**20:
            raise disk_full(folder, repr(error)) from error
        raise


def _float(original: guided.State) -> guided.State:
    return {name: tensor.float() for name, tensor in original.items()}


def _misfit(error: Exception) -> EngineError:
    return EngineError(
        "checkpoint_keys",
        "The checkpoint's weights have other shapes than this kind of model; check --as, or name another file.",
        str(error),
    )


def _damaged(source: Path, details: str) -> EngineError:
    return EngineError("model_corrupt", f"{source.name} is damaged or not a checkpoint; download it again.", details)
