"""A job as the bridge knows it, and how it is described in the journal and beside its pixels."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from bridge_server.client.checks import FLAG, IDENT, NUMBER, checked, record, value
from bridge_server.client.messages import Result
from bridge_server.client.records import BranchRequest, Order, Step

TERMINAL = ("done", "failed", "cancelled")


@dataclass
class Finished:
    """A variant whose pixels are in the spool; with a ``step`` it was stopped there and its state is there, too."""

    result: Result
    step: Step | None = None
    claimed: bool = False

    def about(self) -> dict[str, Any]:
        """For `finished_of`; without what the editor has claimed."""
        return {"result": asdict(self.result), "step": asdict(self.step) if self.step is not None else None}


@dataclass
class Job:
    """``origin``: the kept step that it branches from; ``created``: wall-clock time; ``crashes``: how many workers died
    running a variant; ``calls``: the most that were ever done of one; ``spent``: seconds of each worker, by its number,
    the most of which are the job's ``seconds``; ``keeping``: it was asked to stop and keep what there is."""

    job: str
    client: str
    order: Order
    origin: BranchRequest | None
    history: bool
    created: float
    place: int = 0
    state: str = "queued"
    attempts: int = 0
    seconds: float = 0.0
    code: str = ""
    sentence: str = ""
    details: str = ""
    finished: dict[int, Finished] = field(default_factory=dict)
    crashes: dict[int, int] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)
    spent: dict[int, float] = field(default_factory=dict)
    keeping: bool = False

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    def about(self) -> dict[str, Any]:
        """What does not change while it is there, for `job_of`."""
        return {
            "client": self.client,
            "order": asdict(self.order),
            "origin": asdict(self.origin) if self.origin is not None else None,
            "history": self.history,
            "created": self.created,
        }


@record
class _About:
    client: str = value(IDENT)
    history: bool = value(FLAG)
    created: float = value(NUMBER)


def job_of(name: str, about: Any) -> Job:
    """The job that was described so.  Raises WireError, KeyError or TypeError for what is no such description."""
    told = checked(_About, about)
    order = checked(Order, about["order"])
    origin = checked(BranchRequest, about["origin"]) if about["origin"] is not None else None
    return Job(IDENT.accept(name), told.client, order, origin, told.history, told.created)


def finished_of(about: Any) -> Finished:
    """The variant that was described so, by an earlier version without its depth; raises as `job_of`."""
    step = checked(Step, about["step"]) if about["step"] is not None else None
    return Finished(checked(Result, {"depth": "u8", **about["result"]}), step)
