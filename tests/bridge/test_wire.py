"""Errors that end nothing else, versions that part, lists that are longer than a message."""

from __future__ import annotations

import io
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zmq

from bridge_server import work
from bridge_server.__main__ import main
from bridge_server.auth import Gate
from bridge_server.client import codec, events, launch, link, messages, proof, records
from bridge_server.client.errors import WireError
from bridge_server.client.jobs import Jobs
from bridge_server.client.pieces import Pages
from bridge_server.client.records import JobEntry, Model, Step
from bridge_server.client.waiting import Waiting
from bridge_server.client.zmtp import Dealer
from bridge_server.desk import VERSIONS_DIFFER
from bridge_server.worker import __main__ as worker
from bridge_server.worker import line, options, process
from bridge_server.worker.shelf import JUMPS
from engine.errors import BadInput
from engine.run import job as engine_job
from engine.run import maps as engine_maps
from engine.sampling import noise
from tests.bridge.home import FAST, ROOT, Ear, Home, alive, request, submit, until
from tests.bridge.test_gate import record

# ------------------------------------------------------------------------------------------------------------- errors


def errors(ear: Ear) -> list[messages.Error]:
    return [message for _, message, _ in ear.heard if isinstance(message, messages.Error)]


def test_an_error_names_what_it_answers(shared: Home) -> None:
    ear = Ear(shared.link("names"))
    for frames, about, job in (
        ([b"RPB1", b'{"type":"submit","job":"half"}'], "submit", "half"),
        ([b"RPB1", b'{"type":"pull","job":"none","variant":0,"offset":0,"length":1}'], "pull", "none"),
        ([b"RPB1", b'{"type":"cancel","job":"a b"}'], "cancel", "a b"),
        ([b"RPB1", b'{"type":"no-such","job":["a"]}'], "no-such", ""),
        ([b"RPB1", b"{"], "", ""),
    ):
        count = len(errors(ear))
        ear.link.dealer.send(frames)
        answer = ear.wait(lambda count=count: errors(ear)[count:], "the answer")[0]
        assert (answer.about, answer.job) == (about, job)
        assert answer.sentence


def test_refusals_do_not_end_a_session(shared: Home) -> None:
    """One that went on under another name once connected again and again, for what it had to say of the old one's."""
    owner, other = shared.session("owner", history=True), shared.session(history=True)
    job = owner.session.submit(request())
    assert isinstance(owner.end(job), events.Done)
    for act in (other.session.release, other.session.cancel, other.session.fetch):
        act(job)
    other.session.drop(job, 0)
    other.session.keep(job)
    until(lambda: other.all(events.Notice), "the refusal of a wish, as a sentence")
    assert len(other.run(request())) == 1
    assert not other.all(events.Disconnected)
    assert len(owner.of(job, events.Result)) == 1
    owner.session.fetch(job)
    until(lambda: len(owner.of(job, events.Result)) == 2, "the result once more")


class Sent:
    """A link that only notes what is sent."""

    unsent = 0

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, message: Any, _payload: Any = None) -> None:
        self.messages.append(message)


def taking(history: bool = False) -> tuple[Jobs, Waiting, Sent]:
    waiting, sent = Waiting(lambda: None), Sent()
    jobs = Jobs(waiting, history, 0.0)
    jobs.connected(sent)  # type: ignore[arg-type]
    return jobs, waiting, sent


def take(jobs: Jobs, message: Any) -> None:
    jobs.handlers[type(message)](message, None)


def test_another_name_inherits_nothing() -> None:
    jobs, waiting, sent = taking(history=True)
    jobs.drop("old", 1)
    jobs.release("older")
    take(jobs, messages.Jobs((JobEntry("kept", "", "texture", "done", 1, 1, 8, 8, "u8"),)))
    assert [type(event) for event in waiting.take()] == [events.Recovered]
    jobs.renamed()
    sent.messages.clear()
    jobs.connected(sent)  # type: ignore[arg-type]
    assert sent.messages == [messages.Attach(())]
    jobs.resume("kept")
    assert sent.messages == [messages.Attach(())]
    jobs.fetch("kept")
    (event,) = waiting.take()
    assert isinstance(event, events.Failed)
    assert event.code == "lost"


@pytest.mark.parametrize("about", ["submit", "attach", "cancel", "pull"])
def test_a_job_ends_with_the_error_about_it(about: str) -> None:
    jobs, waiting, sent = taking()
    jobs.begin("one", request())
    while jobs.uploading:
        jobs.upload_piece(sent)  # type: ignore[arg-type]
    take(jobs, messages.Error("internal", "It failed.", about, "another"))
    take(jobs, messages.Error("internal", "It failed.", "credit", "one"))
    assert waiting.take() == []
    take(jobs, messages.Error("internal", "It failed.", about, "one"))
    take(jobs, messages.Error("internal", "It failed.", about, "one"))
    assert waiting.take() == [events.Failed("one", "internal", "It failed.")]


