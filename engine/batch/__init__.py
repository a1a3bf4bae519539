"""Many jobs in one go: the list and its checks, where they run, what is done already.

A :class:`Spec` is a job as plain data and :func:`run` its run; an :class:`Executor` runs them, :class:`Local` in
processes of this machine. :mod:`engine.batch.listing` reads the list, :mod:`engine.batch.checks` looks at it before the
first job, :mod:`engine.batch.forecast` tells what it will take, :mod:`engine.batch.manifest` knows what is done,
:mod:`engine.batch.work` does the rest.
"""

from engine.batch.checks import checked, written
from engine.batch.executor import Executor
from engine.batch.listing import Common, Entry, read
from engine.batch.local import Local, cuda_devices
from engine.batch.manifest import Manifest
from engine.batch.options import absolute, add_options, given
from engine.batch.spec import Models, Outcome, Spec, key, run
from engine.batch.work import FAILURES, Tally, pending, work

__all__ = [
    "FAILURES",
    "Common",
    "Entry",
    "Executor",
    "Local",
    "Manifest",
    "Models",
    "Outcome",
    "Spec",
    "Tally",
    "absolute",
    "add_options",
    "checked",
    "cuda_devices",
    "given",
    "key",
    "pending",
    "read",
    "run",
    "work",
    "written",
]
