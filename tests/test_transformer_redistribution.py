"""What a text was paid, given to its tokens anew, and the estimators that whole texts go through."""

import gymnasium as gym
import pytest
import torch

from agents.reward_model.network import ScoreNetwork
from agents.reward_model.scorer import Scorer, load_scorer, save
from agents.transformer.advantages import ESTIMATORS, estimate, gae, on_grid
from agents.transformer.batch import as_batch
from agents.transformer.critic import fit_values
from agents.transformer.model import POSITIONS, Decoder, DecoderConfig
from agents.transformer.policy import Policy, windows
from agents.transformer.redistribution import (
    by_attention,
    of_policy,
    redistributed,
    shuffled_texts,
    shuffled_time,
    sums,
    uniform,
)
from agents.transformer.settings import TrainArgs
from agents.transformer.train import train
from agents.transformer.trainer import Trainer
from agents.transformer.update import Objective, update


def test_redistribution_by_hand():
    rewards, parts = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0, 8.0]), torch.tensor([0, 0, 1, 1, 1, 1])
    assert redistributed(rewards, parts, uniform(parts)).tolist() == [0.5, 0.5, 2.0, 2.0, 2.0, 2.0]
    weights = torch.tensor([0.25, 0.75, 0.5, 0.5, 0.0, 0.0])
    assert redistributed(rewards, parts, weights, 0.5).tolist() == [0.125, 0.875, 2.0, 2.0, 0.0, 4.0]