def test_pulls_that_are_refused_leave_room_for_others() -> None:
    jobs, _, sent = taking()
    for name in ("one", "two"):
        jobs.begin(name, request())
    take(jobs, messages.Result("one", 0, 1, 0, 0, 8192, 8192, "texture", 1.0, 1, False, "u8"))
    take(jobs, messages.Result("two", 0, 1, 0, 0, 8, 8, "texture", 1.0, 1, False, "u8"))
    pulls = [message for message in sent.messages if isinstance(message, messages.Pull)]
    assert [pull.job for pull in pulls] == ["one"] * 4
    for _ in pulls:
        take(jobs, messages.Error("lost", "It is gone.", "pull", "one"))
    assert sent.messages[-1] == messages.Pull("two", 0, 0, 256)


def test_who_has_not_said_hello_is_told_so(shared: Home) -> None:
    """A session connects again then: the bridge took it for lost."""
    address = shared.address()
    one = Dealer.connect("127.0.0.1", address.port, b"client", proof.client_password(address.secret), 5)
    one.send(codec.encode(messages.Ping(1)))
    until(lambda: one.wait(0.1), "an answer")
    (answer,) = [codec.decode(frames, messages.WIRE)[0] for frames in one.receive()]
    one.close()
    assert (answer.code, answer.about) == (link.NO_HELLO, "ping")


# ----------------------------------------------------------------------------------------------------------- versions


@pytest.mark.promise(15)
@pytest.mark.parametrize(
    ("version", "code"),
    [
        (1, link.IN_USE),
        (3, link.IN_USE),
        (4, link.PROTOCOL),
        (5, link.PROTOCOL),
        (6, link.PROTOCOL),
        (7, link.PROTOCOL),
        (9, link.PROTOCOL),
        (999, link.PROTOCOL),
    ],
)
def test_a_plug_in_of_another_version_is_told_so_in_words_that_it_knows(shared: Home, version: int, code: str) -> None:
    """Version 3 and before raised at once only for `in_use`; after other codes they waited for 45 s."""
    address = shared.address()
    dealer = Dealer.connect("127.0.0.1", address.port, b"client", proof.client_password(address.secret), 5)
    header = b'{"type":"hello","protocol":%d,"client":"old","app":"krita","nonce":"n"}' % version
    dealer.send([b"RPB1", header])
    until(lambda: dealer.wait(0.1), "an answer")
    (answer,) = [codec.parse_header(frames[1]) for frames in dealer.receive()]
    dealer.close()
    assert answer["type"] == "error"
    assert (answer["code"], answer["sentence"], answer["about"]) == (code, VERSIONS_DIFFER, "hello")


