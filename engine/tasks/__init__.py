"""What is done to picture files: inpaint, extend and tile, each with its options, from files to files.

The command line runs one of them (:mod:`engine.commands.cli`), a batch many of them (:mod:`engine.batch`).
"""

from engine.tasks.results import News, Results
from engine.tasks.task import TASKS, Task, model_id

__all__ = ["TASKS", "News", "Results", "Task", "model_id"]
