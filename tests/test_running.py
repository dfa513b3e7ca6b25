"""What is computed when, by whom, and what of it is saved: metrics are followed once, or not at all."""

import pickle

import numpy as np
import pytest
from helpers import MODES, Phrases, assert_same, play, vector

from textgym import (
    CharacterMatch,
    Delta,
    EditDistance,
    Episode,
    EveryStep,
    Metric,
    RewardFunction,
    RewardState,
    Terminal,
    TextGenEnv,
    TextGenVectorEnv,
    make_metric,
)
from textgym.metrics import BatchMetric, Progress
from textgym.running import RunningState


class Counting(Metric):
    """Characters / 100; counts how often it is started, pushed and scored."""

    name = "counting"

    def __init__(self):
        self.calls = {"start": 0, "push": 0, "score": 0}

    def start(self, episode):
        self.calls["start"] += 1
        return _Counting(self.calls)

    def score(self, text, episode):
        self.calls["score"] += 1
        return len(text) / 100


class _Counting(Progress):
    def __init__(self, calls):
        self.calls, self.size = calls, 0

    def push(self, piece, provisional=""):
        self.calls["push"] += 1
        self.size += len(piece)
        return (self.size + len(provisional)) / 100


@pytest.mark.parametrize("mode", ["single", *MODES])
def test_a_terminal_reward_and_metrics_to_report_are_computed_at_the_end_only(mode):
    metric = Counting()
    kwargs = {"reward": Terminal(metric), "metrics": [metric], "budget": 20}
    env = (
        TextGenEnv(Phrases, **kwargs)
        if mode == "single"
        else TextGenVectorEnv(Phrases, 1, autoreset_mode=mode, **kwargs)
    )
    env.reset(seed=0)
    assert env.state.stream is None  # nobody reads the text on its way
    tokens = [*range(60, 70), env.vocabulary.eos]
    paid = [env.step(token if mode == "single" else [token])[1] for token in tokens]
    assert np.ravel(paid).tolist() == [0.0] * 10 + [0.1]
    assert metric.calls == {"start": 0, "push": 0, "score": 2}


@pytest.mark.parametrize("mode", ["single", "SameStep"])
def test_several_rewards_share_one_metric(mode):
    metric = Counting()
    reward = Delta(metric) + 0.5 * EveryStep(metric) - 2.0 * Delta(metric)
    env = TextGenEnv(Phrases, reward=reward) if mode == "single" else vector_of(reward)
    env.reset(seed=0)
    for token in range(60, 66):
        _, paid, _, _, info = env.step(token if mode == "single" else [token])
    assert metric.calls == {"start": 1, "push": 6, "score": 0}
    assert np.ravel(paid)[0] == pytest.approx(0.01 + 0.5 * 0.06 - 0.02)
    terms = info["reward_terms"]
    assert [
        np.ravel(terms[n])[0] for n in ("delta:counting", "every_step:counting", "delta:counting#2")
    ] == pytest.approx([0.01, 0.03, -0.02])


def vector_of(reward, n=1, mode="SameStep", **kwargs):
    return TextGenVectorEnv(Phrases, n, reward=reward, autoreset_mode=mode, **kwargs)


def test_a_metric_by_name_is_one_object():
    assert make_metric("cer") is make_metric("cer") and make_metric("cer") is not make_metric("wer")
    env = vector_of([{"name": "delta", "metric": "cer"}, "every_step:cer", "terminal:cer"])
    assert len(env.state.paying.metrics.followed) == 1


class Strange(BatchMetric):
    """Only known token by token: the sum of ids so far / 1000."""

    name = "strange"

    def start_rows(self, n, vocabulary):
        return _Strange(n)


class _Strange(RunningState):
    takes_scalars = False

    def __init__(self, n):
        self.sums = np.zeros(n)

    def reset(self, rows, episodes):
        self.sums[rows] = 0

    def value(self, step):
        self.sums[step.rows] += step.actions * (step.lengths % 3)
        return self.sums[step.rows] / 1000


