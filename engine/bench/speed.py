"""The clock (being written)."""
