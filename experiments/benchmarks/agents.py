"""How fast a Transformer is trained: by agents.transformer, and by Stable-Baselines3 with the same network.

    python -m experiments.benchmarks.agents [--quick] [--output FILE]

64 rows, vocabulary 128, texts of up to 64 and up to 256 tokens after prompts of 63 and 255, a decoder of 2 layers and
width 128, one thread. All is timed in turns in one process; rates are medians over rounds, in brackets the 10th and
90th percentile of the ratio to this trainer, round by round.

- this trainer: PPO, one epoch, minibatches of 1,024 tokens. The rollout reads the prompts, draws, and steps the
  environment; the update is one forward and backward a text. Its policy is untrained and ends a text with each token by
  1 in 128, so that it reads about twice as many prompts as the two below, whose texts are as long as can be.
- Stable-Baselines3: PPO, one epoch, minibatches of 256 tokens (larger ones are no faster), the same network as features
  extractor: the whole window is read for every token. It is timed on fewer tokens: each costs the same.
- transformers: ``GPT2LMHeadModel.generate`` of the same sizes with its cache: no environment, no values.
- forward passes: the same prompts and tokens through the network and its cache, nothing drawn and no environment;
  for the update, one forward and backward over the same windows.
"""

from __future__ import annotations

import platform
import resource
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from tqdm import tqdm

import textgym
from agents.transformer.model import Decoder, DecoderConfig
from agents.transformer.policy import windows
from agents.transformer.settings import TrainArgs
from agents.transformer.trainer import Trainer
from experiments.benchmarks.flags import flags
from experiments.benchmarks.task import CopyWide
from experiments.benchmarks.timing import in_turns
from textgym.sb3 import SB3VecEnv

ROWS, LAYERS, WIDTH, HEADS = 64, 2, 128, 4


class LastColumn(BaseFeaturesExtractor):
    """A decoder as an SB3 features extractor: reads the whole window, and has the output of the last token."""

    def __init__(self, space, trunk: Decoder, prompt_length: int):
        super().__init__(space, trunk.config.width)
        self.trunk, self.prompt_length = trunk, prompt_length

    def forward(self, observations):
        tokens = windows(observations, self.trunk.vocabulary_size)
        columns = self.prompt_length + (tokens[:, 1 + self.prompt_length :] != self.trunk.vocabulary_size).sum(1)
        return self.trunk.hidden(tokens)[torch.arange(len(tokens)), columns]


def make_env(budget: int, rows: int = ROWS, **kwargs):
    task = CopyWide(length=budget - 1, items=1000)
    return textgym.TextGenVectorEnv(task, rows, reward="delta:token_match", autoreset_mode="SameStep", **kwargs)


def make_decoder(env, width: int = WIDTH) -> Decoder:
    torch.manual_seed(0)
    columns = 1 + env.prompt_length + env.budget
    return Decoder(DecoderConfig(env.vocabulary.size, columns, LAYERS, width, HEADS))


class Ours:
    """One rollout, or the update from it."""

    def __init__(self, budget: int):
        env = make_env(budget, copy=False)
        args = TrainArgs(n_envs=ROWS, rollout=budget, epochs=1, minibatch=1024)
        self.trainer, self.tokens = Trainer(args, env, make_decoder(env)), ROWS * budget

    def write(self) -> None:
        self.rollout = self.trainer.write()

    def learn(self) -> None:
        self.trainer.learn(self.rollout)


class SB3:
    """One rollout, or the update from it."""

    def __init__(self, budget: int, steps: int):
        env, self.tokens = make_env(budget), ROWS * steps
        self.model = PPO(
            "MlpPolicy",
            SB3VecEnv(env),
            n_steps=steps,
            batch_size=min(256, self.tokens),
            n_epochs=1,
            gamma=1.0,
            policy_kwargs={
                "features_extractor_class": LastColumn,
                "features_extractor_kwargs": {"trunk": make_decoder(env), "prompt_length": env.prompt_length},
                "net_arch": [],
            },
            device="cpu",
        )
        self.model.set_logger(Logger(None, []))
        _, self.callback = self.model._setup_learn(10**9, _Nothing())

    def write(self) -> None:
        model = self.model
        model.collect_rollouts(model.env, self.callback, model.rollout_buffer, model.n_steps)

    def learn(self) -> None:
        self.model.train()


class _Nothing(BaseCallback):
    def _on_step(self) -> bool:
        return True


