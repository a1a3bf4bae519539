"""The stand-in hub with small models, for the tests of downloads."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from safetensors.torch import save

from engine import api
from engine.commands import models as commands
from engine.errors import EngineError
from engine.models import convert, download, entries, hub, models_dir
from tests.engine import standin_hub
from tests.engine.checkpoints import CLASSIFIER, Shape, classifier_config, config_of, noisy, relative, weights_of
from tests.engine.standin_hub import REVISION, StandIn

WEIGHTS = "diffusion_pytorch_model.safetensors"
OLD_NAMES = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}


@pytest.fixture(scope="module")
def network() -> UNet2DModel:
    """A small network of the very construction of the google/ddpm-* models."""
    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=32, block_out_channels=(16, 32, 32), layers_per_block=1, norm_num_groups=8, norm_eps=1e-6,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"), downsample_padding=0, attention_head_dim=None,
        flip_sin_to_cos=False, freq_shift=1,
    )  # fmt: skip


@pytest.fixture
def standin(tmp_path, monkeypatch, network):
    """The stand-in holds that network twice, pickled under the names of 2022 and as safetensors, and a catalogue."""
    monkeypatch.setenv("REPAINT_BRIDGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(download, "RETRY_PAUSE", 0.001)
    network.save_config(tmp_path / "saved")
    DDPMScheduler().save_config(tmp_path / "saved")
    state = network.state_dict()
    old = dict(state)
    for today, then in OLD_NAMES.items():
        old = {name.replace(today, then): tensor for name, tensor in old.items()}
    assert old.keys() != state.keys()
    with standin_hub.running() as server:
        for name in entries.CONFIG_FILES:
            server.files[name] = (tmp_path / "saved" / name).read_bytes()
        server.files["diffusion_pytorch_model.bin"] = pickled(old)
        server.files[WEIGHTS] = save(state)
        server.files["adm.safetensors"] = save(dict(weights_of(Shape())))
        server.files["classifier.safetensors"] = save(dict(weights_of(CLASSIFIER)))
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint + "/")
        list_models(tmp_path, monkeypatch, server)
        yield server


def pickled(content: dict) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def list_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: StandIn, **more) -> None:
    common = {"licence": "test", "repo": "google/small", "revision": REVISION}
    listed = [
        {"id": "small", "title": "Small", **common, "weights": WEIGHTS, **more},
        {"id": "pickled", "title": "Pickled", **common, "weights": "diffusion_pytorch_model.bin"},
        {"id": "adm", "title": "ADM", "licence": "test", "url": f"{server.endpoint}/plain/adm.safetensors",
         "kind": "adm", "classifier_url": f"{server.endpoint}/plain/classifier.safetensors",
         "classifier_kind": "judge"},
        {"id": "manual", "title": "Manual", "licence": "test", "page": "a page", "file": "x.pt", "kind": "adm"},
    ]  # fmt: skip
    path = tmp_path / f"catalogue-{len(list(tmp_path.iterdir()))}.json"
    path.write_text(json.dumps(listed))
    monkeypatch.setattr(entries, "CATALOGUE", path)
    monkeypatch.setattr(convert, "PRESETS", {"adm": config_of(Shape()), "judge": classifier_config()})


def get(model_id: str = "small", **more) -> Path:
    return hub.get(model_id, models_dir(), commands._load_strictly, more.pop("progress", lambda *_: None), **more)


def fails(code: str, model_id: str = "small", **more) -> EngineError:
    with pytest.raises(EngineError) as caught:
        get(model_id, **more)
    assert caught.value.code == code, caught.value.sentence
    assert "\n" not in caught.value.sentence
    assert not (models_dir() / model_id).exists()
    return caught.value


def works(network: UNet2DModel, model_id: str = "small") -> None:
    with torch.no_grad():
        expected = network(noisy(), 321).sample
    assert relative(api.load_model(model_id, "cpu").predict(noisy(), 321), expected) < 1e-5
