"""The tasks of the package ``reasoning-gym``, made on the fly."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property, lru_cache
from typing import Any

from textgym.episode import Episode
from textgym.errors import one_of, unknown, whole_number
from textgym.tasks.base import SPLITS, split_of
from textgym.tasks.dataset import DatasetTask
from textgym.tokenizers import make_vocabulary

# their scorers give the agent's text to eval(), directly or through sympy (reasoning-gym 0.1.25)
EVALUATING = frozenset(
    "binary_matrix countdown intermediate_integration n_queens polynomial_multiplication puzzle24 simple_integration "
    "spiral_matrix string_insertion".split()
)
_FREE = 64  # tokens of a text where no question has one answer


class ReasoningGym(DatasetTask):
    """Answer questions of a task of Reasoning Gym.

    ## Description
    Reasoning Gym (Stojanovski et al. 2025, arXiv:2505.24760; the package `reasoning-gym`, `pip install
    "textgym[reasoning]"`) makes questions with answers that a program can check: arithmetic, algebra, logic, graphs,
    games, strings. `name` and `config` are what its `create_dataset` takes; questions, answers and scores are its own.
    All 106 tasks of version 0.1.25 are text and can be played (`composite` needs a `config`). But:

    - The scorers of `binary_matrix`, `countdown`, `intermediate_integration`, `n_queens`, `polynomial_multiplication`,
      `puzzle24`, `simple_integration`, `spiral_matrix` and `string_insertion` give the text to Python's `eval`:
      whatever an agent writes is run, with your rights, and may run forever. They are refused without
      `allow_eval=True`.
    - `game_of_life_halting` scores every text but the empty one alike. Some others score wrong texts above 0: a text
      that ends with the answer gets the answer's share of its length, a number near the right one in
      `complex_arithmetic` or `time_intervals` some of it, any text at all 0.01 or 0.05 in many.
    - `boxnet`, `graph_color`, `propositional_logic`, `rubiks_cube` and `rush_hour` have no one answer, so no
      references.
    - The questions of `codeio`, `isomorphic_strings`, `knight_swap`, `polynomial_multiplication`, `ransom_note` and
      `word_ladder` depend on Python's hashes of strings: set `PYTHONHASHSEED` to meet the same ones in every process.
    - `knight_swap`, `sokoban`, `futoshiki`, `intermediate_integration`, `zebra_puzzles` and `puzzle24` take half a
      second a question and more: lower `size`. Prompts of `arc_agi` and `codeio` have over 10,000 characters.

    ## Prompt and reference
    The `question` is the prompt and the `answer` the reference, where there is one. Of the questions 0 .. `size - 1` 8
    in 10 are train, 1 validation, 1 test, by a checksum; one that occurs again is left out. `chain_sum`: `"State the
    final answer to the following arithmetic problem: 57 + 87 + 70 ="` -> `"214"`.

    ## Action space
    `Discrete(V)`: the tokens of the vocabulary, by default a byte-level BPE with V = 512 at most, trained on the
    questions and answers of the train split: it can write everything. All are legal.

    ## Observation space
    `Box(0, V, (prompt_length + budget,), int32)`: the prompt, right-aligned in `prompt_length` columns, then the tokens
    written; PAD = V in empty columns.

    ## Rewards
    Default: `terminal`: the true score at the end, what `score_answer` says, cut to [0, 1]. It is 0 where that raises
    (in `boxnet` and `prime_factorization` malformed texts make it). Many scores mean nothing before the end.

    ## Starting state
    A question of the split, drawn uniformly with replacement; no text.

    ## Episode end
    EOS, or the budget is spent.

    ## Arguments
    - `name="chain_sum"`: which task.
    - `config={}`: its settings, JSON values; see Reasoning Gym. Of `composite`: `{"datasets": [{"name": "chain_sum",
      "weight": 1, "config": {}}, ...]}`.
    - `size=1000`: questions made, of all splits, at least 1.
    - `data_seed=0`: of the first question; question i is that of `data_seed + i`, so that nearer seeds share questions.
    - `allow_eval=False`: take tasks that give the agent's text to `eval`.
    - `prompt_length=None`: tokens of the longest prompt; None: of the longest question of the train split. Questions
      that do not fit are dropped and counted.
    - `budget=None`: tokens of the longest text, EOS included; None: twice those of the longest answer of the train
      split (64 where there are no answers), and EOS.
    - `split="train"`, `tokenizer` (byte_bpe of size 512), `lossy=False`: as for every task.

    Raises `ImportError`: the package is not installed; `ValueError`: no such task or setting, or no question fits.

    ## Version history
    - v0: first version.
    """

    def __init__(
        self,
        name: str = "chain_sum",
        config: Mapping[str, Any] | None = None,
        size: int = 1000,
        data_seed: int = 0,
        *,
        allow_eval: bool = False,
        prompt_length: int | None = None,
        split: str = "train",
        tokenizer: Any = "byte_bpe",
        budget: int | None = None,
        lossy: bool = False,
    ):
        one_of("split", split, SPLITS)
        size, data_seed = whole_number("size", size, 1), whole_number("data_seed", data_seed, 0)
        self._made_of = name, json.dumps(dict(config or {}), sort_keys=True), size, data_seed
        refused = EVALUATING & {name, *getattr(self.dataset, "datasets", ())}
        if refused and not allow_eval:
            raise ValueError(
                f"the scorer of {', '.join(sorted(refused))} gives the text to Python's eval: what an agent writes "
                "is run. Take it with allow_eval=True, in a sandbox"
            )
        self.questions = _questions(*self._made_of)
        every = [_episode(index, question) for index, question in self.questions.items()]
        train = [episode for episode in every if _split(episode) == "train"]
        if not train:
            raise ValueError(f"of {size} questions none is in the train split: choose a larger size")
        prompts, answers = [e.prompt for e in train], [answer for e in train for answer in e.references]
        self.optimum = 1.0 if all(episode.references for episode in every) else None
        vocabulary = make_vocabulary(tokenizer, lambda: prompts + answers)
        if prompt_length is None:
            prompt_length = max(map(len, vocabulary.encode_all(prompts)))
        if budget is None:
            budget = 1 + 2 * max(map(len, vocabulary.encode_all(answers)), default=_FREE // 2)
        super().__init__(
            (episode for episode in every if _split(episode) == split),
            vocabulary=vocabulary,
            prompt_length=whole_number("prompt_length", prompt_length, 0),
            budget=budget,
            split=split,
            lossy=lossy,
        )

    @cached_property
    def dataset(self) -> Any:
        """Reasoning Gym's own object."""
        return _dataset(*self._made_of)

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "dataset"}  # some cannot be pickled

    def score(self, text, episode):
        """What the task's own scorer says of a finished text, in [0, 1]; of a prompt given by a user, whether the text
        is one of its references."""
        if "question" not in episode.meta:
            return float(text in episode.references)
        question = self.questions[episode.meta["question"]]
        try:
            score = float(self.dataset.score_answer(text, question))
        except Exception:  # a scorer that cannot read the text
            return 0.0
        return min(1.0, max(0.0, score)) if math.isfinite(score) else 0.0


