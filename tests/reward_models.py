"""Judged texts and reward models, small: what the tests of both and of the metric share."""

import json

import gymnasium as gym
import numpy as np
import torch
from networks import BUDGET, PROMPT, described

from agents.evaluation import evaluation_env
from agents.feedback import Comparison, Marks, Span, Store, Text
from agents.feedback.simulated import SimulatedAnnotator
from agents.reward_model.network import ScoreNetwork
from agents.reward_model.scorer import Scorer, save
from agents.reward_model.train import RewardArgs, train
from textgym import Vocabulary

ENV, KWARGS = "textgym/Copy-v0", {"length": 5}
TASK = f"{ENV} {json.dumps(KWARGS)}"
ALPHABET = sorted(set("".join(gym.make(ENV, **KWARGS).unwrapped.task.episode(i).prompt for i in range(100))))
GOOD = ALPHABET[::2]
LETTERS = Vocabulary.characters(["abcdefghijklmnopqrs"])  # V tokens with EOS
PROMPTS = ["", "abc", "sss", "abcdefg"]
SMALL = {"width": 32, "layers": 1, "heads": 2, "members": 2, "halvings": 1, "progress": False}


def env_of(**kwargs):
    return evaluation_env(ENV, "train", num_envs=1, **{**KWARGS, **kwargs})


def texts_of(env, prompts, each, rng):
    """Drawn texts, whose score is the share of letters of GOOD."""
    texts = []
    for i in range(prompts):
        prompt = env.task.episode(i).prompt
        for seed in range(each):
            text = "".join(rng.choice(ALPHABET, len(prompt)))
            texts.append(Text(TASK, prompt, text, "", seed, float(np.mean([letter in GOOD for letter in text]))))
    return texts


def judged_in(folder):
    """A store with comparisons by an annotator who errs and one who always says the same, ratings and marks."""
    env = env_of()
    with Store(folder / "feedback.db") as store:
        ids = store.add_texts(texts_of(env, 60, 4, np.random.default_rng(0)))
        SimulatedAnnotator(0.1).annotate(store, "comparison", 300)
        SimulatedAnnotator(0.0).annotate(store, "rating", 100)
        for text in store.texts(ids[:60]):
            wrong = [i for i, letter in enumerate(text.text) if letter not in GOOD]
            spans = tuple(Span(i, i + 1, "bad") for i in wrong)
            store.submit(Marks(text.id, spans), "ann", f"marks {text.id}")
        for k in range(0, 80, 4):
            store.submit(Comparison(ids[k], ids[k + 1], "tie"), "lazy\x1b[2J", f"tie {k}")
    return folder / "feedback.db"


def trained_on(judged, folder):
    """The folder of a reward model, and its report."""
    args = RewardArgs(judged, "Copy-v0", KWARGS, folder=folder, epochs=6, **SMALL)
    return folder, train(args)


def untrained(folder, name="decoder", members=2, likelihood=False):
    """The file of a reward model with random weights, of the vocabulary LETTERS."""
    torch.manual_seed(0)
    begins = 1 + PROMPT if likelihood else None
    networks = [ScoreNetwork(described(name), text_begins=begins).eval() for _ in range(members)]
    for parameter in (p for network in networks for p in network.parameters() if p.ndim > 1):
        torch.nn.init.normal_(parameter, std=0.2)
    config = {"architecture": described(name), "vocabulary": LETTERS.fingerprint, "prompt_length": PROMPT}
    config |= {"budget": BUDGET, "env": "letters", "text_begins": begins}
    save(folder / "reward.pt", Scorer(networks, [[0.1, 0.5]] * members, config), {})
    return folder / "reward.pt"
