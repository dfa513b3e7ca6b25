"""What a user of Stable-Baselines3 needs: environments, token encoders, masked policies.

``textgym.sb3.make_vec_env(id, n_envs, seed, **env_kwargs)`` is the usual way in.
"""

try:
    import stable_baselines3  # noqa: F401
except ImportError as error:
    raise ImportError('textgym.sb3 needs stable-baselines3 and torch: pip install "textgym[sb3]"') from error

from textgym.sb3.adapter import SB3VecEnv, make_vec_env

__all__ = ["SB3VecEnv", "make_vec_env"]
