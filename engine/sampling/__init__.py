"""Sampling by the papers: schedules, the diffusion process, RePaint, its corrector, guidance."""
