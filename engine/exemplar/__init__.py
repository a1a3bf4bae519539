"""The model that is the picture itself: exact denoisers of its patches, small areas at once and large ones by
octaves."""
