"""Token environments played a whole text at a time, and environments of texts played token by token."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, Text
from gymnasium.utils import RecordConstructorArgs

from textgym.envs.checks import checked_action
from textgym.envs.single import TextGenEnv
from textgym.errors import InvalidAction, ResetNeeded, one_of, whole_number
from textgym.tokenizers import Vocabulary, make_vocabulary

_LONGEST = 1_000_000  # characters


class AnyText(Text):
    """Strings of any characters, the empty one among them; samples are printable ASCII."""

    def __init__(self, max_length: int = _LONGEST, seed: int | np.random.Generator | None = None):
        super().__init__(max_length, min_length=0, charset=string.printable, seed=seed)

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and len(x) <= self.max_length


class WrittenText(AnyText):
    """Strings that the tokens of a vocabulary can write; samples are those of 0 .. ``tokens`` - 1 random ones."""

    def __init__(self, vocabulary: Vocabulary, tokens: int, seed: int | np.random.Generator | None = None):
        super().__init__(seed=seed)
        self.vocabulary, self.tokens = vocabulary, tokens

    def contains(self, x: Any) -> bool:
        return super().contains(x) and _ids_of(self.vocabulary, x) is not None

    def sample(self, mask: None = None, probability: None = None) -> str:
        if mask is not None or probability is not None:
            raise ValueError("samples of written texts take neither mask nor probability")
        ids = self.np_random.choice(np.flatnonzero(self.vocabulary.legal), int(self.np_random.integers(self.tokens)))
        text = self.vocabulary.decode(ids)
        return text if self.contains(text) else ""  # half a character is shown as one that may have no token


def _ids_of(vocabulary: Vocabulary, text: str) -> np.ndarray | None:
    """The ids that write a text, int32 (n,); None where some of it has no token."""
    try:
        ids = vocabulary.encode(text)
    except ValueError:  # a character that a character vocabulary does not have
        return None
    return ids if vocabulary.legal[ids].all() else None


class TurnWrapper(gym.Wrapper[str, str, np.ndarray, int], RecordConstructorArgs):
    """A token environment in which one action is a whole text, for tools that act by turns.

    ``reset`` gives the prompt as a text. ``step(text)`` writes the text's tokens, then EOS, and pays the sum of what
    they are paid; the episode is then over, and the observation is empty. The vocabulary cuts the text into tokens.

    Of a text with more tokens than the budget has room for the first ones are written, and ``end_reason`` is "budget",
    as in the token environment. A text that the vocabulary cannot write (it lacks a character or word; bytes never do)
    is refused, or ends the episode: see ``on_unwritable``.

    Args:
        env: a :class:`~textgym.envs.single.TextGenEnv`, or wrappers around one.
        on_unwritable: "raise": :class:`~textgym.errors.InvalidAction`, and another text may be tried; "end": the
            episode ends with ``end_reason`` "unwritable" and score 0, and nothing is paid.

    Info of ``step``: that of the last token (``score``, ``text``, ...), with

    - ``payments``: float64 (n,), what each of the n tokens was paid; ``reward_terms`` is summed over them;
    - ``tokens``: int32 (n,), their ids;
    - ``cut``: how many tokens of the text were left out since the episode had ended.

    What takes it (tried with these versions): GEM (gem-llm 0.1.0) as it is ::

        gem.register("textgym:Copy", lambda seed=None, **kwargs: TurnWrapper(gym.make("textgym/Copy-v0", **kwargs)))

    and so does ``GymEnv(env_cls=...)`` of verifiers (0.1.14). verifiers 0.4.0 has tasks instead, with rewards ::

        class Copy(vf.Task[vf.TaskData]):  # of a Taskset whose load() yields Copy(vf.TaskData(prompt=...))
            @vf.reward
            async def paid(self, trace) -> float:
                turns = TurnWrapper(gym.make("textgym/Copy-v0"))
                turns.reset(options={"index": self.data.idx})
                return turns.step(trace.last_reply)[1]

    TRL (1.16.0) makes tools of an environment's methods: ``GRPOTrainer(..., environment_factory=Writing)`` with ::

        class Writing:
            def __init__(self):
                self._turns, self._paid = TurnWrapper(gym.make("textgym/Copy-v0")), 0.0

            def reset(self, index=None, **columns):  # of the training data set
                self._paid = 0.0
                return self._turns.reset(options={"index": index})[0]

            def hand_in(self, text: str) -> str:
                '''Hand in the text that was asked for.

                Args:
                    text: the whole text.
                '''
                self._paid = self._turns.step(text)[1]
                return "handed in"

            def get_reward(self):
                return self._paid
    """

    def __init__(self, env: gym.Env, on_unwritable: str = "raise"):
        RecordConstructorArgs.__init__(self, on_unwritable=on_unwritable)
        gym.Wrapper.__init__(self, env)
        if not isinstance(env.unwrapped, TextGenEnv):
            raise TypeError(f"TurnWrapper takes a TextGenEnv, or wrappers around one, got {env!r}")
        self.vocabulary: Vocabulary = env.unwrapped.vocabulary
        self.on_unwritable = one_of("on_unwritable", on_unwritable, ("raise", "end"))
        self.observation_space = AnyText()
        self.action_space = WrittenText(self.vocabulary, env.unwrapped.budget)
        self._over = True

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        _, info = self.env.reset(seed=seed, options=options)
        self._over = False
        return self.env.unwrapped.episode.prompt, info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        if not isinstance(action, str):
            raise InvalidAction(f"an action is a text, got {action!r}")
        if self._over:
            raise ResetNeeded("the episode has ended, or has not begun: call reset before step")
        ids = _ids_of(self.vocabulary, action)
        if ids is None:
            return self._unwritable(action)
        self._over = True  # whatever happens now: the token environment is not as it was
        payments, terms, terminated, truncated, info = [], {}, False, False, {}
        for token in [*ids.tolist(), self.vocabulary.eos]:
            _, paid, terminated, truncated, info = self.env.step(token)
            payments.append(paid)
            for name, part in info.get("reward_terms", {}).items():
                terms[name] = terms.get(name, 0.0) + part
            if terminated or truncated:
                break
        tokens = np.append(ids, self.vocabulary.eos).astype(np.int32)[: len(payments)]
        more = {"payments": np.array(payments), "tokens": tokens, "cut": max(0, len(ids) - len(payments))}
        return "", float(sum(payments)), terminated, truncated, {**info, "reward_terms": terms, **more}

    def _unwritable(self, text: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        if self.on_unwritable == "raise":
            raise InvalidAction(
                f"the vocabulary ({self.vocabulary!r}) has no tokens for all of {text!r}: write something else, or "
                "take on_unwritable='end', or a tokenizer of bytes"
            )
        self._over = True
        info = {"end_reason": "unwritable", "score": 0.0, "is_success": False, "text": ""}
        return "", 0.0, True, False, {**info, "payments": np.zeros(0), "tokens": np.zeros(0, np.int32), "cut": 0}


class TokenWrapper(gym.Env[np.ndarray, int]):
    """An environment of texts (``reset() -> (str, info)``, ``step(str) -> 5-tuple``) played token by token.

    Tokens are collected up to EOS, or until the budget of the turn is spent, and handed on as one text. The answer is
    the next prompt, until the inner environment says that the episode is over. Observations show the last answer only:
    where more is to be remembered, wrap the inner environment in one that repeats it.

    GEM's environments (gem-llm 0.1.0) are played as they are: ``TokenWrapper(gem.make("game:Sudoku-v0-easy"))``.

    ## Action space
    ``Discrete(V)``: the token ids. Special tokens other than EOS and unused ids are illegal: see :meth:`action_masks`.

    ## Observation space
    ``Box(0, V, (prompt_length + budget,), int32)``: the last answer, right-aligned in the first prompt_length columns
    and without its beginning where it is longer, then token t of the turn in column prompt_length + t; PAD = V in
    empty columns. At the end of an episode: the turn that ended it.

    ## Rewards
    What the inner environment pays for a turn, at its last token; 0 for all others.

    ## Episode end
    When the inner environment says so, ``terminated`` or ``truncated`` as it has it. After an illegal token, which is
    not written and pays nothing, with ``info["end_reason"] = "illegal"``.

    ## Arguments
    * turn_env: the inner environment, Gymnasium's or any other with these two methods. Its ``reset`` is given ``seed``
      and ``options`` where there are any.
    * tokenizer: a :class:`~textgym.tokenizers.Vocabulary`, the path of a saved tokenizer, or what else
      :func:`~textgym.tokenizers.make_vocabulary` takes, trained on ``texts``; by default the 256 bytes and EOS.
    * prompt_length: tokens shown of an answer.
    * budget: tokens of a turn, EOS included.
    * texts: what a tokenizer is trained on.

    Info of a turn's last token: the inner environment's, with ``action``, the text of the turn, and ``observation``,
    the answer as a text. Info of other tokens is empty.

    ``TokenWrapper(TurnWrapper(env), env.unwrapped.vocabulary, ...)`` with the sizes of ``env`` shows what ``env`` shows
    and sums up to the same, where texts are paid for and not tokens, and the text's own tokens fit the budget.
    """

    def __init__(
        self,
        turn_env: Any,
        tokenizer: Any = "byte_bpe",
        *,
        prompt_length: int = 256,
        budget: int = 64,
        texts: Sequence[str] = (),
    ):
        self.turn_env = turn_env
        self.vocabulary = make_vocabulary(tokenizer, lambda: texts)
        self.prompt_length = whole_number("prompt_length", prompt_length, 0)
        self.budget = whole_number("budget", budget, 1)
        size = self.vocabulary.size
        self.action_space = Discrete(size)
        self.observation_space = Box(0, size, (self.prompt_length + self.budget,), np.int32)
        self.metadata = {"render_modes": [], **(getattr(turn_env, "metadata", None) or {})}
        self.render_mode = getattr(turn_env, "render_mode", None)
        self._window = np.full(self.prompt_length + self.budget, self.vocabulary.pad, np.int32)
        self._written = 0
        self._over = True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        given = {} if seed is None else {"seed": seed}
        answer, info = self.turn_env.reset(**given, **({"options": options} if options else {}))
        self._begin_turn(answer)
        self._over = False
        return self._window.copy(), {**info, "observation": answer}

    def step(self, action):
        if self._over:
            raise ResetNeeded("the episode has ended, or has not begun: call reset before step")
        token = int(checked_action(action, self.vocabulary))
        if not self.vocabulary.legal[token]:
            self._over = True
            return self._window.copy(), 0.0, True, False, {"end_reason": "illegal"}
        self._window[self.prompt_length + self._written] = token
        self._written += 1
        if token != self.vocabulary.eos and self._written < self.budget:
            return self._window.copy(), 0.0, False, False, {}
        text = self.vocabulary.decode(self._window[self.prompt_length :])
        answer, reward, terminated, truncated, info = self.turn_env.step(text)
        self._over = bool(terminated or truncated)
        if not self._over:
            self._begin_turn(answer)
        info = {**info, "action": text, "observation": answer}
        return self._window.copy(), float(reward), bool(terminated), bool(truncated), info

    def _begin_turn(self, prompt: Any) -> None:
        if not isinstance(prompt, str):
            raise TypeError(f"TokenWrapper plays environments whose observations are texts, got {prompt!r}")
        ids = self.vocabulary.encode(prompt)
        ids = ids[max(0, len(ids) - self.prompt_length) :]
        self._window[:] = self.vocabulary.pad
        self._window[self.prompt_length - len(ids) : self.prompt_length] = ids
        self._written = 0

    def action_masks(self) -> np.ndarray:
        """Which tokens are legal, bool (V,): the method that sb3-contrib's MaskablePPO calls."""
        return self.vocabulary.legal.copy()

    def render(self):
        return self.turn_env.render()

    def close(self):
        if hasattr(self.turn_env, "close"):
            self.turn_env.close()
