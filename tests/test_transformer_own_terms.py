"""What the trainer pays beside the environment: the KL to a reference, and the bonus for what is new."""

import copy
from collections import Counter
from dataclasses import replace

import gymnasium as gym
import pytest
import torch

from agents.transformer.batch import as_batch, places
from agents.transformer.exploration import Counts, hashes
from agents.transformer.model import Decoder, DecoderConfig
from agents.transformer.own_terms import KLCoefficient
from agents.transformer.settings import TrainArgs
from agents.transformer.trainer import Trainer

ID, V = "textgym/Spelling-v0", 20


def trainer(env_id=ID, n=8, reference_seed=None, **settings):
    args = TrainArgs(
        env=env_id, n_envs=n, **{"steps": 4000, "minibatch": 64, "rollout": 7, "group_size": 4, **settings}
    )
    env = gym.make_vec(env_id, num_envs=n, autoreset_mode="SameStep", copy=False, group_size=args.whole_texts)

    def policy(seed):
        torch.manual_seed(seed)
        made = Decoder(DecoderConfig(env.vocabulary.size, 1 + env.prompt_length + env.budget, width=32))
        with torch.no_grad():
            made.embedding.weight.mul_(6)  # opinions
        return made

    return Trainer(args, env, policy(0), None if reference_seed is None else policy(reference_seed))


def as_paid(learner, rollout):
    """The rollout's tokens with what the trainer pays for them."""
    batch = as_batch(rollout, rollout.values, rollout.values, learner.env.prompt_length)
    return learner.own_terms.pay(rollout, batch)


@pytest.mark.parametrize("epsilon, top_k", [(0.0, None), (0.2, 5)])
def test_each_token_is_paid_by_the_log_ratio_and_texts_are_summed_over_rollouts(epsilon, top_k):
    beta = 0.3
    learner = trainer(reference_seed=1, kl_weight=beta, kl_in="reward", epsilon=epsilon, top_k=top_k)
    ratios = {}  # (row, text of the row) -> log-ratios
    begun = [0] * 8
    for _ in range(6):
        rollout = learner.write()
        batch, seen = as_paid(learner, rollout)
        kept = torch.zeros_like(rollout.rewards)
        kept[places(rollout)[2]] = batch.own_rewards
        # the oracle reads every text again and again, by the networks as they are: nothing is learnt here
        log_ratios = torch.zeros_like(rollout.rewards)
        for part in range(len(rollout.rows)):
            row, start = int(rollout.rows[part]), int(rollout.starts[part])
            for i, t in enumerate(range(int(rollout.first[part]), int(rollout.last[part]))):
                column = learner.env.prompt_length + t
                window = rollout.windows[part, : column + 1][None]
                found = []
                for network in (learner.policy, learner.own_terms.reference):
                    with torch.no_grad():
                        logits = network.heads(network.hidden(window)[:, -1])[0]
                    support = None if rollout.supports is None else rollout.supports[start + i, row][None]
                    found.append(learner.args.behaviour.log_probs(logits, support)[0, rollout.actions[start + i, row]])
                log_ratios[start + i, row] = found[0] - found[1]
        torch.testing.assert_close(kept, -beta * log_ratios, rtol=1e-3, atol=1e-4)
        sums = []
        for t in range(len(rollout.rewards)):
            for row in range(8):
                ratios.setdefault((row, begun[row]), []).append(float(log_ratios[t, row]))
                if rollout.ended[t, row]:
                    sums.append(sum(ratios[row, begun[row]]))
                    begun[row] += 1
        if sums:
            assert seen["text_kl"] == pytest.approx(sum(sums) / len(sums), abs=1e-3)
            assert seen["term_kl"] == pytest.approx(-beta * sum(sums) / len(sums), abs=1e-3)


@pytest.mark.parametrize("algo", ["ppo", "rloo"])
def test_what_is_paid_is_in_the_advantages(algo):
    """A KL that is paid moves the policy to the reference, where the environment pays nothing that it could learn."""
    settings = {"algo": algo, "n": 64, "rollout": 4, "minibatch": 256, "entropy_weight": 0.0, "decay": "constant"}
    learner = trainer("textgym/Password-v0", reference_seed=1, kl_weight=1.0, kl_in="reward", **settings)
    texts = []
    for _ in range(20):
        rollout = learner.write()
        seen = learner.learn(replace(rollout, rewards=torch.zeros_like(rollout.rewards)))
        if "text_kl" in seen:
            texts.append(seen["text_kl"])
    assert texts[0] > 0.3 and abs(sum(texts[-5:]) / 5) < 0.1


