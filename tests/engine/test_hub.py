"""``models get``, ``verify`` and ``remove`` against a stand-in hub on loopback that cuts, stalls, lies and refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from engine import api
from engine.commands import models as commands
from engine.errors import BadInput, EngineError
from engine.models import catalogue, convert, download, entries, models_dir, unpickle
from tests.engine import standin_hub
from tests.engine.checkpoints import Evil
from tests.engine.hub_help import WEIGHTS, fails, get, list_models, pickled, works
from tests.engine.standin_hub import REVISION

ROOT = Path(__file__).parents[2]


def test_get_verify_remove(standin, network):
    """The whole life of a model whose weights are pickled under old names, with progress."""
    assert {info.id: info.installed for info in catalogue()}["pickled"] is False
    seen: list[tuple[str, int, int | None]] = []
    folder = get("pickled", progress=lambda *step: seen.append(step))
    assert {path.name for path in folder.iterdir()} == {"config.json", "scheduler_config.json", WEIGHTS, "origin.json"}
    size = len(standin.files["diffusion_pytorch_model.bin"])
    assert seen[-1] == ("diffusion_pytorch_model.bin", size, size)
    assert not (models_dir() / ".downloads" / "pickled").exists()
    works(network, "pickled")
    info = {info.id: info for info in catalogue()}["pickled"]
    assert (info.installed, info.title, info.licence) == (True, "Pickled", "test")
    origin = json.loads((folder / "origin.json").read_text())
    assert (origin["source"], origin["revision"]) == ("google/small", REVISION)
    assert any("3 files" in line for line in commands.verify("pickled"))
    with pytest.raises(BadInput):
        get("pickled")
    commands.remove("pickled")
    assert not folder.exists()
    with pytest.raises(BadInput):
        commands.verify("pickled-too")
    with pytest.raises(EngineError) as caught:
        api.load_model("pickled", "cpu")
    assert "models get pickled" in caught.value.sentence


def test_cut_connections_are_resumed(standin, network):
    size = len(standin.files[WEIGHTS])
    standin.cuts = [size // 3, 1000, 0, size // 4]
    get()
    works(network)
    first, second = size // 3, size // 3 + 1000
    assert standin.ranges == [
        None, f"bytes={first}-", f"bytes={second}-", f"bytes={second}-", f"bytes={second + size // 4}-",
    ]  # fmt: skip
    assert standin.sent == size


def test_a_later_run_continues_an_earlier_one(standin, network):
    size = len(standin.files[WEIGHTS])
    standin.cuts = [size // 2] + [0] * 10
    assert "continue" in fails("download_failed").sentence
    standin.cuts, standin.ranges = [], []
    get()
    works(network)
    assert standin.ranges == [f"bytes={size // 2}-"]
    assert standin.sent == size


def test_a_file_that_changed_in_between_starts_anew(standin, network):
    right = standin.files[WEIGHTS]
    standin.files[WEIGHTS] = bytes(len(right))
    standin.cuts = [len(right) // 2] + [0] * 10
    fails("download_failed")
    standin.files[WEIGHTS], standin.cuts, standin.ranges = right, [], []
    get()
    works(network)
    assert standin.ranges == [None]


def test_a_server_that_knows_no_ranges(standin, network):
    standin.ignore_range = True
    standin.cuts = [len(standin.files[WEIGHTS]) // 2]
    get()
    works(network)


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
def test_wrong_content_is_deleted_and_never_installed(name, standin, network):
    """Large files against the SHA-256 that the hub sends, small ones against git's SHA-1."""
    right = standin.files[name]
    standin.served[name] = right[:-1] + bytes([right[-1] ^ 1])
    fails("checksum")
    assert not (models_dir() / ".downloads" / "small" / f"{name}.part").exists()
    standin.served.clear()
    get()
    works(network)


def test_the_catalogues_own_hash_outranks_the_hubs(standin, tmp_path, monkeypatch):
    list_models(tmp_path, monkeypatch, standin, sha256="0" * 64)
    fails("checksum")


def test_refusals(standin):
    for status, code in ((404, "not_found"), (403, "not_found"), (401, "not_found"), (400, "download_failed")):
        standin.statuses = {WEIGHTS: status}
        fails(code)
    standin.statuses = {"adm.safetensors": 404}
    fails("not_found", "adm")
    standin.statuses = {"adm.safetensors": 503}
    fails("offline", "adm")


