"""textgym: text generation as Gymnasium environments with rewards paid at every token."""

from importlib import import_module

from textgym.envs.single import TextGenEnv
from textgym.envs.turns import TokenWrapper, TurnWrapper
from textgym.envs.vector import TextGenVectorEnv
from textgym.episode import Episode, Step
from textgym.errors import InvalidAction, ResetNeeded, RewardError
from textgym.metrics import (
    BLEU,
    ROUGE,
    TER,
    AnswerF1,
    BatchMetric,
    BatchProgress,
    CasesPassed,
    CharacterMatch,
    ChrF,
    ClassifierProbability,
    Distinct,
    EditDistance,
    EmbeddingSimilarity,
    ExactMatch,
    Fluency,
    FunctionMetric,
    LabelF1,
    Learned,
    Length,
    LogLikelihood,
    Metric,
    NaiveBayes,
    OptimisticEditDistance,
    Progress,
    Repetition,
    SlotAccuracy,
    TokenBLEU,
    TokenMatch,
    ValidPrefix,
    make_metric,
    metric,
)
from textgym.registration import register, register_all
from textgym.rewards import (
    AtWordEnds,
    Clipped,
    Constant,
    Delayed,
    Delta,
    Dropout,
    EveryStep,
    Noisy,
    Normalised,
    Potential,
    RewardFunction,
    RewardState,
    Scaled,
    Schedule,
    Terminal,
    TRLMetric,
    from_trl,
    make_reward,
    to_trl,
)
from textgym.tasks import DatasetTask, GeneratedTask, Task, make_task
from textgym.tokenizers import Vocabulary, make_vocabulary

__version__ = "0.1.0"

__all__ = [
    "AnswerF1",
    "AtWordEnds",
    "BLEU",
    "BatchMetric",
    "BatchProgress",
    "CasesPassed",
    "CharacterMatch",
    "ChrF",
    "ClassifierProbability",
    "Clipped",
    "Constant",
    "DatasetTask",
    "Delayed",
    "Delta",
    "Distinct",
    "Dropout",
    "EditDistance",
    "EmbeddingSimilarity",
    "Episode",
    "EveryStep",
    "ExactMatch",
    "Fluency",
    "FunctionMetric",
    "GeneratedTask",
    "InvalidAction",
    "LabelF1",
    "Learned",
    "Length",
    "LogLikelihood",
    "Metric",
    "NaiveBayes",
    "Noisy",
    "Normalised",
    "OptimisticEditDistance",
    "Potential",
    "Progress",
    "ROUGE",
    "Repetition",
    "ResetNeeded",
    "RewardError",
    "RewardFunction",
    "RewardState",
    "Scaled",
    "Schedule",
    "SlotAccuracy",
    "Step",
    "TER",
    "TRLMetric",
    "Task",
    "Terminal",
    "TextGenEnv",
    "TextGenVectorEnv",
    "TokenBLEU",
    "TokenMatch",
    "TokenWrapper",
    "TurnWrapper",
    "ValidPrefix",
    "Vocabulary",
    "from_trl",
    "make_metric",
    "make_reward",
    "make_task",
    "make_vocabulary",
    "metric",
    "register",
    "to_trl",
]

register_all()


def __getattr__(name: str):
    """``textgym.sb3``, which loads torch, when it is first used."""
    if name == "sb3":
        return import_module("textgym.sb3")
    raise AttributeError(f"module 'textgym' has no attribute {name!r}")
