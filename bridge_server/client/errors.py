"""Everything that can go wrong between an editor and the bridge.

::

    BridgeError            code, sentence, details
    ├── NotInstalled       "not_installed"  no launch file: the installer has not been run
    ├── CannotStart        "cannot_start"   the bridge was started but did not come up
    ├── ConnectionLost     "lost"           the other side is gone or silent
    ├── Refused            "refused"        one side could not prove that it knows the secret
    ├── SetUpFailed        "set_up"         the engine cannot be set up (bridge_server.client.setup)
    ├── WireError          "wire"           bytes that break docs/protocol.md
    └── JobFailed          any code         the job ended in ``Failed`` (raised by run_job only)

``sentence`` is one sentence for the artist and says what to do next; ``details`` is for the log.
"""

from __future__ import annotations


class BridgeError(Exception):
    """Base of the tree: ``code`` for programs, ``sentence`` for people, ``details`` for the log."""

    code = "bridge_error"

    def __init__(self, sentence: str, details: str = "", code: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.details = details
        if code is not None:
            self.code = code


class NotInstalled(BridgeError):
    code = "not_installed"


class CannotStart(BridgeError):
    code = "cannot_start"


class ConnectionLost(BridgeError):
    code = "lost"


class Refused(BridgeError):
    code = "refused"


class SetUpFailed(BridgeError):
    code = "set_up"


class WireError(BridgeError):
    code = "wire"


class JobFailed(BridgeError):
    code = "failed"
