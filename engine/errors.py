"""The engine's one error type.

Every failure that an artist can meet carries a code for programs, one sentence for people that says what to do next,
and details for the log. Tracebacks never reach the artist.
"""

from __future__ import annotations


class EngineError(Exception):
    """A failure with a sentence an artist understands.

    Attributes:
        code: short stable name for programs, e.g. ``empty_selection``, ``model_missing``, ``out_of_memory``.
        sentence: one sentence: what happened and what to do next.
        details: technical text for the log; may be empty.
    """

    def __init__(self, code: str, sentence: str, details: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.details = details


class BadInput(EngineError):
    """The request itself cannot be carried out (command line exit code 2)."""