class OldBridge:
    """Answers a hello as a bridge of version 3 does."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._gate = Gate(self._context)
        self._gate.knows = lambda _domain, _credentials: True  # type: ignore[method-assign]
        self._router = self._gate.router(b"x", 100, 4 << 20)
        self.port = self._gate.port(self._router)
        self.hellos = 0

    def step(self) -> None:
        self._gate.answer()
        while self._router.poll(10):
            route, _, header = self._router.recv_multipart()
            assert codec.parse_header(header)["type"] == "hello"
            self.hellos += 1
            error = b'{"type":"error","code":"protocol","sentence":"Versions differ.","about":"hello","details":""}'
            self._router.send_multipart([route, b"RPB1", error])

    def close(self) -> None:
        self._router.close(0)
        self._gate.socket.close(0)
        self._context.term()


@pytest.mark.promise(15)
def test_a_plug_in_tells_of_a_bridge_of_another_version_at_once_and_starts_no_second_one(home: Home) -> None:
    old = OldBridge()
    record(home, old.port)
    watched = home.session()
    began = time.monotonic()

    def gone() -> list[Any]:
        old.step()
        return watched.all(events.Disconnected)

    (event,) = until(gone, "the sentence")
    assert time.monotonic() - began < 10
    assert (event.sentence, event.code) == ("Versions differ.", link.PROTOCOL)
    until(lambda: old.step() or old.hellos >= 3, "it tries again")
    assert len(watched.all(events.Disconnected)) == 1, "it says so once"
    assert not list((home.state).glob("logs/*"))
    old.close()


@pytest.mark.promise(15)
def test_a_bridge_of_another_version_can_be_stopped(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home.ready()
    pid = home.bridge_pid()
    monkeypatch.setattr(messages, "PROTOCOL", messages.PROTOCOL + 1)
    assert main(["status"]) == 1
    assert VERSIONS_DIFFER in capsys.readouterr().out
    assert main(["stop"]) == 0
    until(lambda: not alive(pid), "the end of the process, which has given its lock back", patience=5.0)


# -------------------------------------------------------------------------------------------------------------- lists


def model(number: int) -> Model:
    return Model(f"m{number}", "ü" * 200, "latent", "€" * 200, True, False, False, source="s" * 300)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 400, 1000])
def test_a_list_of_any_length_comes_in_messages_that_fit(count: int) -> None:
    whole = messages.Catalogue(tuple(model(number) for number in range(count)), (), "ready")
    divided = codec.pages(whole, "models", messages.PAGE)
    assert [page.more for page in divided] == [True] * (len(divided) - 1) + [False]
    pages = Pages("models")
    heard = [pages.whole(codec.decode(codec.encode(page), messages.WIRE)[0]) for page in divided]
    assert heard == [None] * (len(divided) - 1) + [whole]


@pytest.mark.parametrize(
    "whole",
    [
        messages.Jobs(tuple(JobEntry(f"j{k}", "ü" * 1000, "texture", "done", 1, 1, 8, 8, "u8") for k in range(700))),
        messages.Steps("job", 3, tuple(Step(k, 2**53, 2**53, 2**53) for k in range(500))),
    ],
)
def test_jobs_and_steps_come_so_too(whole: Any) -> None:
    name = type(whole).TYPE
    pages = Pages(name)
    heard = [pages.whole(page, "key") for page in codec.pages(whole, name, messages.PAGE) if codec.encode(page)]
    assert heard[-1] == whole
    assert set(heard[:-1]) == {None}


def test_lists_that_come_at_the_same_time_are_kept_apart() -> None:
    pages, steps = Pages("steps"), tuple(Step(k, 0, 0, 0) for k in range(4))
    assert pages.whole(messages.Steps("a", 0, steps[:2], more=True), "a") is None
    assert pages.whole(messages.Steps("b", 0, steps[:1]), "b") == messages.Steps("b", 0, steps[:1])
    assert pages.whole(messages.Steps("a", 0, steps[2:]), "a") == messages.Steps("a", 0, steps)


def test_lists_without_end_take_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pages, "LONGEST", 10)
    pages, step = Pages("steps"), Step(1, 0, 0, 0)
    for number in range(100):
        assert pages.whole(messages.Steps(f"job-{number}", 0, (step,), more=True), number) is None
    last = messages.Steps("job-99", 0, (step,))
    assert pages.whole(last, 99).steps == (step, step)
    assert pages.whole(messages.Steps("job-0", 0, (step,)), 0).steps == (step,), "an old one is forgotten"
    for _ in range(10):
        assert pages.whole(messages.Steps("a", 0, (step,), more=True), "a") is None
    assert pages.whole(messages.Steps("a", 0, (step,)), "a").steps == (step,)


def test_four_hundred_models_are_offered(home: Home) -> None:
    for number in range(400):
        (home.path / "data" / "models" / f"m{number}-of-a-large-collection-of-models").mkdir(parents=True)
    watched = home.session()
    job = watched.session.submit(request())
    assert isinstance(watched.end(job), events.Done)
    names = [each.id for each in watched.all(events.Connected)[-1].models]
    assert len([name for name in names if name.startswith("m")]) >= 400
    assert FAST in names
    assert "cannot be said" not in home.log()


def test_many_jobs_of_a_history_are_listed(shared: Home) -> None:
    ear = Ear(shared.link("collector"))
    for number in range(90):
        one = replace(request(side=12, tag="t" * 900, options={"steps": 2, "jump_length": 2}), seed=number)
        submit(ear.link, f"h{number}", one)
    ear.wait(lambda: ear.of("h89", messages.Done), "the last one")
    ear.link.send(messages.Attach(()))
    count = len(ear.heard)

    def whole() -> Any:
        pages = Pages("jobs")
        found = [pages.whole(m) for _, m, _ in ear.heard[count:] if isinstance(m, messages.Jobs)]
        return found[-1] if found else None

    entries = ear.wait(whole, "the list").jobs
    assert [entry.job for entry in entries] == [f"h{number}" for number in range(90)]
    for number in range(90):
        ear.link.send(messages.Release(f"h{number}"))
    ear.link.flush()


# ---------------------------------------------------------------------------------------------------- the worker


@pytest.mark.parametrize(
    "message",
    [
        messages.Note("job", "x" * 501),
        messages.Result("job", 0, -1, 0, 0, 1, 1, "m", 1.0, 1, False, "u8"),
        messages.Steps("job", 0, tuple(Step(k, 0, 0, 0) for k in range(65))),
    ],
)
def test_a_worker_says_that_it_cannot_say_something(message: Any) -> None:
    with pytest.raises(WireError):
        codec.encode(message)
    said, _ = codec.decode(line.frames(message, None), messages.WIRE)
    assert isinstance(said, messages.Error)
    assert (said.about, said.job) == (type(message).TYPE, "job")
    assert said.sentence.endswith(".")


def test_what_a_worker_could_not_say_is_told_to_the_artist(home: Home, tmp_path: Path) -> None:
    """Neither its list of models nor a result: a notice, a job that ends, and an engine that goes on."""
    (tmp_path / "engine").symlink_to(ROOT / "engine")
    shutil.copytree(ROOT / "bridge_server", tmp_path / "bridge_server")
    with open(tmp_path / "bridge_server" / "worker" / "line.py", "a") as file:
        file.write(UNSPEAKABLE)
    arguments = [str(tmp_path / "bridge_server" / "__main__.py"), *home.arguments[1:]]
    launch.write_launch_file(sys.executable, arguments, home.state)
    watched = home.session()
    for _ in range(2):
        end = watched.end(watched.session.submit(request()))
        assert isinstance(end, events.Failed)
        assert (end.code, end.sentence) == ("engine_error", line.UNSAID)
    assert line.UNSAID in [each.sentence for each in watched.all(events.Notice)]
    assert not watched.all(events.EngineDown)


UNSPEAKABLE = """
_encode = encode
def encode(message, payload=None):
    if type(message).TYPE in ("models", "result"):
        raise WireError(UNSAID, "too long")
    return _encode(message, payload)
