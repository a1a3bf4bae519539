"""The sampler beside its rivals on published problems whose posterior is known in closed form."""

from engine.lab.benchmarks.tables import TABLES

__all__ = ["TABLES"]
