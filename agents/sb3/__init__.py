"""Training with Stable-Baselines3: ``python -m agents.sb3.train --help``."""
