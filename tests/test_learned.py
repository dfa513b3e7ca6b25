"""The metric ``learned``: what a reward model says of every prefix, and what it refuses."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
transformers = pytest.importorskip("transformers")

from networks import BUDGET, NETWORKS, PROMPT, V, described, mostly  # noqa: E402
from reward_models import ENV, KWARGS, LETTERS, PROMPTS, untrained  # noqa: E402

from agents.reward_model import disagreement  # noqa: E402
from agents.transformer.networks import BIDIRECTIONAL  # noqa: E402
from textgym import Delta, Episode, Learned  # noqa: E402
from textgym.testing import check_metric, check_reward  # noqa: E402
from textgym.testing.scripts import ExampleTask  # noqa: E402

PENALTIES = [0.0, pytest.param(1.5, marks=pytest.mark.slow)]
CAUSAL = [name for name in NETWORKS if described(name)["kind"] not in BIDIRECTIONAL]  # others have no likelihood


@pytest.mark.parametrize("name", mostly(NETWORKS))
@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_value_of_every_prefix_is_that_of_the_prefix_alone(tmp_path, name, penalty):
    check_every_prefix(Learned(untrained(tmp_path, name), penalty))


@pytest.mark.parametrize("name", mostly(CAUSAL))
@pytest.mark.parametrize("penalty", PENALTIES)
def test_so_it_is_where_likelihood_counts(tmp_path, name, penalty):
    check_every_prefix(Learned(untrained(tmp_path, name, likelihood=True), penalty))


def test_every_member_reads_a_prompt_once(tmp_path, monkeypatch):
    from test_language_model import Rows

    from agents.transformer.model import Decoder

    metric, sizes, read = Learned(untrained(tmp_path, likelihood=True)), [], Decoder.read
    monkeypatch.setattr(
        Decoder, "read", lambda self, tokens, *more: sizes.append(len(tokens)) or read(self, tokens, *more)
    )
    rows, progress = Rows(4, LETTERS), metric.start_rows(4, LETTERS)
    rows.written = np.full((4, BUDGET), LETTERS.pad, np.int32)
    for begun in ([0, 1, 2, 3], [1, 3]):
        rows.reset(progress, begun, ["abc"] * len(begun))
        for _ in range(2):
            progress.value(rows.step([0, 1, 2, 3], np.array([1, 2, 3, 4])))
    assert sizes == [4, 4, 2, 2]  # of two members


def check_every_prefix(metric):
    """Rows that begin, end, miss steps, are copied and restored, against whole texts read one by one."""
    from test_language_model import Rows

    rng, n = np.random.default_rng(0), 4
    rows, progress, saved = Rows(n, LETTERS), metric.start_rows(n, LETTERS), None
    rows.written = np.full((n, BUDGET), LETTERS.pad, np.int32)
    rows.reset(progress, list(range(n)), PROMPTS)
    for _ in range(25):
        chance = rng.random()
        if chance < 0.1:
            progress = pickle.loads(pickle.dumps(progress)) if chance < 0.05 else copy.deepcopy(progress)
        elif chance < 0.2:
            saved = copy.deepcopy((rows, progress.get_state()))
        elif chance < 0.3 and saved:
            rows = copy.deepcopy(saved[0])
            progress.set_state(saved[1])
        full = [row for row in range(n) if rows.lengths[row] == BUDGET or rng.random() < 0.1]
        if full:
            rows.reset(progress, full, rng.choice(PROMPTS, len(full)))
        going = np.flatnonzero(rng.random(n) < 0.8).tolist() or [0]
        step = rows.step(going, rng.integers(V, size=len(going)))
        values = progress.value(step)
        for row, value in zip(going, values, strict=True):
            size = int(rows.lengths[row])
            window = np.full((1, PROMPT + size), V, np.int64)
            prompt = LETTERS.encode(rows.episodes[row].prompt)
            window[0, PROMPT - len(prompt) : PROMPT] = prompt
            window[0, PROMPT:] = rows.written[row, :size]
            scores = metric.scorer.scores(window, np.array([size]))[0]
            alone = 1 / (1 + np.exp(-(scores.mean() - metric.penalty * scores.std())))
            assert value == pytest.approx(alone, abs=1e-5)
        np.testing.assert_allclose(values, metric.score_rows(step), atol=1e-5)
        assert ((values > 0) & (values < 1)).all()


def test_it_keeps_the_contract_of_metrics(tmp_path):
    metric = Learned(untrained(tmp_path), penalty=0.5)
    episodes = [Episode(prompt) for prompt in PROMPTS[:2]]
    check_metric(metric, episodes, ["abc", "sr", "aaaaaaaaaaa"], LETTERS, tolerance=1e-5)
    check_reward(Delta(metric), ExampleTask(episodes, ["abc", "sr"], LETTERS), tolerance=1e-5)


def test_delta_of_it_adds_up_to_its_value_at_the_end(trained):
    metric = {"name": "learned", "model": str(trained[0] / "reward.pt"), "penalty": 0.3}
    reward = [{"name": "delta", "metric": metric}]
    env = gym.make_vec(ENV, num_envs=5, autoreset_mode="SameStep", reward=reward, metrics=[metric], **KWARGS)
    env.reset(seed=0)
    rng, returns, ended = np.random.default_rng(0), np.zeros(5), 0
    for _ in range(40):
        actions = rng.integers(env.vocabulary.size, size=5)
        _, rewards, over, _, infos = env.step(actions)
        returns += rewards
        for row in np.flatnonzero(over):
            assert returns[row] == pytest.approx(infos["final_info"]["learned"][row], abs=1e-5)
            returns[row], ended = 0.0, ended + 1
    assert ended > 20


def test_what_does_not_fit_is_said(trained, tmp_path):
    path = str(trained[0] / "reward.pt")
    reward = {"name": "delta", "metric": {"name": "learned", "model": path}}
    with pytest.raises(ValueError, match="trained for textgym/Copy-v0, whose vocabulary .* judgements of this task"):
        gym.make("textgym/Brackets-v0", reward=reward)
    with pytest.raises(ValueError, match="reads prompts of 5 tokens, those of the task can have 6"):
        gym.make(ENV, reward=reward, length=6)
    (tmp_path / "broken.pt").write_bytes(b"no")
    torch.save({"format": "x"}, tmp_path / "other.pt")
    one = untrained(tmp_path, members=1)
    for arguments, error, message in (
        ((tmp_path / "none.pt",), FileNotFoundError, "there is no reward model"),
        ((tmp_path / "broken.pt",), ValueError, "is no checkpoint of agents.reward_model.train: it cannot be read"),
        ((tmp_path / "other.pt",), ValueError, "its format is x"),
        ((one, -1.0), ValueError, "penalty must be at least 0"),
        ((one, 1.0), ValueError, "has one member, which cannot disagree"),
        ((one, 0.0, "cuda:99"), ValueError, "device 'cuda:99' cannot be used .*Here there are: auto, cpu"),
        ((one, 0.0, "cpu", "nowhere:load"), ValueError, "cannot import 'nowhere'"),
    ):
        with pytest.raises(error, match=message):
            Learned(*arguments)
    with pytest.raises(ValueError, match="one member, which cannot disagree"):
        disagreement(one)