@pytest.mark.parametrize("mode", ["single", *MODES])
@pytest.mark.parametrize(
    "metric", [Strange(), CharacterMatch(), EditDistance("word", "rate"), make_metric("token_match")]
)
def test_at_the_end_a_metric_is_what_it_is_when_followed(metric, mode):
    kwargs = {"reward": [EveryStep(metric), Terminal(metric)], "metrics": [metric], "budget": 9}
    kwargs["mask"] = {"name": "banned", "tokens": [7]}
    env = TextGenEnv(Phrases, **kwargs) if mode == "single" else vector_of(n=4, mode=mode, **kwargs)
    rng, over, ends = np.random.default_rng(0), np.zeros(1 if mode == "single" else 4, bool), 0
    env.reset(seed=0)
    likely = [*range(60, 75), env.vocabulary.eos, 7]
    for _ in range(200):
        if over.any() and mode == "single":
            env.reset()
        elif over.any() and mode == "Disabled":
            env.reset(options={"reset_mask": over})
        waiting = over & (mode == "NextStep")
        tokens = rng.choice(likely, len(over))
        _, _, over, _, info = env.step(tokens[0] if mode == "single" else tokens)
        over = np.atleast_1d(over)
        final = info.get("final_info", info)
        for row in np.flatnonzero(over & ~waiting):
            terms = {name: np.ravel(values)[row] for name, values in final["reward_terms"].items()}
            assert terms[f"every_step:{metric.name}"] == terms[f"terminal:{metric.name}"]
            assert np.ravel(final[metric.name])[row] == terms[f"terminal:{metric.name}"]
            ends += 1
    assert ends > 20


def test_a_metric_is_followed_again_where_it_has_no_score_of_its_own():
    for metric in (CharacterMatch(), EditDistance("word", "rate"), make_metric("token_match")):
        env = vector_of("delta", 6, "Disabled", metrics=[metric])
        env.reset(seed=0)
        rng = np.random.default_rng(0)
        while not env.state.over.any():
            env.step(rng.integers(0, env.vocabulary.size, 6))
        ending = env.state.last_step(np.flatnonzero(env.state.over))
        assert BatchMetric.score_rows(metric, ending).tolist() == pytest.approx(
            metric.score_rows(ending).tolist(), abs=1e-12
        )


def test_a_state_is_restored_only_where_it_fits():
    def made(**changes):
        env = TextGenVectorEnv(Phrases, 4, **{"reward": "delta", **changes})
        env.reset(seed=0)
        return env

    env = made()
    saved = env.get_state()
    made().set_state(saved)
    others = {
        "reward": {"reward": "terminal"},
        "group_size": {"group_size": 2},
        "mask": {"mask": {"name": "banned", "tokens": [5]}},
        "vocabulary": {"tokenizer": "character"},
        "budget": {"budget": 29},
        "payments kept": {"render_mode": "ansi"},
    }
    for name, changes in others.items():
        other = made(**changes)
        before = other.get_state()
        with pytest.raises(ValueError, match=f"saved with {name}|saved with prompt_length"):
            other.set_state(saved)
        assert_same(other.get_state(), before)


class Several(RewardFunction):
    """Keeps running states in a dict and in a tuple."""

    name = "several"
    needs_text = False

    def start(self, n, rngs, metrics):
        return _Several(n, rngs)


class _Several(RewardState):
    def __init__(self, n, rngs):
        self.by_name = {"a": _Draws(n, rngs), "b": _Draws(n, rngs)}
        self.pair = (_Draws(n, rngs), 3)

    def reset(self, rows, episodes):
        pass

    def step(self, step):
        paid = sum(draws.next(step) for draws in (*self.by_name.values(), self.pair[0]))
        self.terms = {"several": paid}
        return paid


class _Draws(RunningState):
    def __init__(self, n, rngs):
        self.rngs, self.total = rngs, np.zeros(n)

    def next(self, step):
        for row in step.rows.tolist():
            self.total[row] += self.rngs[row].random()
        return self.total[step.rows]


def test_running_states_in_dicts_and_tuples_are_saved_without_the_generators():
    env = vector_of(Several(), 3)
    env.reset(seed=1)
    env.step([0, 1, 2])
    saved = pickle.loads(pickle.dumps(env.get_state()))
    assert "rngs" not in saved["paying"]["state"]["by_name"]["a"]
    first = [env.step([0, 1, 2])[1] for _ in range(3)]
    env.set_state(saved)
    assert_same([env.step([0, 1, 2])[1] for _ in range(3)], first)
    assert env.state.paying.state.by_name["a"].rngs is env.state.streams.reward_rngs


