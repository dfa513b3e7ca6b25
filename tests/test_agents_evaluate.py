"""Evaluation on fixed episodes, the agents that do not learn, files that are whole or not there."""

import json

import gymnasium as gym
import numpy as np
import pytest

from agents.baselines import BASELINES, NGram, Random, Reference, baseline_scores, make_baseline, normalised
from agents.evaluate import EvaluateArgs, main
from agents.evaluation import evaluate, evaluation_env, written
from agents.files import replacing, write_json
from textgym import DatasetTask, EditDistance, Episode, TextGenVectorEnv, Vocabulary

SYMBOLIC = [id for id in gym.registry if id.startswith("textgym/") and "symbolic:" in gym.spec(id).kwargs["task"]]
SMALL = {"length": 3, "symbols": 3}


class Witness:
    """Remembers the episodes that it is asked about."""

    def __init__(self, task):
        self.inner, self.met = Random(task, 0), []

    def reset(self, episodes):
        self.met.append([e.prompt for e in episodes])

    def act(self, observations, action_masks, episodes):
        assert [e.prompt for e in episodes] == self.met[-1]
        return self.inner.act(observations, action_masks, episodes)


@pytest.mark.parametrize("num_envs", [1, 7, 20, 64])
def test_each_fixed_index_is_visited_once(num_envs):
    env = evaluation_env("textgym/Copy-v0", num_envs=num_envs)
    witness = Witness(env.task)
    evaluation = evaluate(witness, env, 20)
    prompts = [env.task.episode(i).prompt for i in range(20)]
    assert evaluation.indices.tolist() == list(range(20))
    assert evaluation.prompts == prompts
    assert sum([chunk[: 20 - i * num_envs] for i, chunk in enumerate(witness.met)], []) == prompts


@pytest.mark.parametrize("name", ["reference", "copy_prompt"])
def test_the_same_whatever_the_batch_and_the_time(name):
    def scores(num_envs):
        env = evaluation_env("textgym/Spelling-v0", "test", num_envs=num_envs)
        return evaluate(BASELINES[name](env.task), env, 30)

    first, again, other = scores(16), scores(16), scores(5)
    assert first.to_json() == again.to_json() == other.to_json()


def test_words_that_cannot_be_written_are_left_out():
    class Words(DatasetTask):
        metric = EditDistance("word", "accuracy")

        def __init__(self, split="train"):
            vocabulary = Vocabulary.words(["the cat sat on a mat"])
            items = [Episode("the dog sat", ("a dog sat on it",))]
            super().__init__(items, vocabulary=vocabulary, prompt_length=5, budget=6, split=split, lossy=True)

    for name, text in (("copy_prompt", "the sat"), ("reference", "a sat on")):
        env = TextGenVectorEnv(Words, 1, autoreset_mode="Disabled", split="test")
        wrote = evaluate(BASELINES[name](env.task), env, 1)
        assert (wrote.texts, wrote.end_reasons) == ([text], ["eos"])


def test_every_split_has_its_own_episodes():
    prompts = {
        split: set(evaluate(Reference(evaluation_env("textgym/Copy-v0").task), "textgym/Copy-v0", 50, split).prompts)
        for split in ("train", "validation", "test")
    }
    assert not prompts["train"] & prompts["validation"] and not prompts["validation"] & prompts["test"]


@pytest.mark.parametrize("id", SYMBOLIC)
def test_the_reference_scores_one(id):
    evaluation = evaluate(Reference(evaluation_env(id, num_envs=1).task), id, 20)
    assert evaluation.mean_score == 1.0 and evaluation.success.all()
    assert set(evaluation.end_reasons) == {"eos"}
    np.testing.assert_allclose(evaluation.returns, 1.0)
    assert evaluation.texts == [r[0] for r in evaluation.references]
    assert evaluation.lengths.tolist() == [len(t) + 1 for t in evaluation.texts]


