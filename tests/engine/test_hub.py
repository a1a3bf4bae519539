"""``models get``, ``verify`` and ``remove`` against a stand-in hub on loopback that cuts, stalls, lies and refuses."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from safetensors.torch import save

from engine import api
from engine.commands import models as commands
from engine.errors import BadInput, EngineError
from engine.models import catalogue, convert, download, entries, hub, models_dir, unpickle, watched
from tests.engine import standin_hub, toys
from tests.engine.checkpoints import CLASSIFIER, Evil, Shape, classifier_config, config_of, noisy, relative, weights_of
from tests.engine.standin_hub import REVISION, StandIn

ROOT = Path(__file__).parents[2]
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
        server.files["diffusion_pytorch_model.bin"] = _pickled(old)
        server.files[WEIGHTS] = save(state)
        server.files["adm.safetensors"] = save(dict(weights_of(Shape())))
        server.files["classifier.safetensors"] = save(dict(weights_of(CLASSIFIER)))
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint + "/")
        _catalogue(tmp_path, monkeypatch, server)
        yield server


def _pickled(content: dict) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: StandIn, **more) -> None:
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


def _get(model_id: str = "small", **more) -> Path:
    return hub.get(model_id, models_dir(), commands._load_strictly, more.pop("progress", lambda *_: None), **more)


def _fails(code: str, model_id: str = "small", **more) -> EngineError:
    with pytest.raises(EngineError) as caught:
        _get(model_id, **more)
    assert caught.value.code == code, caught.value.sentence
    assert "\n" not in caught.value.sentence
    assert not (models_dir() / model_id).exists()
    return caught.value


def _works(network: UNet2DModel, model_id: str = "small") -> None:
    with torch.no_grad():
        expected = network(noisy(), 321).sample
    assert relative(api.load_model(model_id, "cpu").predict(noisy(), 321), expected) < 1e-5


def test_get_verify_remove(standin, network):
    """The whole life of a model whose weights are pickled under old names, with progress."""
    assert {info.id: info.installed for info in catalogue()}["pickled"] is False
    seen: list[tuple[str, int, int | None]] = []
    folder = _get("pickled", progress=lambda *step: seen.append(step))
    assert {path.name for path in folder.iterdir()} == {"config.json", "scheduler_config.json", WEIGHTS, "origin.json"}
    size = len(standin.files["diffusion_pytorch_model.bin"])
    assert seen[-1] == ("diffusion_pytorch_model.bin", size, size)
    assert not (models_dir() / ".downloads" / "pickled").exists()
    _works(network, "pickled")
    info = {info.id: info for info in catalogue()}["pickled"]
    assert (info.installed, info.title, info.licence) == (True, "Pickled", "test")
    origin = json.loads((folder / "origin.json").read_text())
    assert (origin["source"], origin["revision"]) == ("google/small", REVISION)
    assert any("3 files" in line for line in commands.verify("pickled"))
    with pytest.raises(BadInput):
        _get("pickled")
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
    _get()
    _works(network)
    first, second = size // 3, size // 3 + 1000
    assert standin.ranges == [
        None, f"bytes={first}-", f"bytes={second}-", f"bytes={second}-", f"bytes={second + size // 4}-",
    ]  # fmt: skip
    assert standin.sent == size


def test_a_later_run_continues_an_earlier_one(standin, network):
    size = len(standin.files[WEIGHTS])
    standin.cuts = [size // 2] + [0] * 10
    assert "continue" in _fails("download_failed").sentence
    standin.cuts, standin.ranges = [], []
    _get()
    _works(network)
    assert standin.ranges == [f"bytes={size // 2}-"]
    assert standin.sent == size


def test_a_file_that_changed_in_between_starts_anew(standin, network):
    right = standin.files[WEIGHTS]
    standin.files[WEIGHTS] = bytes(len(right))
    standin.cuts = [len(right) // 2] + [0] * 10
    _fails("download_failed")
    standin.files[WEIGHTS], standin.cuts, standin.ranges = right, [], []
    _get()
    _works(network)
    assert standin.ranges == [None]


def test_a_server_that_knows_no_ranges(standin, network):
    standin.ignore_range = True
    standin.cuts = [len(standin.files[WEIGHTS]) // 2]
    _get()
    _works(network)


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
def test_wrong_content_is_deleted_and_never_installed(name, standin, network):
    """Large files against the SHA-256 that the hub sends, small ones against git's SHA-1."""
    right = standin.files[name]
    standin.served[name] = right[:-1] + bytes([right[-1] ^ 1])
    _fails("checksum")
    assert not (models_dir() / ".downloads" / "small" / f"{name}.part").exists()
    standin.served.clear()
    _get()
    _works(network)


