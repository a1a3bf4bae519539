"""Many jobs in one go: the list and its checks, where they run, what is done already.

A :class:`Spec` is a job as plain data and :func:`run` its run; an :class:`Executor` runs them.
"""

from engine.batch.executor import Executor
from engine.batch.spec import Models, Outcome, Spec, key, run

__all__ = ["Executor", "Models", "Outcome", "Spec", "key", "run"]