@pytest.mark.parametrize("agent", [Random, NGram])
def test_sampling_agents_are_seeded(agent):
    env = evaluation_env("textgym/Copy-v0", "train", num_envs=8)
    texts = [evaluate(agent(env.task, seed=seed), env, 20).texts for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_random_obeys_the_mask():
    env = evaluation_env("textgym/Brackets-v0", num_envs=8, mask="task")
    assert "illegal" not in evaluate(Random(env.task), env, 40).end_reasons


def test_ngram_learns_what_texts_look_like():
    scores = baseline_scores("textgym/Password-v0", episodes=20)
    assert scores["ngram"] > 0.5 > scores["random"] and scores["reference"] == 1.0
    greedy = NGram(evaluation_env("textgym/Password-v0", "train").task, greedy=True)
    assert evaluate(greedy, "textgym/Password-v0", 5).mean_score == 1.0


def test_copying_the_prompt():
    scores = baseline_scores("textgym/Copy-v0", episodes=20, **SMALL)
    assert set(scores) == set(BASELINES)
    assert scores["copy_prompt"] == scores["reference"] == 1.0


def test_a_dict_observation_and_its_mask():
    evaluation = evaluate(
        Reference(evaluation_env("textgym/Brackets-v0").task), "textgym/Brackets-v0", 10, mask="task", observe_mask=True
    )
    assert evaluation.mean_score == 1.0
    observations, _ = evaluation_env("textgym/Brackets-v0", num_envs=3, mask="task", observe_mask=True).reset(seed=0)
    assert written(observations, evaluation_env("textgym/Brackets-v0").task).tolist() == [0, 0, 0]


def test_more_episodes_than_there_are():
    env = evaluation_env("textgym/Spelling-v0", num_envs=64, length=100)
    assert len(env.task) < 10_000
    evaluation = evaluate(Reference(env.task), env, 10_000)
    assert len(evaluation) == len(env.task) == evaluation.summary()["episodes"]
    assert evaluation.summary()["asked"] == 10_000


@pytest.mark.parametrize("num_envs", [1, 7, 64])
def test_episodes_further_on_are_those_of_the_whole(num_envs):
    env = evaluation_env("textgym/Copy-v0", num_envs=num_envs, reward={"name": "noisy", "reward": "delta", "std": 1.0})
    whole, part = evaluate(Reference(env.task), env, 20), evaluate(Reference(env.task), env, 12, first=8)
    assert part.records() == whole.records()[8:]
    short = evaluation_env("textgym/SpellingLong-v0", num_envs=num_envs)
    count = len(short.task)
    assert evaluate(Reference(short.task), short, 9, first=count - 2).indices.tolist() == [count - 2, count - 1]
    with pytest.raises(ValueError, match=f"no episodes from index {count} on: the split has {count}"):
        evaluate(Reference(short.task), short, 9, first=count)


def test_refusals():
    env = gym.make_vec("textgym/Copy-v0", 2)
    with pytest.raises(ValueError, match="Disabled.*NextStep"):
        evaluate(Random(env.task), env, 2)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        evaluate(Random(env.task), "textgym/Copy-v0", 0)
    with pytest.raises(TypeError, match="mask"):
        evaluate(Random(env.task), evaluation_env("textgym/Copy-v0"), 2, mask="task")
    with pytest.raises(ValueError, match="Did you mean 'reference'"):
        make_baseline("refrence", "textgym/Copy-v0", env.task)
    with pytest.raises(ValueError, match="reference > random"):
        normalised(0.5, 1.0, 1.0)
    assert normalised(0.6, 0.2, 1.0) == pytest.approx(0.5)


def test_the_command_writes_records(tmp_path, capsys):
    file = tmp_path / "records.json"
    main(EvaluateArgs(agent="reference", env="textgym/Copy-v0", episodes=7, split="test", json=file))
    printed = capsys.readouterr().out
    assert "score" in printed and "reference" in printed
    written = json.loads(file.read_text())
    assert written["split"] == "test" and written["summary"]["score"] == 1.0
    assert [r["indices"] for r in written["records"]] == list(range(7))


def test_a_file_is_whole_or_what_it_was(tmp_path):
    path = tmp_path / "config.json"
    write_json(path, {"a": 1})
    with pytest.raises(KeyError):
        with replacing(path) as file:
            file.write(b"half")
            raise KeyError
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]