def test_the_catalogues_own_hash_outranks_the_hubs(standin, tmp_path, monkeypatch):
    _catalogue(tmp_path, monkeypatch, standin, sha256="0" * 64)
    _fails("checksum")


def test_refusals(standin):
    for status, code in ((404, "not_found"), (403, "not_found"), (401, "not_found"), (400, "download_failed")):
        standin.statuses = {WEIGHTS: status}
        _fails(code)
    standin.statuses = {"adm.safetensors": 404}
    _fails("not_found", "adm")
    standin.statuses = {"adm.safetensors": 503}
    _fails("offline", "adm")


def test_a_stalled_server_is_given_up(standin, monkeypatch):
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "0.2")
    monkeypatch.setattr(download, "RETRIES", 1)
    standin.cuts = [5000, -1, -1, -1]
    assert "continue" in _fails("download_failed").sentence
    assert len(standin.ranges) == 3


def test_no_connection(standin, monkeypatch):
    monkeypatch.setattr(download, "RETRIES", 1)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    error = _fails("offline")
    assert "HF_ENDPOINT" in error.sentence
    assert ".downloads" in error.sentence
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for model_id in ("small", "adm"):
        assert "HF_HUB_OFFLINE" in _fails("offline", model_id).sentence
    assert not standin.ranges


