"""Texts that begin with a reference's tokens: random start states, and MIXER; exploration by what is drawn."""

import copy
from dataclasses import replace

import gymnasium as gym
import pytest
import torch
import torch.nn.functional as F

from agents.transformer.batch import Batch, as_batch, in_minibatches
from agents.transformer.model import Decoder, DecoderConfig
from agents.transformer.prefixes import Mixer, RandomStarts
from agents.transformer.sampling import Sampling, draw
from agents.transformer.settings import TrainArgs
from agents.transformer.trainer import Trainer
from agents.transformer.update import Objective, minibatch_loss, standardised
from textgym import Episode

ID = "textgym/Spelling-v0"


def trainer(env_id=ID, n=8, **settings):
    args = TrainArgs(env=env_id, n_envs=n, **{"steps": 8 * 7 * 22, "minibatch": 64, "rollout": 7, **settings})
    kwargs = {"autoreset_mode": "SameStep", "copy": False, "group_size": args.whole_texts, **args.env_kwargs}
    env = gym.make_vec(env_id, num_envs=n, **kwargs)
    torch.manual_seed(0)
    policy = Decoder(DecoderConfig(env.vocabulary.size, 1 + env.prompt_length + env.budget, width=32))
    return Trainer(args, env, policy)


@pytest.mark.parametrize("algo, mask", [("ppo", None), ("rloo", None), ("ppo", {"name": "banned", "tokens": [0]})])
def test_texts_begin_with_a_random_prefix_of_their_reference(algo, mask):
    settings = {"algo": algo, "group_size": 4, "random_starts": 0.5, "top_k": 3}
    learner = trainer(**settings, env_kwargs={} if mask is None else {"mask": mask})
    sizes = []
    vocabulary = learner.env.vocabulary
    for _ in range(20):
        references = {row: e.references[0] for row, e in enumerate(learner.env.episodes)}
        fresh = learner.writer.lengths == 0
        rollout = learner.write()
        for row in range(8):
            ended = rollout.ended[:, row].nonzero().flatten().tolist()
            end = ended[0] + 1 if ended else 7
            if not fresh[row]:
                continue
            forced = rollout.forced[:end, row].tolist()
            size = sum(forced)
            assert forced == [True] * size + [False] * (end - size)  # a prefix
            whole = vocabulary.encode(references[row]).tolist()
            assert rollout.actions[:size, row].tolist() == whole[:size] and size <= len(whole)
            sizes.append(size)
        if algo == "rloo" and fresh.all():  # those of a group begin alike
            assert torch.equal(rollout.forced[0, 0:4], rollout.forced[0, :1].expand(4))
        assert torch.isfinite(rollout.log_probs).all()
        learner.learn(rollout)
    assert 0 in sizes and len(set(sizes)) > 3


def test_what_is_forced_is_not_learnt_from():
    """The step is that from a batch in which nothing of the forced tokens is left."""
    learner = trainer(random_starts=1.0)
    before = copy.deepcopy(learner.policy.state_dict())
    rollout = learner.write()
    assert rollout.forced[0].all() and not rollout.forced.all()
    other = replace(
        rollout,
        values=torch.where(rollout.forced, 1e3, rollout.values),
        log_probs=torch.where(rollout.forced, 1e3, rollout.log_probs),
    )
    results = []
    for each in (rollout, other):
        learner.policy.load_state_dict(before)
        learner.orders.manual_seed(0)
        learner.update, learner.optimizer = 0, torch.optim.SGD(learner.policy.parameters(), 0.1)
        learner.learn(each)
        results.append(copy.deepcopy(learner.policy.state_dict()))
    assert all(torch.equal(results[0][name], results[1][name]) for name in before)
    assert not torch.equal(results[0]["embedding.weight"], before["embedding.weight"])


def test_the_schedule_of_mixer_by_hand():
    env = gym.make_vec("textgym/Copy-v0", num_envs=2, autoreset_mode="SameStep")
    env.reset(seed=0)
    assert env.budget == 6
    mixer = Mixer(env, torch.device("cpu"), 2, updates=9)
    seen = []
    for mixer.update in range(11):
        seen.append(mixer.forced)
    assert seen == [4, 4, 4, 2, 2, 2, 0, 0, 0, 0, 0]
    mixer.update = 0
    assert mixer.size(3, None) == 3 and mixer.size(6, None) == 4
    assert Mixer(env, torch.device("cpu"), 100, updates=9).forced == 0


