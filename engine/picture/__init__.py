"""Picture geometry: boxes, what part is seen at what scale, the order of large areas, and the way back."""