def test_the_mask_of_a_vocabulary_with_unused_ids_is_one_row():
    env = vector("textgym/Copy-v0", 8, "SameStep", mask={"name": "banned", "tokens": [0]})
    assert env.state.legal.rows.shape == (0, env.vocabulary.size)
    env.reset(seed=0)
    assert not env.action_masks()[:, 0].any() and env.action_masks()[:, 1:].all()
    play(TextGenEnv(Phrases, mask={"name": "banned", "tokens": [0]}), [1, 2])


@pytest.mark.parametrize("metric", ["cer", "wer", {"name": "edit_distance", "form": "distance"}, "ter", "repetition"])
@pytest.mark.parametrize("schedule", [Delta, Terminal])
def test_where_lower_is_better_no_illegal_end_beats_the_honest_one(metric, schedule):
    if metric == "ter" and schedule is Delta:
        return
    reward = -1.0 * schedule(metric)
    returns = {}
    for written in ("", "qqqqqqq qqqqqq qqqqq", "the cat sat"):
        for end in ("eos", "illegal"):
            env = TextGenEnv(Phrases, reward=reward, mask={"name": "banned", "tokens": ["x"]})
            tokens = [*env.vocabulary.encode(written)]
            tokens.append(env.vocabulary.eos if end == "eos" else env.vocabulary.tokenizer.token_to_id("x"))
            results = play(env, tokens, options={"prompt": "", "references": ["the cat sat"]})[1:]
            assert results[-1][4]["end_reason"] == end
            returns[end] = sum(paid for _, paid, *_ in results)
        assert returns["illegal"] <= returns["eos"] + 1e-12


def test_a_state_of_the_single_env_fits_a_batch_of_one_and_the_other_way_round():
    single, batch = TextGenEnv(Phrases), TextGenVectorEnv(Phrases, 1)
    for source, target in ((single, batch), (batch, single)):
        source.reset(seed=3)
        source.step(60 if source is single else [60])
        target.set_state(source.get_state())
        assert_same(target.last_reward_terms, source.last_reward_terms)
        ours, theirs = (env.step(61 if env is single else [61])[1] for env in (source, target))
        assert np.ravel(ours)[0] == np.ravel(theirs)[0]
        target.reset()


class Again(BatchMetric):
    """Gives the same array at every step, with other numbers in it."""

    name = "again"

    def start_rows(self, n, vocabulary):
        return _Again(n)


class _Again(RunningState):
    takes_scalars = False

    def __init__(self, n):
        self.values = np.zeros(n)

    def reset(self, rows, episodes):
        self.values[rows] = 0

    def value(self, step):
        self.values[step.rows] += 1
        return self.values


def test_a_metric_may_use_its_array_again():
    env = vector_of(Delta(Again()), 2)
    env.reset(seed=0)
    assert [env.step([60, 60])[1].tolist() for _ in range(3)] == [[1.0, 1.0]] * 3


def test_the_seeds_of_the_rows_are_known_before_and_after():
    env = TextGenVectorEnv(Phrases, 2)
    assert env.np_random_seed == (-1, -1)
    env.reset(seed=5)
    other = TextGenVectorEnv(Phrases, 2)
    other.reset(seed=50)
    other.set_state(env.get_state())
    assert other.np_random_seed == env.np_random_seed == (5, 6)


def test_groups_may_have_arrays_in_their_episodes():
    class WithArrays(Phrases):
        def episode(self, index):
            episode = super().episode(index)
            return Episode(episode.prompt, episode.references, {"x": np.arange(3)})

    env = TextGenVectorEnv(WithArrays, 4, group_size=2)
    env.reset(seed=0, options={"index": 3})
    with pytest.raises(ValueError, match="the first time"):
        TextGenVectorEnv(WithArrays, 4, group_size=2).reset(
            options={"reset_mask": np.array([True, False, False, False])}
        )
