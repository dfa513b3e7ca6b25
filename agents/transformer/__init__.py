"""The project's own trainer: a cached rollout pays for one token a step, an update for one forward a sequence."""
