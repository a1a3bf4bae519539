"""Workers in a Ray cluster: of this package the bridge imports `backend` only.

It starts `python -m bridge_server.ray`, a driver in the cluster: for each share of a node (engine/cluster.py) a
`Speaker` (speaker.py) speaks on the bridge's worker socket as one worker, and has the parts run by the `Engine`
(actor.py) that sits there.
"""