def test_mixer_learns_the_first_tokens_by_cross_entropy_and_the_rest_by_reward():
    learner = trainer("textgym/Copy-v0", mixer=4, n=16, rollout=6, steps=10_000)
    assert learner.mixer.forced == 2
    rollout = learner.write()
    assert rollout.forced[:2].all() and not rollout.forced[2].any()
    batch, _ = learner.own_terms.pay(rollout, learner_batch(learner, rollout))
    batch = learner.estimated(rollout, batch, learner.args)
    ((cut, at),) = in_minibatches(batch, 10_000, torch.Generator())
    objective = Objective(clip=None, value_weight=0.5, entropy_weight=0.1)
    advantages = standardised(batch.advantages[at], ~batch.forced[at])
    loss, seen = minibatch_loss(learner.policy, batch, cut.chosen, at, advantages, objective, Sampling(), 6)
    losses, likelihoods, drawn = [], [], batch.advantages[~batch.forced]
    for i in range(len(at)):  # token by token
        window = batch.windows[batch.parts[i], : batch.columns[i] + 1][None]
        logits, value = learner.policy.heads(learner.policy.hidden(window)[:, -1])
        entropy = -(logits.softmax(-1) * logits.log_softmax(-1)).sum()
        cross_entropy = F.cross_entropy(logits, batch.actions[i : i + 1])
        if batch.forced[i]:
            likelihoods.append(cross_entropy)
            losses.append(cross_entropy)
        else:
            advantage = (batch.advantages[i] - drawn.mean()) / (drawn.std() + 1e-8)
            losses.append(advantage * cross_entropy + 0.5 * (value - batch.targets[i]).square().sum() - 0.1 * entropy)
    assert loss.item() == pytest.approx(torch.stack(losses).mean().item(), abs=1e-5)
    assert seen["likelihood_loss"].item() == pytest.approx(torch.stack(likelihoods).mean().item(), abs=1e-5)


def learner_batch(learner, rollout) -> Batch:
    zeros = torch.zeros_like(rollout.values)
    return as_batch(rollout, zeros, zeros, learner.env.prompt_length)


def test_mixer_ends_with_the_policy_alone():
    learner = trainer("textgym/Copy-v0", mixer=2, n=16, rollout=6, steps=96 * 30)
    shares, likelihoods = [], []
    for _ in range(30):
        rollout = learner.write()
        shares.append(float(rollout.forced.float().mean()))
        likelihoods.append(learner.learn(rollout).get("likelihood_loss"))
    assert shares[0] > 0.6 and shares[-1] == 0.0
    assert likelihoods[9] < likelihoods[0]


def test_a_task_without_references_is_refused():
    env = gym.make_vec("textgym/Copy-v0", num_envs=2, autoreset_mode="SameStep")
    env.reset(seed=0)
    env.state.episodes = [Episode("abc")] * 2
    with pytest.raises(ValueError, match="Copy has no references for texts to begin with"):
        RandomStarts(env, torch.device("cpu"), 0.5)


# -- what is drawn ---------------------------------------------------------------------------------


def test_epsilon_mixes_with_a_uniform_distribution():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 9, generator=generator, dtype=torch.float64, requires_grad=True)
    legal = torch.rand(6, 9, generator=generator) < 0.6
    legal[:, 0] = True
    for sampling in (Sampling(0.7, epsilon=0.3), Sampling(0.7, top_k=3, epsilon=0.3)):
        for given in (None, legal):
            support = sampling.support(logits.detach(), given)
            found = sampling.log_probs(logits, support)
            pi = replace(sampling, epsilon=0.0).log_probs(logits, support).exp()
            possible = torch.ones_like(pi) if support is None else support.double()
            expected = 0.7 * pi + 0.3 * possible / possible.sum(1, keepdim=True)
            torch.testing.assert_close(found.exp(), expected)
            (gradient,) = torch.autograd.grad(found[possible > 0].sum(), logits, retain_graph=True)
            (wanted,) = torch.autograd.grad(expected[possible > 0].log().sum(), logits)
            torch.testing.assert_close(gradient, wanted)
    with pytest.raises(ValueError, match="epsilon must be at least 0 and below 1, got 1.0"):
        Sampling(epsilon=1.0)


def test_epsilon_is_how_often_what_is_unlikely_is_drawn():
    logits = torch.tensor([[10.0, 0, 0, 0]]).expand(20_000, 4)
    tokens = draw(Sampling(epsilon=0.2).log_probs(logits, None), torch.Generator().manual_seed(0))
    share = tokens.bincount() / len(tokens)
    assert share[1:].tolist() == pytest.approx([0.05] * 3, abs=0.006)


@pytest.mark.parametrize("settings", [{"epsilon": 0.3}, {"epsilon": 0.3, "top_k": 4}, {"random_starts": 0.7}], ids=str)
def test_the_first_ratio_is_1(settings):
    learner = trainer(**settings, epochs=1, minibatch=10_000, learning_rate=1e-8)
    for _ in range(3):
        seen = learner.step()
        assert seen["ratio"] == pytest.approx(1.0, abs=1e-4) and seen["kl_to_old"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("noisy", [False, True])
def test_dropout_in_rollouts_is_a_flag(noisy):
    learner = trainer("textgym/Copy-v0", rollout_dropout=noisy, dropout=0.3)
    for module in learner.policy.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
    learner.writer.generator.manual_seed(0)
    first = learner.write()
    other = trainer("textgym/Copy-v0")
    noiseless = other.write()
    assert torch.allclose(first.log_probs[0], noiseless.log_probs[0]) is not noisy
    assert learner.policy.training
