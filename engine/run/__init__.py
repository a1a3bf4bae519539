"""The run of a job: the request, what is said on the way, and states to go on from."""
