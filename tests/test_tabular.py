"""Tables on small ids: exact against all texts there are, and learners that come to what is exact."""

import itertools
import math

import gymnasium as gym
import numpy as np
import pytest

from agents.cli import command_line
from agents.evaluation import evaluate, evaluation_env
from agents.tabular.exploration import EXPLORATIONS, UCB, EpsilonGreedy, Softmax
from agents.tabular.learning import Learner, TableAgent, table_of
from agents.tabular.mdp import action_values, enumerated, key_of, policy_evaluation, value_iteration
from agents.tabular.train import TrainArgs, train

TINY = {
    "Copy": ("textgym/Copy-v0", {"length": 2, "symbols": 2}),
    "Reverse": ("textgym/Reverse-v0", {"length": 2, "symbols": 3}),
    "Sort": ("textgym/Sort-v0", {"length": 2, "symbols": 3, "budget": 4}),
    "Brackets": ("textgym/Brackets-v0", {"length": 4, "kinds": 1}),
    "Password": ("textgym/Password-v0", {"length": 2, "symbols": 3}),
}
REWARDS = ["delta", "terminal", {"name": "every_step"}, {"name": "delayed", "k": 2, "reward": "delta"}]


def all_returns(id, kwargs, index, gamma):
    """What is paid for every sequence of ``budget`` tokens, the rest of it after its end unheeded; and the prompt."""
    env = gym.make(id, split="train", **kwargs)
    budget, paid = env.unwrapped.budget, []
    for actions in itertools.product(range(env.action_space.n), repeat=budget):
        prompt, _ = env.reset(seed=0, options={"index": index})
        total = 0.0
        for t, action in enumerate(actions):
            _, reward, ended, _, _ = env.step(action)
            total += gamma**t * reward
            if ended:
                break
        paid.append(total)
    return paid, prompt


def solved(id, kwargs, episodes, gamma=1.0, epsilon=0.0, rows=7):
    mdp = enumerated(evaluation_env(id, "train", num_envs=rows, **kwargs), range(episodes))
    return mdp, value_iteration(mdp, gamma, epsilon)


@pytest.mark.parametrize("gamma", [1.0, 0.8])
@pytest.mark.parametrize("reward", REWARDS, ids=str)
@pytest.mark.parametrize("task", TINY)
def test_values_are_those_of_all_texts(task, reward, gamma):
    id, kwargs = TINY[task]
    kwargs = {**kwargs, "reward": reward}
    mdp, best = solved(id, kwargs, 4, gamma)
    uniform = policy_evaluation(mdp, mdp.legal / mdp.legal.sum(1, keepdims=True), gamma)
    for index in (0, 3):
        paid, prompt = all_returns(id, kwargs, index, gamma)
        start = mdp.states[key_of(prompt)]
        assert start == mdp.starts[index]
        assert best[start] == pytest.approx(max(paid), abs=1e-9)
        assert uniform[start] == pytest.approx(np.mean(paid), abs=1e-9)


@pytest.mark.parametrize("mask", [None, "task"])
def test_the_best_of_brackets_is_1_with_and_without_a_mask(mask):
    id, kwargs = TINY["Brackets"]
    mdp, best = solved(id, {**kwargs, "mask": mask, "observe_mask": mask is not None}, 10)
    assert best[mdp.starts] == pytest.approx(1.0)
    assert mdp.legal.all() == (mask is None)
    agent = TableAgent(table_of(mdp, best))
    assert evaluate(agent, id, 10, "train", mask=mask, **kwargs).mean_score == 1.0


@pytest.mark.parametrize("task", TINY)
def test_delta_and_terminal_are_worth_the_same_at_the_start_and_only_undiscounted(task):
    id, kwargs = TINY[task]
    starts = {}
    for reward, gamma in itertools.product(("delta", "terminal"), (1.0, 0.8)):
        mdp, best = solved(id, {**kwargs, "reward": reward}, 6, gamma)
        starts[reward, gamma] = best[mdp.starts]
    assert starts["delta", 1.0] == pytest.approx(starts["terminal", 1.0], abs=1e-12) == np.ones(6)
    assert (starts["terminal", 0.8] < 1 - 1e-3).all()
    if task in ("Copy", "Reverse", "Sort"):  # letters are paid as they come
        assert (starts["delta", 0.8] > starts["terminal", 0.8] + 1e-3).all()


@pytest.mark.parametrize("exploration", EXPLORATIONS)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("task, reward", [("Password", "terminal"), ("Reverse", "delta"), ("Brackets", "delta")])
def test_q_learning_comes_to_the_best_values(task, reward, seed, exploration):
    id, kwargs = TINY[task]
    kwargs = {**kwargs, "reward": reward}
    strength = {"epsilon_greedy": 0.3, "softmax": 0.3, "ucb": 1.0}[exploration]
    env = gym.make(id, split="train", **kwargs)
    learner = Learner(env, "q_learning", EXPLORATIONS[exploration](strength), power=0.0, seed=seed)
    for _ in range(2_000):
        learner.episode()
    mdp, best = solved(id, kwargs, 6)
    agent = TableAgent(learner.table)
    shared = evaluation_env(id, "train", num_envs=6, **kwargs)
    prompts, _ = shared.reset(seed=0, options={"index": np.arange(6)})
    assert agent.values(prompts, shared.action_masks()) == pytest.approx(best[mdp.starts], abs=1e-9)
    assert evaluate(agent, shared, 6).mean_score == 1.0


