"""Learning: a texture model from a corpus, and one picture's texture within seconds."""