"""


def test_an_engine_that_cannot_say_that_it_is_ready_is_reported(monkeypatch: Any, tmp_path: Path) -> None:
    """The whole start of the worker but its socket and its model."""
    said: list[Any] = []
    monkeypatch.setattr(worker, "SocketLine", lambda *_: SimpleNamespace(start=lambda: None, say=said.append))
    unready = SimpleNamespace(prepare=lambda _warm: work.Ready((), "d" * 101))
    monkeypatch.setattr("bridge_server.worker.runner.Runner", lambda *_: unready)
    monkeypatch.setattr(worker, "leave", lambda status: said.append(status))
    monkeypatch.setattr(worker, "_die_with_parent", lambda _parent: None)
    monkeypatch.setattr(process.signal, "signal", lambda *_: None)
    monkeypatch.setattr(process.sys, "argv", ["worker", str(tmp_path / "worker.log")])
    orders = b'{"address": "", "password": "", "ticket": "", "warm": "", "scratch": "s", "spool": "s", "parent": 1}\n'
    monkeypatch.setattr(process, "own_input", lambda: io.BytesIO(orders))
    worker.main()
    broken, status = said
    assert isinstance(broken, work.Broken)
    assert "Repair" in broken.sentence
    assert status == 3


@pytest.mark.parametrize("name", options.TYPES)
def test_an_option_of_another_type_is_refused_by_its_name(name: str) -> None:
    for wrong in ({"a": 1}, ["a"], [1.5], [True]):
        with pytest.raises(BadInput, match=f"“{name}”") as caught:
            options.of_job({name: wrong})
        assert caught.value.code == "bad_request"
    assert options.of_job({name: None}) == {}


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("steps", [5], [True, 5.0, "5", [5]]),
        ("padding", [64], ["64", 6.5, True]),
        ("scale", [0.5, 2], ["2", True]),
        ("classifier_scale", [3, 3.5], ["3", [3]]),
        ("hard", [True], [1, "true"]),
        ("prompt", ["/etc/passwd is a file"], [5, True]),
        ("schedule", ["uniform", [3, 2, 1, 0, -1]], ["/etc/passwd", "../x", "a.json", 5]),
        ("label", ["cat", 3], [2.5, True]),
        ("learn", [5, 7.5], ["5"]),
        ("wrap", ["both"], [True, 1]),
    ],
)
def test_option_types_are_those_of_the_job(name: str, good: list[Any], bad: list[Any]) -> None:
    for option in good:
        found = options.of_job({name: option})[name]
        assert found == (tuple(option) if isinstance(option, list) else option)
    for option in bad:
        with pytest.raises(BadInput):
            options.of_job({name: option})


def test_what_is_no_option_is_refused() -> None:
    for name in ("image", "selection", "model", "preset", "seed", "variants", "no_such_option"):
        with pytest.raises(BadInput):
            options.of_job({name: 1})


def test_what_stands_on_both_sides_is_the_same() -> None:
    """The engine knows no bridge, and the bridge no engine."""
    assert records.MAX_SEED == noise.MAX_SEED
    assert records.MAX_MAPS == engine_maps.MAX_MAPS
    assert records.MAP_KINDS == engine_maps.KINDS
    assert records.LONGEST_MAP_NAME == engine_maps.LONGEST_NAME
    assert records.MAX_VARIANTS <= engine_job.MAX_VARIANTS
    assert {"continue", *JUMPS} == set(records.KIND.spec.split(" \\| "))