def test_the_controller_by_hand():
    kl = KLCoefficient(0.5, target=6.0, horizon=100)
    kl.observe(6.6, 10)  # an error of 0.1
    assert kl.value == pytest.approx(0.5 * 1.01)
    kl.observe(60.0, 50)  # cut to 0.2
    assert kl.value == pytest.approx(0.5 * 1.01 * 1.1)
    kl.observe(0.0, 50)
    assert kl.value == pytest.approx(0.5 * 1.01 * 1.1 * 0.9)
    fixed = KLCoefficient(0.5)
    fixed.observe(60.0, 50)
    assert fixed.value == 0.5


@pytest.mark.parametrize("where", ["loss", "reward"])
def test_the_weight_of_the_kl_adapts(where):
    learner = trainer(reference_seed=1, kl_weight=0.1, kl_in=where, kl_target=1e-3, kl_horizon=10.0)
    seen = [learner.step() for _ in range(4)]
    seen = [each for each in seen if "kl_weight" in each]
    for before, after in zip(seen, seen[1:], strict=False):
        assert (after["kl_weight"] > before["kl_weight"]) == (before["text_kl"] > 1e-3)
    assert ("term_kl" in seen[-1]) == (where == "reward")


def random_windows(generator, n=40, columns=9):
    return torch.randint(0, 3, (n, columns), generator=generator)  # few tokens: contexts come again


@pytest.mark.parametrize("context", [None, 0, 1, 3])
def test_counts_are_those_of_a_dictionary(context):
    generator = torch.Generator().manual_seed(0)
    counts, oracle = Counts(context, torch.device("cpu"), bits=24), Counter()
    learner = trainer("textgym/Copy-v0")
    batch, _ = as_paid(learner, learner.write())
    for _ in range(5):
        windows = random_windows(generator)
        parts, columns = torch.arange(40).repeat_interleave(4), torch.arange(4, 8).repeat(40)
        actions = windows[parts, columns + 1]
        drawn = torch.rand(160, generator=generator) < 0.8
        given = replace(batch, windows=windows, parts=parts, columns=columns, actions=actions, forced=~drawn)
        keys = []
        for part, column, action in zip(parts.tolist(), columns.tolist(), actions.tolist(), strict=True):
            before = windows[part, : column + 1].tolist()
            keys.append((tuple(before if context is None else before[len(before) - context :]), action))
        oracle.update(key for key, kept in zip(keys, drawn.tolist(), strict=True) if kept)
        found = counts.visit(given)
        assert found.tolist() == [max(1, oracle[key]) for key in keys]


def test_hashes_tell_contexts_apart():
    windows = torch.randint(0, 60, (2000, 12), generator=torch.Generator().manual_seed(0))
    for context in (None, 2, 5):
        found = hashes(windows, context)[:, -1]
        texts = windows[:, -(context or 12) :]
        assert len(found.unique()) == len(texts.unique(dim=0))


def test_the_bonus_is_paid_and_falls():
    learner = trainer("textgym/Password-v0", bonus_weight=0.5, n=8)
    first, *_, last = [learner.step() for _ in range(40)]
    assert 0 < last["term_bonus"] < first["term_bonus"] <= 0.5 * 4
    cells = learner.own_terms.counts.cells
    assert int(cells.sum()) == 40 * 7 * 8  # every token once


@pytest.mark.parametrize(
    "settings",
    [
        {"kl_weight": 0.1, "kl_in": "reward", "kl_target": 1.0, "bonus_weight": 0.1},
        {"random_starts": 0.5, "epsilon": 0.1, "estimator": "n_step"},
        {"mixer": 2, "algo": "rloo", "kl_weight": 0.1},
        {"redistribute": "attention", "redistribute_share": 0.8, "bonus_weight": 0.1, "bonus_context": 2},
        {"algo": "reinforce", "redistribute": "uniform", "random_starts": 0.5},
    ],
    ids=str,
)
def test_a_restored_trainer_goes_on_bit_for_bit(settings):
    first = trainer(**settings)
    for _ in range(3):
        first.step()
    saved = copy.deepcopy(first.state_dict())
    went_on = [first.step() for _ in range(3)]
    second = trainer(**settings)
    second.load_state_dict(saved)
    assert [second.step() for _ in range(3)] == went_on
    assert all(torch.equal(a, b) for a, b in zip(first.policy.parameters(), second.policy.parameters(), strict=True))
