"""How fast a Transformer is trained: by agents.transformer, and by Stable-Baselines3 with the same network.

    python -m experiments.benchmarks.agents [--smoke] [--device cuda] [--folder DIR]

On the CPU: 64 rows, a decoder of 2 layers and width 128, float32, one thread. On a GPU: 1,024 rows, decoders of 6
layers and width 384 (10 M parameters) and of GPT-2 small's layers (85 M; with its 50,257 embeddings 124 M), bfloat16,
steps compiled. Vocabulary 128, texts of 64 and of 256 tokens after prompts of 63 and of 255. All is timed in turns in
one process; rates are medians over rounds, in brackets the median, 10th and 90th percentile, round by round, of how
many times as fast this trainer is.

Like for like, all texts are as long as can be: the network says that they never end.

- this trainer: PPO, one epoch, minibatches of 1,024 tokens (64 rows; 16 a row). The rollout reads the prompts, draws,
  and steps the environment; the update is one forward and backward a text.
- Stable-Baselines3: PPO, one epoch, minibatches of 256 tokens (larger ones are no faster; 128 on a GPU), the same
  network, in the same precision, as features extractor: the whole window is read for every token. It is timed on fewer
  tokens: each costs the same, whether texts end or not.
- transformers: ``GPT2LMHeadModel.generate`` of the same sizes with its cache: no environment, no values.
- forward passes: the same prompts and tokens through the network and its cache, nothing drawn and no environment;
  for the update, one forward and backward over the same windows, of the same outputs.

As it is at the start of training, each token ends its text by 1 in 128: after texts of 50 tokens (64) or 111 (256) in
the mean a new prompt is read, by the rollout and again by the update, so that this trainer reads two to three times as
many prompts a token as above. The last two rows are of that.
"""

from __future__ import annotations

import gc
import resource
from dataclasses import dataclass, replace

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from tqdm import tqdm

import textgym
from agents.transformer.model import Decoder, DecoderConfig
from agents.transformer.policy import windows
from agents.transformer.settings import TrainArgs
from agents.transformer.trainer import Trainer
from experiments.benchmarks.decoding import decoding
from experiments.benchmarks.flags import flags
from experiments.benchmarks.task import CopyWide
from experiments.benchmarks.timing import in_turns
from experiments.measurements import Table, measuring
from textgym.sb3 import SB3VecEnv

NEVER = -1e4  # a logit: its probability is 0 in float32
SB3_MINIBATCH = {"cpu": 256, "cuda": 128}  # there for its memory: windows of 512 tokens, 12 layers of width 768


@dataclass(frozen=True)
class Setup:
    """What is timed, and where."""

    rows: int = 64
    layers: int = 2
    width: int = 128
    heads: int = 4
    device: str = "cpu"
    precision: str = "float32"
    compile: bool = False

    @property
    def decoder(self) -> dict[str, int]:
        return {"layers": self.layers, "width": self.width, "heads": self.heads}

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.device == "cuda":
            torch.cuda.synchronize()


ON_CPU = (Setup(),)
ON_GPU = tuple(Setup(1024, *sizes, "cuda", "bfloat16", True) for sizes in ((6, 384, 6), (12, 768, 12)))


class Endless(Decoder):
    """A decoder whose texts never end before their budget."""

    eos: int

    def heads(self, hidden):
        logits, values = super().heads(hidden)
        ends = torch.arange(self.vocabulary_size, device=logits.device) == self.eos
        return logits.masked_fill(ends, NEVER), values


class LastColumn(BaseFeaturesExtractor):
    """A decoder as an SB3 features extractor: reads the whole window, and has the output of the last token."""

    def __init__(self, space, trunk: Decoder, prompt_length: int):
        super().__init__(space, trunk.config.width)
        self.trunk, self.prompt_length = trunk, prompt_length

    def forward(self, observations):
        tokens = windows(observations, self.trunk.vocabulary_size)
        columns = self.prompt_length + (tokens[:, 1 + self.prompt_length :] != self.trunk.vocabulary_size).sum(1)
        with self.trunk.autocast():
            return self.trunk.hidden(tokens)[torch.arange(len(tokens)), columns].float()


def make_env(budget: int, rows: int, **kwargs):
    task = CopyWide(length=budget - 1, items=1000)
    return textgym.TextGenVectorEnv(task, rows, reward="delta:token_match", autoreset_mode="SameStep", **kwargs)