@pytest.mark.parametrize("seed, epsilon", [(0, 0.1), (1, 0.1), (2, 0.4)])
def test_sarsa_comes_to_the_values_of_its_own_exploration(seed, epsilon):
    id, kwargs = TINY["Password"]
    learner = Learner(gym.make(id, **kwargs), "sarsa", EpsilonGreedy(epsilon), seed=seed)
    paid = [learner.episode() for _ in range(5_000)]
    mdp, best = solved(id, kwargs, 1)
    _, soft = solved(id, kwargs, 1, epsilon=epsilon)
    start = mdp.starts[0]
    q, legal = learner.table[next(iter(mdp.states))], mdp.legal[start]
    rule = EpsilonGreedy(epsilon)
    mine = rule.probabilities(q, np.zeros(len(q)), legal) @ q
    assert mine == pytest.approx(soft[start], abs=0.05) and soft[start] < best[start] - 0.1
    assert np.mean(paid[-3_000:]) == pytest.approx(soft[start], abs=0.05)
    # the values of the best epsilon-soft policy are those of a policy: greedy for them, but for epsilon
    policy = np.stack([rule.probabilities(q, q, np.ones(len(q), bool)) for q in action_values(mdp, soft, 1.0)])
    assert policy_evaluation(mdp, policy) == pytest.approx(soft, abs=1e-12)


def test_probabilities_of_the_explorations_by_hand():
    q, tried = np.array([0.5, 1.0, 1.0, 9.0]), np.array([1, 2, 5, 0])
    legal = np.array([True, True, True, False])
    assert EpsilonGreedy(0.3).probabilities(q, tried, legal) == pytest.approx([0.1, 0.45, 0.45, 0.0])
    weights = np.array([math.exp(-1.0), 1.0, 1.0, 0.0])
    assert Softmax(0.5).probabilities(q, tried, legal) == pytest.approx(weights / weights.sum())
    bounds = [0.5 + math.sqrt(2 * math.log(8)), 1.0 + math.sqrt(math.log(8))]
    assert bounds[0] > bounds[1] and UCB().probabilities(q, tried, legal).tolist() == [1, 0, 0, 0]
    assert UCB(0.0).probabilities(q, tried, legal).tolist() == [0, 0.5, 0.5, 0]
    assert UCB().probabilities(q, tried, ~legal).tolist() == [0, 0, 0, 1]
    assert UCB().probabilities(q, np.array([0, 4, 0, 0]), legal).tolist() == [0.5, 0, 0.5, 0]  # untried ones first


def test_a_learner_is_its_seed():
    id, kwargs = TINY["Copy"]

    def returns(seed):
        learner = Learner(gym.make(id, **kwargs), "sarsa", Softmax(0.2), seed=seed)
        return [learner.episode() for _ in range(50)]

    assert returns(1) == returns(1) != returns(2)


# -- the command -----------------------------------------------------------------------------------


@pytest.mark.parametrize("algo", ["q_learning", pytest.param("sarsa", marks=pytest.mark.slow), "value_iteration"])
def test_a_run_has_the_best_value_beside_what_was_learnt(algo):
    result = train(
        TrainArgs(algo=algo, env="Copy-v0", env_kwargs=TINY["Copy"][1], episodes=2000, power=0.5, progress=False)
    )
    assert result.optimum == pytest.approx(1.0)
    last = result.evaluations[-1]
    assert last["score"] == last["return"] == 1.0 and last["value"] > 0.8
    if algo != "value_iteration":
        first = result.evaluations[0]
        assert first["episodes"] == first["value"] == 0 and first["score"] < 1


def test_what_is_too_large_is_refused_with_numbers(capsys):
    message = r"37,449 states or more are over max_states=1,000: .* V=9 and budget=6"
    with pytest.raises(SystemExit, match=f"^error: {message}"):
        call = lambda args: train(TrainArgs(env="Copy-v0", algo="value_iteration", max_states=1000, progress=False))  # noqa: E731
        command_line(TrainArgs, call, "train", [])
    result = train(TrainArgs(env="Copy-v0", episodes=10, eval_episodes=5, max_states=1000, progress=False))
    assert result.optimum is None and "the best value is not known: 37,449 states" in capsys.readouterr().out


def test_a_reward_that_is_not_the_texts_is_refused():
    reward = {"name": "noisy", "reward": "delta", "std": 0.1}
    with pytest.raises(ValueError, match="does not depend on prompt and text alone"):
        train(TrainArgs(reward=reward, algo="value_iteration", progress=False))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algo": "q_lerning"}, "Did you mean 'q_learning'"),
        ({"exploration": "usb"}, "Did you mean 'ucb'"),
        ({"strength": 1.5}, "epsilon must be a finite number, at least 0 and at most 1, got 1.5"),
        ({"exploration": "softmax", "strength": 0.0}, "temperature must be a finite number, above 0"),
        ({"power": 2.0}, "power must be"),
        ({"env_kwargs": {"lenght": 3}}, "Did you mean 'length'"),
        ({"reward": {"name": "delta", "gamma": 0.9}}, "gamma=0.9, the agent gamma=1.0"),
        ({"episodes": -1}, "episodes must be a whole number"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        train(TrainArgs(**{"progress": False, **changes}))