def test_a_stalled_server_is_given_up(standin, monkeypatch):
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "0.2")
    monkeypatch.setattr(download, "RETRIES", 1)
    standin.cuts = [5000, -1, -1, -1]
    assert "continue" in fails("download_failed").sentence
    assert len(standin.ranges) == 3


def test_no_connection(standin, monkeypatch):
    monkeypatch.setattr(download, "RETRIES", 1)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    error = fails("offline")
    assert "HF_ENDPOINT" in error.sentence
    assert ".downloads" in error.sentence
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for model_id in ("small", "adm"):
        assert "HF_HUB_OFFLINE" in fails("offline", model_id).sentence
    assert not standin.ranges


def test_files_put_there_by_hand(standin, network, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    place = models_dir() / ".downloads" / "small"
    place.mkdir(parents=True)
    for name in (*entries.CONFIG_FILES, WEIGHTS):
        (place / name).write_bytes(standin.files[name])
    get()
    works(network)
    assert not standin.ranges


def test_files_that_another_program_fetched_before(standin, network, monkeypatch):
    """huggingface_hub's own cache, filled by itself, is taken instead of the network."""
    from huggingface_hub import hf_hub_download

    for name in (*entries.CONFIG_FILES, WEIGHTS):
        hf_hub_download("google/small", name, revision=REVISION, endpoint=standin.endpoint)
    asked = len(standin.ranges)
    assert asked == 1
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    get()
    works(network)
    assert len(standin.ranges) == asked


@pytest.fixture
def tiny_disk(tmp_path):
    """A real file system of 256 KiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("needs root to mount a small disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("tell_length", [True, False])
def test_full_disk(tell_length, standin, tiny_disk):
    """Known beforehand, and only found out while writing."""
    standin.tell_length = tell_length
    size = None if not tell_length else len(standin.files[WEIGHTS])
    assert len(standin.files[WEIGHTS]) > 300_000
    remote = download.Remote(f"{standin.endpoint}/plain/{WEIGHTS}", size)
    with pytest.raises(EngineError) as caught:
        download.fetch(remote, tiny_disk / "file", lambda *_: None)
    assert caught.value.code == "disk_full"
    assert not (tiny_disk / "file").exists()
    assert bool(standin.sent) != tell_length
    subprocess.run(["mount", "-o", "remount,size=4m", str(tiny_disk)], check=True)
    standin.tell_length = True
    download.fetch(remote, tiny_disk / "file", lambda *_: None)
    assert (tiny_disk / "file").read_bytes() == standin.files[WEIGHTS]
    if not tell_length:
        assert standin.ranges[-1] is not None


def test_full_disk_while_converting(tiny_disk, tmp_path):
    torch.save({"w": torch.randn(200_000)}, tmp_path / "weights.pt")
    code = unpickle.main(str(tmp_path / "weights.pt"), str(tiny_disk / "weights.safetensors"))
    assert code == unpickle.CANNOT_WRITE


def test_a_checkpoint_from_a_plain_server_with_its_classifier(standin):
    """Resumed by its ETag, checked by the MD5 that the server states, converted, pinned."""
    standin.tell_md5 = True
    right = standin.files["adm.safetensors"]
    standin.served["adm.safetensors"] = right[:-1] + bytes([right[-1] ^ 1])
    fails("checksum", "adm")
    standin.served.clear()
    standin.cuts = [len(right) // 2]
    get("adm", classifier=True)
    assert standin.ranges[-2:] == [f"bytes={len(right) // 2}-", None]
    model = api.load_model("adm", "cpu")
    assert model.classifier_gradient is not None
    assert {info.id: info.takes_label for info in catalogue()}["adm"]
    assert json.loads((models_dir() / "adm" / "origin.json").read_text())["source"] == "adm.safetensors"
    assert not (models_dir() / ".downloads" / "adm").exists()


def test_a_malicious_pickle_from_the_hub_never_runs(standin, tmp_path):
    flag = tmp_path / "ran"
    standin.files["diffusion_pytorch_model.bin"] = pickled({"w": torch.zeros(9000), "evil": Evil(flag)})
    assert len(standin.files["diffusion_pytorch_model.bin"]) > standin_hub.LARGE
    fails("model_pickled", "pickled")
    assert not flag.exists()


def test_weights_that_do_not_fit_are_not_installed(standin):
    standin.files[WEIGHTS] = save({"w": torch.zeros(9000)})
    fails("model_corrupt")
    assert not list((models_dir() / ".downloads" / "small").iterdir())


def test_a_network_that_answers_nonsense_is_noticed_by_verify(standin, network):
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state["conv_out.bias"][0] = float("nan")
    standin.files[WEIGHTS] = save(state)
    get()
    with pytest.raises(EngineError) as caught:
        commands.verify("small")
    assert caught.value.code == "model_output"


def test_what_cannot_be_had(standin):
    for model_id in ("manual", "texture", "no-such-model", "../small"):
        with pytest.raises(BadInput):
            get(model_id)
    with pytest.raises(BadInput):
        get("small", classifier=True)
    assert not standin.ranges


@pytest.mark.usefixtures("standin")
def test_only_one_download_of_a_model_at_a_time():
    from filelock import FileLock

    (models_dir() / ".downloads").mkdir(parents=True)
    with FileLock(models_dir() / ".downloads" / "small.lock"):
        fails("busy")


@pytest.mark.usefixtures("standin")
@pytest.mark.parametrize("name", ["texture", "../home", "..", "/", "", ".downloads", "nothing"])
def test_remove_touches_nothing_else(name):
    get()
    with pytest.raises(BadInput):
        commands.remove(name)
    assert (models_dir() / "small").exists()


@pytest.mark.usefixtures("standin")
def test_remove_of_a_link_leaves_what_it_points_to(tmp_path):
    real = tmp_path / "real"
    real.mkdir()
    (real / "config.json").write_text("{}")
    models_dir().mkdir(parents=True)
    (models_dir() / "linked").symlink_to(real)
    commands.remove("linked")
    assert (real / "config.json").exists()
    assert not (models_dir() / "linked").exists()


@pytest.mark.usefixtures("standin")
def test_a_folder_of_ones_own_is_pinned_by_verify():
    folder = get()
    (folder / "origin.json").unlink()
    assert any("pinned" in line for line in commands.verify("small"))
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    with pytest.raises(EngineError) as caught:
        commands.verify("small")
    assert caught.value.code == "model_changed"


@pytest.mark.usefixtures("standin")
@pytest.mark.slow
def test_the_command_in_a_process_of_its_own_installs_for_this_user_only():
    """The mirror by environment variable, as a user would; without a umask."""
    program = (
        "import sys; from pathlib import Path; from engine.models import entries;"
        f"entries.CATALOGUE = Path({str(entries.CATALOGUE)!r}); from engine.commands.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", program, "models", "get", "small"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, umask=0)
    assert done.returncode == 0, done.stderr
    assert "installed: small" in done.stdout
    assert WEIGHTS in done.stderr
    assert "small" in {info.id for info in catalogue() if info.installed}
    found = [models_dir(), *models_dir().rglob("*")]
    assert any(path.name == WEIGHTS for path in found)
    assert {path for path in found if path.stat().st_mode & 0o077} == set()


def test_the_catalogue_itself():
    ids = [entry.id for entry in entries.known_models()]
    assert len(set(ids)) == len(ids)
    for entry in entries.known_models():
        assert re.fullmatch("[a-z0-9-]{1,64}", entry.id)
        assert [entry.repo, entry.url, entry.page].count(None) == 2
        assert entry.sha256 is None or re.fullmatch("[0-9a-f]{64}", entry.sha256)
        assert not entry.repo or re.fullmatch("[0-9a-f]{40}", entry.revision)
        assert not entry.url or entry.url.startswith("https://")
        assert entry.kind is None or entry.kind in convert.PRESETS
        assert entry.classifier_kind is None or entry.classifier_kind in convert.PRESETS
        if entry.kind is not None:
            assert entry.takes_label == (getattr(convert.PRESETS[entry.kind], "classes", None) is not None)
    assert {"ddpm-celebahq-256", "ddpm-church-256", "ddpm-bedroom-256", "ddpm-cat-256"} <= set(ids)
    assert ids == [info.id for info in catalogue() if info.id in ids]