def make_decoder(env, setup: Setup, kind: type[Decoder] = Decoder) -> Decoder:
    torch.manual_seed(0)
    columns = 1 + env.prompt_length + env.budget
    decoder = kind(DecoderConfig(env.vocabulary.size, columns, **setup.decoder)).to(setup.device)
    decoder.precision, decoder.eos = getattr(torch, setup.precision), env.vocabulary.eos
    if setup.compile:
        decoder.compile_step()
    return decoder


class Ours:
    """One rollout, or the update from it."""

    def __init__(self, budget: int, setup: Setup, kind: type[Decoder] = Decoder):
        env = make_env(budget, setup.rows, copy=False)
        args = TrainArgs(n_envs=setup.rows, rollout=budget, epochs=1, minibatch=16 * setup.rows)
        if setup.device == "cuda":  # texts that end early are many, and each prompt is read
            args.microbatch = 32 * setup.rows
        self.setup, self.tokens = setup, setup.rows * budget
        self.trainer = Trainer(args, env, make_decoder(env, setup, kind))

    def write(self) -> None:
        self.rollout = self.trainer.write()
        self.setup.wait()

    def learn(self) -> None:
        self.trainer.learn(self.rollout)
        self.setup.wait()


class SB3:
    """One rollout, or the update from it."""

    def __init__(self, budget: int, setup: Setup, steps: int):
        env, self.tokens = make_env(budget, setup.rows), setup.rows * steps
        self.model = PPO(
            "MlpPolicy",
            SB3VecEnv(env),
            n_steps=steps,
            batch_size=min(SB3_MINIBATCH[setup.device], self.tokens),
            n_epochs=1,
            gamma=1.0,
            policy_kwargs={
                "features_extractor_class": LastColumn,
                "features_extractor_kwargs": {
                    "trunk": make_decoder(env, replace(setup, compile=False)),
                    "prompt_length": env.prompt_length,
                },
                "net_arch": [],
            },
            device=setup.device,
        )
        self.model.set_logger(Logger(None, []))
        _, self.callback = self.model._setup_learn(10**9)

    def write(self) -> None:
        model = self.model
        model.collect_rollouts(model.env, self.callback, model.rollout_buffer, model.n_steps)

    def learn(self) -> None:
        self.model.train()


class Transformers:
    """Texts by ``generate``."""

    def __init__(self, budget: int, setup: Setup):
        from transformers import GPT2Config, GPT2LMHeadModel

        env, self.tokens, self.setup = make_env(budget, setup.rows), setup.rows * budget, setup
        config = GPT2Config(
            vocab_size=env.vocabulary.size,
            n_positions=env.prompt_length + budget,
            n_embd=setup.width,
            n_layer=setup.layers,
            n_head=setup.heads,
            bos_token_id=None,
            eos_token_id=None,
        )
        self.model = GPT2LMHeadModel(config).eval().to(setup.device, getattr(torch, setup.precision))
        self.prompts = torch.from_numpy(env.reset(seed=0)[0][:, : env.prompt_length]).long().to(setup.device)
        self.budget = budget

    def write(self) -> None:
        mask = torch.ones_like(self.prompts)
        self.model.generate(
            self.prompts, attention_mask=mask, do_sample=True, max_new_tokens=self.budget, pad_token_id=0
        )
        self.setup.wait()


