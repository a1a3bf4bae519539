"""Measuring. The jury over pictures (``python -m engine bench jury``) and the clock (``python -m engine bench``)."""
