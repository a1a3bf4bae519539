"""The engine process, the only importer of ``engine``: ``python -m bridge_server.worker``, by the bridge only."""
