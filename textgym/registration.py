"""The table of ids: what each one's task is, and how it is paid by default."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium as gym

from textgym.errors import unknown

# name -> (task class, its arguments, reward). A new id is one line here.
IDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "Copy-v0": ("symbolic:Copy", {"length": 5, "symbols": 8}, "delta"),
    "CopyLarge-v0": ("symbolic:Copy", {"length": 30, "symbols": 26}, "delta"),
    "Reverse-v0": ("symbolic:Reverse", {"length": 5, "symbols": 8}, "delta"),
    "ReverseLarge-v0": ("symbolic:Reverse", {"length": 30, "symbols": 26}, "delta"),
    "Sort-v0": ("symbolic:Sort", {"length": 5, "symbols": 8}, "delta"),
    "SortLarge-v0": ("symbolic:Sort", {"length": 30, "symbols": 26}, "delta"),
    "Addition-v0": ("symbolic:Addition", {"digits": 2}, "delta"),
    "AdditionLarge-v0": ("symbolic:Addition", {"digits": 8}, "delta"),
    "Brackets-v0": ("brackets:Brackets", {"length": 8, "kinds": 2}, "delta"),
    "BracketsLarge-v0": ("brackets:Brackets", {"length": 32, "kinds": 4}, "delta"),
    "Password-v0": ("password:Password", {"length": 3, "symbols": 4}, "terminal"),
    "PasswordLarge-v0": ("password:Password", {"length": 6, "symbols": 10}, "terminal"),
    "Spelling-v0": ("spelling:Spelling", {"length": 10, "corruption": 0.3}, "delta"),
    "SpellingNoisy-v0": ("spelling:Spelling", {"length": 10, "corruption": 0.5}, "delta"),
    "SpellingLong-v0": ("spelling:Spelling", {"length": 30, "corruption": 0.3}, "delta"),
    "SpellingLongNoisy-v0": ("spelling:Spelling", {"length": 30, "corruption": 0.5}, "delta"),
    "CodeGeneration-v0": ("code_generation:CodeGeneration", {"steps": 2}, "delta"),
    "CodeGenerationLarge-v0": ("code_generation:CodeGeneration", {"steps": 4, "arguments": 2}, "delta"),
    "Completion-v0": ("completion:Completion", {}, "delta"),
    "DocSummary-v0": ("doc_summary:DocSummary", {}, "delta"),
    "Sentiment-v0": ("sentiment:Sentiment", {}, "delta:naive_bayes"),
    "EntityTagging-v0": ("tagging:EntityTagging", {"language": "english"}, "delta"),
    "EntityTaggingZh-v0": ("tagging:EntityTagging", {"language": "chinese"}, "delta"),
    "Classification-v0": ("classification:Classification", {}, "delta"),
    "TranslationDigitsEn-v0": ("translation:Translation", {"source": "digits", "target": "english"}, "delta"),
    "TranslationDigitsZh-v0": ("translation:Translation", {"source": "digits", "target": "chinese"}, "delta"),
    "TranslationEnDigits-v0": ("translation:Translation", {"source": "english", "target": "digits"}, "delta"),
    "TranslationEnZh-v0": ("translation:Translation", {"source": "english", "target": "chinese"}, "delta"),
    "TranslationZhDigits-v0": ("translation:Translation", {"source": "chinese", "target": "digits"}, "delta"),
    "TranslationZhEn-v0": ("translation:Translation", {"source": "chinese", "target": "english"}, "delta"),
    "TranslationTimesEnZh-v0": (
        "translation:Translation",
        {"source": "english", "target": "chinese", "kind": "time"},
        "delta",
    ),
    "TranslationTimesZhEn-v0": (
        "translation:Translation",
        {"source": "chinese", "target": "english", "kind": "time"},
        "delta",
    ),
    "Dialogue-v0": ("dialogue:Dialogue", {"turns": 1}, "delta"),
    "DialogueZh-v0": ("dialogue:Dialogue", {"turns": 1, "language": "chinese"}, "delta"),
    "DialogueTurns-v0": ("dialogue:Dialogue", {"turns": 3}, "delta"),
    "DialogueTurnsZh-v0": ("dialogue:Dialogue", {"turns": 3, "language": "chinese"}, "delta"),
    "QuestionAnswering-v0": ("question_answering:QuestionAnswering", {"facts": 4}, "delta"),
    "QuestionAnsweringLarge-v0": ("question_answering:QuestionAnswering", {"facts": 8, "hops": 2}, "delta"),
    "IncreasingNumbers-v0": ("increasing:IncreasingNumbers", {}, "delta"),
    "Dates-v0": ("dates:Dates", {}, "delta"),
    "Keywords-v0": ("keywords:Keywords", {}, "delta"),
    "Couplet-v0": ("couplet:Couplet", {}, "delta"),
    "CoupletZh-v0": ("couplet_chinese:CoupletChinese", {}, "delta"),
    "ReasoningGym-v0": ("reasoning_gym:ReasoningGym", {}, "terminal"),
    "Dataset-v0": ("own_data:Dataset", {}, "delta"),
    "TranslationDataset-v0": (
        "own_data:Dataset",
        {"prompt": "{source}", "reference": "{target}", "metric": "chrf"},
        "delta",
    ),
    "SummarizationDataset-v0": (
        "own_data:Dataset",
        {"prompt": "{article}", "reference": "{highlights}", "metric": "rougeL"},
        "delta",
    ),
    "DialogueDataset-v0": ("own_data:Dataset", {"prompt": "{mr}", "reference": "{ref}", "metric": "bleu"}, "delta"),
    "QuestionAnsweringDataset-v0": (
        "own_data:Dataset",
        {"prompt": "{context}\n{question}", "reference": "{answers.text}", "metric": "answer_f1"},
        "delta",
    ),
}


ENTRY_POINT = "textgym.envs.single:TextGenEnv"


def full_id(given: str) -> str:
    """The registered id that somebody means: ``"Spelling-v0"`` is ``"textgym/Spelling-v0"``.

    Of ``"package.module:id"`` the module, which registers the id, is imported; it stays a part of what ``gym.make``
    and ``gym.make_vec`` then take.

    Raises:
        ValueError: there is no such id (the nearest one is named), or the module cannot be imported.
    """
    module, colon, name = given.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(f"cannot import {module!r} of {given!r}: {error}") from error
    bare = name.removeprefix("textgym/")
    if bare in IDS:
        return f"{module}{colon}textgym/{bare}"
    if name in gym.registry and gym.registry[name].entry_point == ENTRY_POINT:
        return given
    raise unknown("id", bare, IDS)


def register(id: str, task: str, *, reward: Any = "delta", **arguments: Any) -> None:
    """Make a task an environment id of ``gym.make`` and ``gym.make_vec``.

    Args:
        id: "namespace/Name-v0".
        task: "package.module:Class" of a :class:`~textgym.tasks.Task`.
        reward: the default reward, as JSON: "delta", "terminal:cer", {"name": ..., "metric": ...}, a list.
        arguments: the task's own, JSON values.
    """
    gym.register(
        id,
        entry_point=ENTRY_POINT,
        vector_entry_point="textgym.envs.vector:TextGenVectorEnv",
        kwargs={"task": task, "reward": reward, **arguments},
    )


def register_all() -> None:
    """Register every id of the table; ``import textgym`` does."""
    for name, (task, arguments, reward) in IDS.items():
        if f"textgym/{name}" not in gym.registry:
            register(f"textgym/{name}", f"textgym.tasks.{task}", reward=reward, **arguments)