class Floor:
    """The network of a trainer alone, in its cache."""

    def __init__(self, budget: int, setup: Setup, ours: Ours):
        env, self.tokens, self.budget, self.setup = make_env(budget, setup.rows), setup.rows * budget, budget, setup
        self.prompt_length, self.decoder = env.prompt_length, ours.trainer.policy
        tokens = torch.from_numpy(env.reset(seed=0)[0]).long()
        tokens[:, env.prompt_length :] = torch.randint(0, env.vocabulary.size - 1, (setup.rows, budget))
        self.windows = windows(tokens, env.vocabulary.pad).to(setup.device)
        self.cache = ours.trainer.writer.cache

    @torch.no_grad()
    def write(self) -> None:
        rows = torch.arange(self.setup.rows, device=self.setup.device)
        columns = torch.full_like(rows, self.prompt_length)
        with self.decoder.autocast():
            self.cache.begin(rows, self.windows[:, : self.prompt_length + 1], columns)
            for t in range(1, self.budget):
                self.cache.append(self.windows[:, self.prompt_length + t], columns + t)
        self.setup.wait()

    def learn(self) -> None:
        columns = torch.arange(self.prompt_length, self.prompt_length + self.budget, device=self.setup.device)
        for part in self.windows.split(max(1, 16 * self.setup.rows // self.budget)):
            rows = torch.arange(len(part), device=part.device)[:, None]
            with self.decoder.autocast():
                logits, values = self.decoder.heads(self.decoder.outputs(part, rows, columns))
            (logits.float().logsumexp(-1).mean() + values.float().mean()).backward()
        self.decoder.zero_grad()
        self.setup.wait()


def rates(budget: int, setup: Setup, rounds: int, sb3_steps: int) -> list[list]:
    """The rows of the table for one budget."""
    gc.collect()  # what the last one took
    full, ending, sb3 = Ours(budget, setup, Endless), Ours(budget, setup), SB3(budget, setup, sb3_steps)
    hf, floor = Transformers(budget, setup), Floor(budget, setup, full)
    timed = (full, ending, sb3, hf, floor)
    jobs = [(each, getattr(each, name)) for each in timed for name in ("write", "learn") if hasattr(each, name)]
    times = in_turns([job for _, job in jobs], rounds)
    seconds = {}  # a token, (rounds, 1 or 3): rollout, update, both
    for each in timed:
        columns = times[:, [i for i, (of, _) in enumerate(jobs) if of is each]] / each.tokens
        both = [columns.sum(1, keepdims=True)] if columns.shape[1] == 2 else []
        seconds[each] = np.concatenate([columns, *both], 1)
    return [
        _row(budget, "this trainer", seconds[full]),
        _row(budget, "Stable-Baselines3 PPO", seconds[sb3], seconds[full]),
        _row(budget, "transformers generate", seconds[hf], seconds[full]),
        _row(budget, "forward passes", seconds[floor], seconds[full]),
        _row(budget, "this trainer, texts that end early", seconds[ending]),
        _row(budget, "Stable-Baselines3 PPO, to that", seconds[sb3], seconds[ending]),
    ]


def _row(budget: int, name: str, seconds: np.ndarray, own: np.ndarray | None = None) -> list:
    """Tokens a second of rollout, update and both, each with how many times as fast this trainer is."""
    row: list = [budget, name]
    for i in range(3):
        there = i < seconds.shape[1]
        row.append(float(1 / np.median(seconds[:, i])) if there else None)
        faster = there and own is not None
        row.append(np.percentile(seconds[:, i] / own[:, i], [50, 10, 90]).tolist() if faster else None)
    return row


def memory(updates: int) -> Table:
    """The process's largest memory so far after a tenth of ``updates`` updates, and after all of them."""
    env = make_env(16, 16, copy=False)
    trainer = Trainer(TrainArgs(n_envs=16, epochs=1), env, make_decoder(env, Setup(width=32)))
    rows = []
    for update in range(1, updates + 1):
        trainer.step()
        if update in (updates // 10, updates):
            rows.append([update, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024])
    return Table("Largest memory of the process", [("after updates", "{:,}"), ("MiB", "{:,.0f}")], rows)


TITLES = [("tokens", "{}"), ("what", "{}")]
for _part in ("rollout", "update", "both"):
    TITLES += [(_part, "{:,.0f}"), ("this trainer is", "{:.3g}x ({:.3g}-{:.3g})")]


def main() -> None:
    parser = flags("experiments.benchmarks.agents", __doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where networks live")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cuda, shapes = args.device == "cuda", ((16, 2),) if args.smoke else ((64, 8), (256, 2))
    rounds = 2 if args.smoke else 5 if cuda else 7
    settings = {"device": torch.cuda.get_device_name()} if cuda else {}
    packages = ("torch", "stable-baselines3", "transformers", "numpy")
    with measuring("agents-cuda" if cuda else "agents", __doc__, args, packages, **settings) as tables:
        if not cuda:  # first: what is timed below takes far more memory
            tables.append(memory(10 if args.smoke else 1000))
        for setup in ON_GPU if cuda else ON_CPU:
            caption = f"{setup}. Tokens a second, and how many times as fast this trainer is"
            rows = [rates(budget, setup, rounds, steps) for budget, steps in tqdm(shapes, desc="benchmarks")]
            tables.append(Table(caption, TITLES, sum(rows, [])))
            tables.append(decoding(Ours(shapes[0][0], setup, Endless).trainer, rounds))


if __name__ == "__main__":
    main()