@lru_cache(maxsize=8)
def _dataset(name: str, config: str, size: int, seed: int) -> Any:
    try:
        from reasoning_gym.composite import DatasetSpec
        from reasoning_gym.factory import DATASETS, create_dataset
    except ImportError as error:
        raise ImportError(f'ReasoningGym needs pip install "textgym[reasoning]" ({error})') from error
    if name not in DATASETS:
        raise unknown("task of Reasoning Gym", name, DATASETS)
    settings = json.loads(config)
    allowed = {field.name for field in fields(DATASETS[name][1])} - {"size", "seed"}
    for setting in settings:
        if setting not in allowed:
            raise unknown(f"setting in config of {name}", setting, allowed)
    try:
        if name == "composite":
            settings["datasets"] = [DatasetSpec(**one) for one in settings.get("datasets", [])]
        return create_dataset(name, size=size, seed=seed, **settings)
    except (AssertionError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"Reasoning Gym does not make {name} of config {config}: {error}") from error


@lru_cache(maxsize=8)
def _questions(name: str, config: str, size: int, seed: int) -> dict[int, dict[str, Any]]:
    """Index -> question, answer and metadata; what was asked before is left out."""
    dataset, asked, questions = _dataset(name, config, size, seed), set(), {}
    state = random.getstate()
    random.seed(seed)  # codeio and list_functions draw from the global generator, too
    try:
        for index in range(size):
            entry = dataset[index]
            if entry["question"] not in asked:
                asked.add(entry["question"])
                questions[index] = entry
    finally:
        random.setstate(state)
    return questions


def _episode(index: int, entry: dict[str, Any]) -> Episode:
    references = () if entry["answer"] is None else (str(entry["answer"]),)
    return Episode(entry["question"], references, {"question": index})


def _split(episode: Episode) -> str:
    return split_of(episode.prompt)