def test_files_put_there_by_hand(standin, network, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    place = models_dir() / ".downloads" / "small"
    place.mkdir(parents=True)
    for name in (*entries.CONFIG_FILES, WEIGHTS):
        (place / name).write_bytes(standin.files[name])
    _get()
    _works(network)
    assert not standin.ranges


def test_files_that_another_program_fetched_before(standin, network, monkeypatch):
    """huggingface_hub's own cache, filled by itself, is taken instead of the network."""
    from huggingface_hub import hf_hub_download

    for name in (*entries.CONFIG_FILES, WEIGHTS):
        hf_hub_download("google/small", name, revision=REVISION, endpoint=standin.endpoint)
    asked = len(standin.ranges)
    assert asked == 1
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    _get()
    _works(network)
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
    _fails("checksum", "adm")
    standin.served.clear()
    standin.cuts = [len(right) // 2]
    _get("adm", classifier=True)
    assert standin.ranges[-2:] == [f"bytes={len(right) // 2}-", None]
    model = api.load_model("adm", "cpu")
    assert model.classifier_gradient is not None
    assert {info.id: info.takes_label for info in catalogue()}["adm"]
    assert json.loads((models_dir() / "adm" / "origin.json").read_text())["source"] == "adm.safetensors"
    assert not (models_dir() / ".downloads" / "adm").exists()


def test_a_malicious_pickle_from_the_hub_never_runs(standin, tmp_path):
    flag = tmp_path / "ran"
    standin.files["diffusion_pytorch_model.bin"] = _pickled({"w": torch.zeros(9000), "evil": Evil(flag)})
    assert len(standin.files["diffusion_pytorch_model.bin"]) > standin_hub.LARGE
    _fails("model_pickled", "pickled")
    assert not flag.exists()


def test_weights_that_do_not_fit_are_not_installed(standin):
    standin.files[WEIGHTS] = save({"w": torch.zeros(9000)})
    _fails("model_corrupt")
    assert not list((models_dir() / ".downloads" / "small").iterdir())


def test_a_network_that_answers_nonsense_is_noticed_by_verify(standin, network):
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state["conv_out.bias"][0] = float("nan")
    standin.files[WEIGHTS] = save(state)
    _get()
    with pytest.raises(EngineError) as caught:
        commands.verify("small")
    assert caught.value.code == "model_output"


def test_what_cannot_be_had(standin):
    for model_id in ("manual", "texture", "no-such-model", "../small"):
        with pytest.raises(BadInput):
            _get(model_id)
    with pytest.raises(BadInput):
        _get("small", classifier=True)
    assert not standin.ranges


@pytest.mark.usefixtures("standin")
def test_only_one_download_of_a_model_at_a_time():
    from filelock import FileLock

    (models_dir() / ".downloads").mkdir(parents=True)
    with FileLock(models_dir() / ".downloads" / "small.lock"):
        _fails("busy")


@pytest.mark.usefixtures("standin")
@pytest.mark.parametrize("name", ["texture", "../home", "..", "/", "", ".downloads", "nothing"])
def test_remove_touches_nothing_else(name):
    _get()
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
    folder = _get()
    (folder / "origin.json").unlink()
    assert any("pinned" in line for line in commands.verify("small"))
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    with pytest.raises(EngineError) as caught:
        commands.verify("small")
    assert caught.value.code == "model_changed"


def _get_by_command(**how):
    """In a process of its own; the mirror by environment variable, as a user would."""
    program = (
        "import sys; from pathlib import Path; from engine.models import entries;"
        f"entries.CATALOGUE = Path({str(entries.CATALOGUE)!r}); from engine.commands.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", program, "models", "get", "small"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **how)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.usefixtures("standin")
def test_a_model_is_installed_for_this_user_only():
    _get_by_command(umask=0)
    found = [models_dir(), *models_dir().rglob("*")]
    assert any(path.name == WEIGHTS for path in found)
    assert {path for path in found if path.stat().st_mode & 0o077} == set()


@pytest.mark.usefixtures("standin")
def test_the_command_line_in_a_process_of_its_own():
    done = _get_by_command()
    assert "installed: small" in done.stdout
    assert WEIGHTS in done.stderr
    assert "small" in {info.id for info in catalogue() if info.installed}


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


# ------------------------------------------------------------------------------------------ whole pipelines with text


@pytest.fixture
def pipeline(tmp_path, monkeypatch, standin) -> StandIn:
    """The stand-in also holds the toy latent model as a hub would, and a catalogue that names it."""
    for path in toys.FOLDER.rglob("*"):
        if path.is_file():
            name = path.relative_to(toys.FOLDER).as_posix()
            standin.files[name.replace(".safetensors", ".fp16.safetensors")] = path.read_bytes()
    listed = [
        {"id": name, "title": "Toy", "licence": "a licence", "repo": "some/toy", "revision": REVISION,
         "layout": "sd", "half": True, "gated": name == "gated"}
        for name in ("words", "gated")
    ]  # fmt: skip
    path = tmp_path / "pipelines.json"
    path.write_text(json.dumps(listed))
    monkeypatch.setattr(entries, "CATALOGUE", path)
    return standin


@pytest.mark.usefixtures("pipeline")
def test_a_whole_pipeline_is_installed_and_its_licence_said_first():
    said: list[str] = []
    listed = next(info for info in catalogue() if info.id == "words")
    assert (listed.installed, listed.takes_prompt, listed.licence) == (False, True, "a licence")
    target = _get("words", say=said.append)
    assert "a licence" in said[0]
    assert "some/toy" in said[0]
    model = api.load_model("words", "cpu")
    assert model.info.takes_prompt
    assert api.load_model(str(toys.FOLDER), "cpu").read("red").embeddings.keys() == model.read("red").embeddings.keys()
    origin = json.loads((target / "origin.json").read_text())
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in origin["files"]
    assert commands.verify("words")[0].endswith("as they arrived")
    assert not (models_dir() / ".downloads" / "words").exists()
    assert commands.remove("words") == "words"


def test_a_pipeline_goes_on_where_it_was_cut(pipeline):
    """A cut, then a silence; the second try asks for the rest only."""
    pipeline.cuts = [50_000] + [0] * 20
    _fails("download_failed", "words")
    pipeline.cuts = []
    _get("words")
    assert any(asked and asked.startswith("bytes=50000") for asked in pipeline.ranges)


def test_a_damaged_part_of_a_pipeline_is_not_installed(pipeline):
    name = "vae/config.json"
    pipeline.files[name] = pipeline.files["unet/config.json"]
    _fails("model_corrupt", "words")


def test_a_gated_repository_says_what_to_do(pipeline, monkeypatch):
    monkeypatch.setenv(hub.TOKEN_HOST, f"127.0.0.1:{pipeline.port}")
    pipeline.statuses["model_index.json"] = 401
    error = _fails("gated", "gated")
    assert "HF_TOKEN" in error.sentence
    assert "a licence" in error.sentence
    _fails("not_found", "words")


def test_a_token_goes_to_no_mirror_that_was_not_named_for_it(pipeline, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.delenv(hub.TOKEN_HOST, raising=False)
    _get("words")
    assert pipeline.tokens == []
    pipeline.statuses["model_index.json"] = 401
    assert hub.TOKEN_HOST in _fails("gated", "gated").sentence
    assert pipeline.tokens == []


def test_a_token_goes_to_the_named_mirror_but_not_to_its_storage(pipeline, monkeypatch):
    """Small files come from the mirror itself, large ones from where it redirects."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv(hub.TOKEN_HOST, f"127.0.0.1:{pipeline.port}")
    _get("words")
    assert {token for _, _, token in pipeline.tokens} == {"Bearer hf_secret"}
    assert {host for host, _, _ in pipeline.tokens} == {f"127.0.0.1:{pipeline.port}"}
    assert all("/resolve/" in path for _, path, _ in pipeline.tokens)


@pytest.mark.parametrize(
    ("url", "named", "may"),
    [
        ("https://huggingface.co/a/b", None, True),
        ("http://huggingface.co/a/b", None, False),
        ("http://huggingface.co/a/b", "huggingface.co", False),
        ("https://huggingface.co.evil.org/a", None, False),
        ("https://evil.org/huggingface.co", None, False),
        ("https://huggingface.co@evil.org/a", None, False),
        ("https://mirror.org/a", None, False),
        ("https://mirror.org/a", "mirror.org", True),
        ("https://other.mirror.org/a", "mirror.org", False),
        ("http://mirror.org/a", "mirror.org", False),
        ("http://127.0.0.1:5/a", None, False),
        ("http://127.0.0.1:5/a", "127.0.0.1:5", True),
        ("http://127.0.0.1.evil.org/a", "127.0.0.1.evil.org", False),
        ("ftp://huggingface.co/a", None, False),
    ],
)
def test_where_a_token_may_go(monkeypatch, url, named, may):
    monkeypatch.delenv(hub.TOKEN_HOST, raising=False)
    if named is not None:
        monkeypatch.setenv(hub.TOKEN_HOST, named)
    assert hub.may_have_token(url) is may


def test_a_watcher_hears_of_the_whole_model(pipeline):
    """Bytes of all files together, also of those that an earlier try has left; silence between two words."""
    pipeline.cuts = [50_000] + [0] * 20
    _fails("download_failed", "words")
    pipeline.cuts = []
    size = sum(path.stat().st_size for path in toys.FOLDER.rglob("*") if path.is_file())
    said: list[dict] = []
    report = watched.Report(said.append, clock=lambda: 0.0)
    _get("words", progress=report, expect=report.expect)
    assert said[-1] == {"done": size, "total": size}
    assert said[0]["total"] == size
    assert len(said) == 2, "the clock stood still: the first word and the last"
