"""The workers of one bridge.

`Backend` (backend.py) says where workers come from, `Process` (process.py) keeps one process of a backend alive,
`Worker` (worker.py) is one worker that has joined, `Pool` (pool.py) has them all and gives parts of jobs to those that
are idle, by the rules of sharing.py.
"""