class Transformers:
    """Texts by ``generate``."""

    def __init__(self, budget: int):
        from transformers import GPT2Config, GPT2LMHeadModel

        env, self.tokens = make_env(budget), ROWS * budget
        config = GPT2Config(
            vocab_size=env.vocabulary.size,
            n_positions=env.prompt_length + budget,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=HEADS,
            bos_token_id=None,
            eos_token_id=None,
        )
        self.model = GPT2LMHeadModel(config).eval()
        self.prompts = torch.from_numpy(env.reset(seed=0)[0][:, : env.prompt_length]).long()
        self.budget = budget

    def write(self) -> None:
        mask = torch.ones_like(self.prompts)
        self.model.generate(
            self.prompts, attention_mask=mask, do_sample=True, max_new_tokens=self.budget, pad_token_id=0
        )


class Floor:
    """The network alone."""

    def __init__(self, budget: int):
        env, self.tokens, self.budget = make_env(budget), ROWS * budget, budget
        self.prompt_length, self.decoder = env.prompt_length, make_decoder(env)
        tokens = torch.from_numpy(env.reset(seed=0)[0]).long()
        tokens[:, env.prompt_length :] = torch.randint(0, env.vocabulary.size - 1, (ROWS, budget))
        self.windows = windows(tokens, env.vocabulary.pad)
        self.cache = self.decoder.cache(*self.windows.shape)

    @torch.no_grad()
    def write(self) -> None:
        columns = torch.full((ROWS,), self.prompt_length)
        self.cache.begin(torch.arange(ROWS), self.windows[:, : self.prompt_length + 1], columns)
        for t in range(self.budget):
            self.cache.append(self.windows[:, self.prompt_length + 1 + t], columns + 1 + t)

    def learn(self) -> None:
        for part in self.windows.split(max(1, 1024 // self.budget)):
            logits, values = self.decoder.heads(self.decoder.hidden(part)[:, self.prompt_length : -1])
            (logits.logsumexp(-1).mean() + values.mean()).backward()


def rates(budget: int, rounds: int, sb3_steps: int) -> list[str]:
    """The lines of the table for one budget."""
    ours, sb3, hf, floor = Ours(budget), SB3(budget, sb3_steps), Transformers(budget), Floor(budget)
    jobs: list[tuple[str, int, list[Callable[[], object]]]] = [
        ("this trainer", ours.tokens, [ours.write, ours.learn]),
        ("Stable-Baselines3 PPO", sb3.tokens, [sb3.write, sb3.learn]),
        ("transformers generate", hf.tokens, [hf.write]),
        ("forward passes", floor.tokens, [floor.write, floor.learn]),
    ]
    times = in_turns([function for _, _, functions in jobs for function in functions], rounds)
    lines, first, own = [], 0, np.empty(0)
    for name, tokens, functions in jobs:
        each = times[:, first : first + len(functions)] / tokens  # (rounds, 1 or 2) seconds a token
        first += len(functions)
        each = np.concatenate([each, each.sum(1, keepdims=True)], 1) if len(functions) == 2 else each
        own = own if own.size else each
        cells = [f"{1 / np.median(column):,.0f}{_ratio(column, own[:, i])}" for i, column in enumerate(each.T)]
        lines.append(f"| {budget} | {name} | {' | '.join(cells + ['-'] * (3 - len(cells)))} |")
    return lines


def _ratio(seconds: np.ndarray, own: np.ndarray) -> str:
    """How many times faster this trainer is."""
    if seconds is own or np.array_equal(seconds, own):
        return ""
    low, middle, high = np.percentile(seconds / own, [10, 50, 90])
    return f" ({middle:.3g}x, {low:.3g}-{high:.3g})"


def memory(updates: int) -> str:
    """The process's largest memory after a tenth of ``updates`` updates, and after all of them."""
    env = make_env(16, 16, copy=False)
    trainer = Trainer(TrainArgs(n_envs=16, epochs=1), env, make_decoder(env, width=32))
    seen = []
    for update in range(1, updates + 1):
        trainer.step()
        if update in (updates // 10, updates):
            seen.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return f"Largest memory after {updates // 10} updates {seen[0]:,.0f} MiB, after {updates} {seen[1]:,.0f} MiB."


def main() -> None:
    args = flags("experiments.benchmarks.agents", __doc__)
    torch.set_num_threads(1)
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "stable-baselines3", "transformers"))
    lines = [
        f"{versions}, Python {platform.python_version()}. Tokens a second; in brackets how many times as fast this "
        "trainer is.",
        "",
        "| tokens | what | rollout | update | both |",
        "|---|---|---|---|---|",
    ]
    for budget, steps in tqdm(((64, 8), (256, 2)), desc="benchmarks"):
        lines += rates(budget, *((2, min(2, steps)) if args.quick else (7, steps)))
    lines += ["", memory(100 if args.quick else 1000)]
    text = "\n".join(lines)
    print(text)
    if args.output:
        args.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
