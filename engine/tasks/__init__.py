"""What is done to picture files: inpaint, extend and tile, each with its options, from files to files.

The command line runs one of them (:mod:`engine.commands.cli`), a batch many of them (:mod:`engine.batch`).
"""

from engine.tasks.results import News, Results, numbered
from engine.tasks.task import TASKS, Task, add_common_options, job_of, model_id

__all__ = ["TASKS", "News", "Results", "Task", "add_common_options", "job_of", "model_id", "numbered"]
