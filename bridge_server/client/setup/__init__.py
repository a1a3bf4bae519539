"""The engine's set-up from inside an editor: no terminal, the standard library only.

::

    found         what is there; plans: what will be done; steps: SetUp, which does it and shows how far it is
    kit           what a set-up starts from; tags: which wheel is for which Python
    device        what will do the work; pythons: the Pythons of this computer
    settings      what pip and uv were told; web: files at addresses; fetch: all of them, whole
    environments  where environments lie, and what is broken in one; trial: trying one, switching to it
    boxes         another machine that paints
    removal       what can be removed, and removing it
    programs      starting other programs; runner: for long, into the log; sentences: all that is said

An editor asks ``found()``.  Unless that is "ready" it shows ``plan()``, made in a thread, and runs ``SetUp``: for the
first set-up, for an update, and for a repair, which fetches only what is broken.  An update is set up beside what is
there, and ``launch.json`` is switched when it has painted; the bridge removes the old one after the next good start.
Whenever it ends, and however, the next set-up goes on from there.
"""

from __future__ import annotations

from bridge_server.client.setup.environments import broken_parts
from bridge_server.client.setup.found import Found, found
from bridge_server.client.setup.plans import Plan, plan
from bridge_server.client.setup.removal import Removal, removable, remove
from bridge_server.client.setup.steps import SetUp, Shown, StepShown
from bridge_server.client.setup.trial import use

__all__ = [
    "Found",
    "Plan",
    "Removal",
    "SetUp",
    "Shown",
    "StepShown",
    "broken_parts",
    "found",
    "plan",
    "removable",
    "remove",
    "use",
]
