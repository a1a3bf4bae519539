"""The laboratory: the report's experiments as commands, each writing a notebook and a page of what it found."""

from engine.lab import diffusers, diversity, evolutive, latent, resampling, steps, texture
from engine.lab.benchmarks import tables
from engine.lab.board import Board
from engine.lab.experiment import Cell, Experiment, Live, Number, Option, Result, Scene, Setting, Setup, painted
from engine.lab.notebook import Notebook, Record, write_text
from engine.lab.plots import Plot
from engine.lab.report import Claim, Pictures, Section, Table
from engine.lab.running import Onlooker, Outcome, index, run
from engine.lab.timing import TIME
from engine.lab.watch import Watch

EXPERIMENTS = {
    each.name: each
    for each in (
        TIME,
        steps.EXPERIMENT,
        resampling.EXPERIMENT,
        evolutive.EXPERIMENT,
        diversity.EXPERIMENT,
        texture.EXPERIMENT,
        diffusers.EXPERIMENT,
        latent.EXPERIMENT,
        tables.EXPERIMENT,
    )
}
"""All of them, by name, in the order of the report."""

__all__ = [
    "EXPERIMENTS",
    "Board",
    "Cell",
    "Claim",
    "Experiment",
    "Live",
    "Notebook",
    "Number",
    "Onlooker",
    "Option",
    "Outcome",
    "Pictures",
    "Plot",
    "Record",
    "Result",
    "Scene",
    "Section",
    "Setting",
    "Setup",
    "Table",
    "Watch",
    "index",
    "painted",
    "run",
    "write_text",
]
