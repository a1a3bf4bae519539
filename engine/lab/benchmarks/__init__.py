"""The sampler beside its rivals on published problems whose posterior is known in closed form."""
