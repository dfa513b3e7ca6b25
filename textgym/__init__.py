"""textgym: text generation as Gymnasium environments with rewards paid at every token."""

from textgym.envs.single import TextGenEnv
from textgym.envs.vector import TextGenVectorEnv
from textgym.episode import Episode, Step
from textgym.errors import InvalidAction, ResetNeeded, RewardError
from textgym.metrics import (
    BatchMetric,
    BatchProgress,
    CharacterMatch,
    EditDistance,
    ExactMatch,
    FunctionMetric,
    Metric,
    Progress,
    TokenMatch,
    make_metric,
    metric,
)
from textgym.registration import register, register_all
from textgym.rewards import Delta, EveryStep, RewardFunction, RewardState, Schedule, Terminal, make_reward
from textgym.tasks import DatasetTask, GeneratedTask, Task, make_task
from textgym.tokenizers import Vocabulary, make_vocabulary

__version__ = "0.1.0"

__all__ = [name for name in dir() if not name.startswith("_") and name not in ("envs", "register_all")]

register_all()