def random_texts(seed):
    """Rewards (M,), all different, and the text of each (M,)."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 9, (1 + seed % 7,), generator=generator)
    parts = torch.arange(len(sizes)).repeat_interleave(sizes)
    return torch.randn(len(parts), generator=generator, dtype=torch.float64), parts, generator


def test_shuffled_in_time_every_text_is_paid_the_same_in_another_order():
    moved = 0
    for seed in range(1000):
        rewards, parts, generator = random_texts(seed)
        found = shuffled_time(rewards, parts, generator)
        for part in parts.unique():
            assert sorted(found[parts == part].tolist()) == sorted(rewards[parts == part].tolist())
        moved += not torch.equal(found, rewards)
    assert moved > 900
    one, parts = torch.eye(3, dtype=torch.float64)[0], torch.zeros(3, dtype=torch.long)
    counts = sum(shuffled_time(one, parts, torch.Generator().manual_seed(seed)) for seed in range(3000))
    assert ((counts / 3000 - 1 / 3).abs() < 0.04).all()  # every place is as likely: 4.6 standard errors


def test_shuffled_over_texts_each_is_paid_what_one_other_was():
    for seed in range(1000):
        rewards, parts, generator = random_texts(seed)
        found = shuffled_texts(rewards, parts, generator)
        before, after = sums(rewards, parts), sums(found, parts)
        assert after.sort().values.tolist() == pytest.approx(before.sort().values.tolist(), abs=1e-12)
        payers = (after[:, None] - before[None]).abs().argmin(1)
        for payee, payer in enumerate(payers.tolist()):
            theirs, ours = rewards[parts == payer], found[parts == payee]
            same = min(len(theirs), len(ours) - 1)  # the last token may be paid a rest
            assert ours[:same].tolist() == theirs[:same].tolist()
            assert not ours[len(theirs) :].any()


def env_of(n, reward="terminal", **kwargs):
    made = {"autoreset_mode": "SameStep", "copy": False, **kwargs}
    return gym.make_vec("textgym/Spelling-v0", num_envs=n, reward=reward, **made)


def trainer(n=8, **settings):
    args = TrainArgs(env="textgym/Spelling-v0", n_envs=n, **{"steps": 4000, "minibatch": 64, "rollout": 7, **settings})
    env = env_of(n, args.reward or "terminal", group_size=args.whole_texts)
    torch.manual_seed(0)
    return Trainer(args, env, Decoder(DecoderConfig(env.vocabulary.size, 22, width=32)))


@pytest.mark.parametrize("positions", POSITIONS)
def test_attention_is_that_of_the_last_layer(positions):
    """The values of the last layer are replaced by unit vectors, one a column: so the shares are what is attended."""
    torch.manual_seed(0)
    model = Decoder(DecoderConfig(9, 8, layers=2, width=16, heads=2, positions=positions)).double()
    with torch.no_grad():
        model.embedding.weight.mul_(30)
        model.blocks[-1].qkv.weight.mul_(10)
    tokens = windows(torch.tensor([[3, 1, 4, 1, 5, 9, 9], [2, 7, 1, 8, 2, 8, 1]]), 9)
    columns, rows = torch.tensor([5, 7]), torch.arange(2)
    found = model.attention(tokens, columns)
    torch.testing.assert_close(found.sum(1), torch.ones(2, dtype=torch.float64))
    assert (found[0, 6:] == 0).all() and (found[0, :6] > 0).all()  # what comes later
    padded = model.attention(windows(torch.tensor([[9, 9, 3, 1, 4, 1, 5]]), 9), torch.tensor([7]))[0]
    torch.testing.assert_close(padded[[0, 3, 4, 5, 6, 7]], found[0, :6])
    assert (padded[1:3] == 0).all()
    block, seen = model.blocks[-1], {}
    block.output.register_forward_hook(lambda module, given, output: seen.update(attended=given[0]))
    block.qkv.register_forward_hook(replace_values)
    model.hidden(tokens)
    expected = seen["attended"][rows, columns].unflatten(-1, (2, 8)).mean(1)  # of two heads
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def replace_values(module, given, output):
    """Queries and keys as they are; the values of column c are the unit vector c in both heads."""
    q, k, v = output.chunk(3, -1)
    unit = torch.eye(8, dtype=v.dtype).repeat(1, 2)[: v.shape[1]]
    return torch.cat([q, k, unit.expand_as(v)], -1)


@pytest.mark.parametrize("how", ["uniform", "attention", "shuffled_time", "shuffled_texts"])
def test_every_sum_of_a_text_is_learnt_from_once(how):
    learner = trainer(redistribute=how, lam=1.0)
    paid, learnt = [], []
    for _ in range(6):
        rollout = learner.write()
        paid += [episode["return"] for episode in rollout.finished]
        batch, _ = learner.own_terms.pay(rollout, as_tokens(learner, rollout))
        batch = learner.estimated(rollout, batch, learner.args)
        if batch is None:
            continue
        # with lambda 1 and gamma 1 the target of a text's first value is all that it was paid
        first = torch.cat([torch.ones(1, dtype=torch.bool), batch.parts.diff() > 0])
        learnt += batch.targets[first].tolist()
        if how == "uniform":
            sizes = batch.parts.bincount()
            for part, size in enumerate(sizes.tolist()):
                targets = batch.targets[batch.parts == part]
                torch.testing.assert_close(targets, targets[0] * torch.arange(size, 0, -1) / size, rtol=1e-4, atol=1e-5)
        elif how == "attention":
            weights = by_attention(of_policy(learner.policy), batch)
            torch.testing.assert_close(sums(weights, batch.parts), torch.ones(int(batch.parts.max()) + 1))
            assert (weights > 0).all()
    assert len(learnt) > 20 and sorted(learnt) == pytest.approx(sorted(paid), abs=1e-5)


def reward_model(folder, longer=0, kind="decoder"):
    """The file of two untrained networks that score texts of Spelling, and prompts that are ``longer``."""
    env, name = env_of(1), str(folder / "reward.pt")
    columns = {"columns": 1 + env.prompt_length + longer + env.budget} if kind == "decoder" else {}
    architecture = {"kind": kind, "vocabulary_size": env.vocabulary.size, "width": 16, **columns}
    if kind == "lstm":
        architecture |= {"prompt_length": env.prompt_length + longer}
    torch.manual_seed(1)
    networks = [ScoreNetwork(architecture).eval() for _ in range(2)]
    for parameter in (p for network in networks for p in network.parameters() if p.ndim > 1):
        torch.nn.init.normal_(parameter, std=0.4)
    config = {"architecture": architecture, "vocabulary": env.vocabulary.fingerprint, "budget": env.budget}
    config |= {"prompt_length": env.prompt_length + longer, "env": "Spelling", "text_begins": None}
    save(folder / "reward.pt", Scorer(networks, [[0.1, 0.5], [-0.2, 0.3]], config), {})
    return name, {"name": "learned", "model": name}


@pytest.mark.parametrize("longer", [0, 3])
@pytest.mark.parametrize("share", [1.0, 0.8])
def test_abc_pays_the_learned_reward_as_the_reward_model_looked_at_the_text(tmp_path, longer, share):
    """Against the attention of each member in each text alone, without padding."""
    path, metric = reward_model(tmp_path, longer)
    reward = {"name": "terminal", "metric": metric}
    learner = trainer(redistribute="reward_attention", redistribute_share=share, reward=reward)
    learner.env.reset(seed=3)
    networks, texts, longest = load_scorer(path).networks, 0, 0
    for _ in range(6):
        rollout = learner.write()
        batch = learner.estimated(rollout, as_tokens(learner, rollout), learner.args)
        if not len(batch.parts):
            continue
        paid = learner.redistribution(batch, learner.orders)
        torch.testing.assert_close(sums(paid, batch.parts), sums(batch.rewards, batch.parts))
        for part, window in enumerate(batch.windows):
            of_text = batch.parts == part
            size, total = int(of_text.sum()), batch.rewards[of_text][-1]
            assert not batch.rewards[of_text][:-1].any() and 0 < total < 1
            alone = window[: 2 + int(batch.columns[of_text].max())]
            alone = alone[(torch.arange(len(alone)) == 0) | (alone < learner.env.vocabulary.size)]
            looks = [net.policy.attention(alone[None], torch.tensor([len(alone) - 1]))[0] for net in networks]
            weights = torch.stack(looks).mean(0)[-size:]
            expected = share * total * weights / weights.sum()
            expected[-1] += (1 - share) * total
            torch.testing.assert_close(paid[of_text], expected, rtol=1e-4, atol=1e-6)
            texts, longest = texts + 1, max(longest, size)
    assert texts > 20 and longest > 5


def test_the_reward_model_is_that_of_the_reward(tmp_path):
    path, metric = reward_model(tmp_path)
    inside = {"name": "potential", "metric": "cer", "base": {"name": "scaled", "scale": 2, "reward": "terminal:cer"}}
    learned = {"name": "scaled", "scale": 2.0, "reward": {"name": "delta", "metric": metric}}
    trainer(redistribute="reward_attention", reward=[{**learned, "weight": 0.5}, inside])
    with pytest.raises(ValueError, match="reward_attention: one reward model's .* 'delta:cer' pays none"):
        trainer(redistribute="reward_attention", reward="delta:cer")
    (tmp_path / "other").mkdir()
    other, _ = reward_model(tmp_path / "other")
    two = [{"name": "terminal", "metric": {"name": "learned", "model": each}} for each in (path, other)]
    with pytest.raises(ValueError, match="pays those of 2 reward models, .*reward.pt, .*reward.pt"):
        trainer(redistribute="reward_attention", reward=two)


@pytest.mark.parametrize("how", ["attention", "reward_attention"])
def test_a_network_without_attention_is_refused_before_anything_is_made(tmp_path, how):
    _, metric = reward_model(tmp_path, kind="lstm")
    given = {"reward": {"name": "terminal", "metric": metric}, "width": 16, "progress": False}
    given |= {"network": "lstm" if how == "attention" else "decoder", "pretrain": 10}
    with pytest.raises(ValueError, match=f"redistribute={how}: LSTM tells of no attention"):
        train(TrainArgs("Spelling-v0", redistribute=how, folder=tmp_path / "run", **given))
    assert not (tmp_path / "run").exists()


def test_a_text_that_is_not_looked_at_is_paid_equally():
    learner = trainer(redistribute="uniform", rollout=11)
    rollout = learner.write()
    batch = learner.estimated(rollout, as_tokens(learner, rollout), learner.args)
    weights = by_attention(lambda windows, columns: torch.zeros(windows.shape), batch)
    torch.testing.assert_close(weights, uniform(batch.parts))


@pytest.mark.parametrize("how", ["uniform", "shuffled_time"])
def test_values_are_fitted_to_what_is_paid_after_redistribution(how):
    """A constant at the end, of which about half is still to come at a token where it is paid anywhere in the text."""
    kl = {"kl_weight": 0.1, "kl_target": 5.0}
    learner = trainer(64, redistribute=how, reward="constant", rollout=11, estimator="n_step", **kl)
    fit_values(learner, 8000)
    assert learner.own_terms.kl.value == 0.1  # a policy that stands still is at its start, and shall be led from there
    rollout = learner.write()
    batch, _ = learner.own_terms.pay(rollout, as_tokens(learner, rollout))
    batch = learner.estimated(rollout, batch, learner.args)
    to_come = 1 - (batch.columns - learner.env.prompt_length) / batch.parts.bincount()[batch.parts]
    assert float(rollout.values.mean()) == pytest.approx(float(to_come.mean()), abs=0.05) and to_come.mean() < 0.6
    at_the_end = trainer(64, redistribute=how, redistribute_share=0.0, reward="constant", rollout=11)
    fit_values(at_the_end, 2000)
    assert (at_the_end.write().values - 1).abs().max() < 0.01
    assert learner.learn(learner.write())["text_kl"] < 1e-4  # texts begun meanwhile are learnt from as a whole


def as_tokens(learner, rollout):
    return as_batch(rollout, rollout.values, rollout.values, learner.env.prompt_length)


def test_a_network_without_attention_says_so():
    class Silent(Policy):
        def hidden(self, tokens): ...

        def heads(self, hidden): ...

    with pytest.raises(ValueError, match="Silent tells of no attention"):
        Silent().attention(torch.zeros(1, 3), torch.zeros(1))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_whole_texts_are_estimated_one_by_one(estimator):
    generator = torch.Generator().manual_seed(0)
    sizes = [3, 1, 5, 2]
    parts = torch.arange(4).repeat_interleave(torch.tensor(sizes))
    rewards, values = torch.randn(2, 11, generator=generator)
    (paid, at), (before, _) = on_grid(rewards, parts), on_grid(values, parts)
    ended, _ = on_grid(parts.diff(append=parts[-1:] + 1), parts)
    found = estimate(estimator, paid, before, ended > 0, torch.zeros(4), 0.9, 0.7, 2)[at]
    for part, size in enumerate(sizes):
        of_text = (rewards[parts == part], values[parts == part])
        ends = (torch.arange(size) == size - 1)[:, None]
        alone = estimate(estimator, *(each[:, None] for each in of_text), ends, torch.zeros(1), 0.9, 0.7, 2)
        torch.testing.assert_close(found[parts == part], alone[:, 0])
    if estimator == "gae":
        torch.testing.assert_close(found, gae(paid, before, ended > 0, torch.zeros(4), 0.9, 0.7)[at])


@pytest.mark.parametrize("how", ["token", "sequence", "constant"])
@pytest.mark.parametrize("settings", [{}, {"mixer": 3}])
def test_microbatches_make_the_same_step(how, settings):
    gradients, reads = [], []
    for tokens in (None, 60, 1):
        learner = trainer(rollout=11, **settings)
        rollout = learner.write()
        batch, _ = learner.own_terms.pay(rollout, as_tokens(learner, rollout))
        batch = learner.estimated(rollout, batch, learner.args)
        read, count = learner.policy.read, []
        learner.policy.read = lambda given, at, read=read, count=count: count.append(given.numel()) or read(given, at)
        update(
            learner.policy,
            torch.optim.SGD(learner.policy.parameters(), 0.0),
            batch,
            Objective(aggregation=how, value_clip=0.1, entropy_weight=0.01),
            learner.args.behaviour,
            epochs=1,
            minibatch=10_000,
            generator=torch.Generator().manual_seed(0),
            max_norm=None,
            longest=11,
            microbatch=tokens,
        )
        gradients.append([weights.grad for weights in learner.policy.parameters()])
        reads.append(len(count))
        assert tokens != 60 or max(count) <= 60  # prompts and padding among them
    assert reads[0] == 1 < reads[1] < reads[2] == len(batch.windows)
    for other in gradients[1:]:
        for ours, theirs in zip(gradients[0], other, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)
