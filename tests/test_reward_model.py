"""Reward models: what judgements teach, what is reported of it, and what they are asked next."""

import json
import shutil
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
transformers = pytest.importorskip("transformers")

from networks import BUDGET, PROMPT, V, described  # noqa: E402
from reward_models import ALPHABET, ENV, GOOD, KWARGS, SMALL, TASK, env_of, texts_of  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402
from tokenizers.decoders import Fuse  # noqa: E402
from tokenizers.models import WordLevel  # noqa: E402
from tokenizers.pre_tokenizers import Split  # noqa: E402

from agents.feedback import Comparison, Marks, Rating, Span, Store, Text  # noqa: E402
from agents.feedback.choosing import Item, next_item  # noqa: E402
from agents.feedback.simulated import SimulatedAnnotator  # noqa: E402
from agents.reward_model import disagreement, load_scorer  # noqa: E402
from agents.reward_model.judged import read_store  # noqa: E402
from agents.reward_model.losses import comparison_loss, davidson, marks_loss  # noqa: E402
from agents.reward_model.network import ScoreNetwork  # noqa: E402
from agents.reward_model.train import RewardArgs, train  # noqa: E402
from agents.transformer.networks import describe  # noqa: E402

# -- losses -------------------------------------------------------------------------------------


def test_comparisons_with_ties_are_davidsons_and_decided_ones_bradley_terrys():
    d, log_nu = torch.linspace(-5, 5, 41, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    first, second, tie = davidson(d, log_nu).exp().unbind(-1)
    torch.testing.assert_close(first / (first + second), d.sigmoid())
    torch.testing.assert_close(tie / (first * second).sqrt(), log_nu.exp().expand_as(d))  # Davidson 1970
    torch.testing.assert_close(davidson(-d, log_nu)[:, [1, 0, 2]], davidson(d, log_nu))
    torch.testing.assert_close(comparison_loss(d, log_nu, torch.full((41,), 2)), -tie.log())


def test_marks_move_the_score_where_they_are_and_count_each_text_alike():
    signs, there = torch.tensor([[1, 0, -1, 0], [-1, 0, 0, 0]]), torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0]]).bool()
    scores = torch.zeros(2, 5, requires_grad=True)
    loss = marks_loss(scores, torch.tensor(0.0), signs, there)
    loss.sum().backward()
    rise = -scores.grad.cumsum(1)  # of what comes after each prefix
    assert scores.grad[0, 1] < 0 < scores.grad[0, 3] and scores.grad[1, 1] > 0
    assert not scores.grad[1, 2:].any() and rise.shape == (2, 5)
    torch.testing.assert_close(loss, torch.full((2,), 3.0).log())


# -- what a store says --------------------------------------------------------------------------


def test_judgements_are_read_and_prompts_held_out_the_same_while_the_store_grows(tmp_path):
    env, rng = env_of(), np.random.default_rng(1)
    texts = texts_of(env, 40, 3, rng)
    with Store(tmp_path / "s.db") as store:
        ids = store.add_texts([*texts, Text(TASK, texts[0].prompt, ALPHABET[0] * 99), Text("other", "p", "a")])
        for n, (a, b, choice) in enumerate([(0, 1, "a"), (2, 1, "a"), (0, 2, "tie")]):
            for k in range(0, 60, 3):
                store.submit(Comparison(ids[k + a], ids[k + b], choice), "ann", f"{n} {k}")
        store.submit(Rating(ids[0], 4), "ann", "rating")
        store.submit(Marks(ids[0], (Span(1, 3, "good"), Span(3, 4, "bad"))), "ann", "marks")
        before = read_store(store, TASK, env)
        assert before.counts == {"comparisons": 60, "ratings": 1, "marks": 1}
        assert before.left_out == {"texts that do not fit": 1} and before.by_prompt
        assert before.outcomes.tolist() == [0] * 20 + [1] * 20 + [2] * 20  # kept with a < b
        assert before.ratings.tolist() == [0.75]
        assert before.signs[0].tolist() == [0, 1, 1, -1] + [0] * (env.budget - 4)
        row = before.windows[0].tolist()
        ids_of = env.vocabulary.encode(texts[0].prompt).tolist() + env.vocabulary.encode(texts[0].text).tolist()
        assert [i for i in row if i != env.vocabulary.pad] == [*ids_of, env.vocabulary.eos]
        held = {int(before.pairs[i, 0]) for i in np.flatnonzero(before.held[:60])}
        for k in range(60, 120, 3):
            store.submit(Comparison(ids[k], ids[k + 1], "a"), "ann", f"more {k}")
        after = read_store(store, TASK, env)
        assert held < {int(after.pairs[i, 0]) for i in np.flatnonzero(after.held[: len(after.pairs)])}
        assert after.fingerprint != before.fingerprint
        assert after.fingerprint == read_store(store, TASK, env).fingerprint
        with pytest.raises(ValueError, match=r"no texts of 'textgym/Cop'.*It has texts of: 'textgym/Copy-v0"):
            read_store(store, "textgym/Cop", env)
        with pytest.raises(ValueError, match="no judgements of"):
            read_store(store, "other", env)


@pytest.mark.parametrize("kind", ["tie", "both_bad", "rating", "marks"])
def test_judgements_that_all_say_the_same_are_refused(tmp_path, kind):
    answers = {"rating": lambda a, b: Rating(a, 5), "marks": lambda a, b: Marks(a, ())}
    answer = answers.get(kind, lambda a, b: Comparison(a, b, kind))
    with Store(tmp_path / "s.db") as store:
        ids = store.add_texts(texts_of(env_of(), 20, 2, np.random.default_rng(1)))
        for k in range(0, 40, 2):
            store.submit(answer(ids[k], ids[k + 1]), "ann", f"{k}")
        with pytest.raises(ValueError, match="the 20 judgements of .* say the same of all texts"):
            read_store(store, TASK, env_of())
        store.submit(Comparison(ids[0], ids[1], "a"), "bob", "one that does not")
        assert len(read_store(store, TASK, env_of()).held) == 21


# -- training -----------------------------------------------------------------------------------


def test_an_ensemble_learns_what_was_judged_and_says_how_well(trained):
    folder, report = trained
    smaller, last = report["curve"]
    of = last["comparisons"]
    assert smaller["trained_on"] < last["trained_on"] and last["members"] == 2
    assert of["accuracy"] > 0.6 and of["against_true_score"] > 0.65 and of["log_loss"] < np.log(3)
    assert of["true_score"] == pytest.approx(0.9, abs=0.15)
    assert sum(count for _, _, count in of["calibration"]) == of["decided"]
    assert of["by_prefix"][-1] == [6, of["accuracy"]]  # whole texts
    assert last["ratings"]["rmse"] < last["ratings"]["rmse_of_mean"]
    assert last["marks"]["accuracy"] > 0.6
    assert json.loads((folder / "report.json").read_text()) == report
    assert f"{of['accuracy']:.3f}" in (folder / "report.md").read_text()
    assert (folder / "report.png").read_bytes()[:4] == b"\x89PNG"
    (odd,) = report["annotators"]
    assert odd.startswith("lazy") and odd.endswith("always the same: 'tie' in 20 of 20") and "\x1b" not in odd
    assert f"Look at the annotator {odd}." in (folder / "report.md").read_text()
    scorer = load_scorer(folder / "reward.pt")
    assert scorer.config["vocabulary"] == env_of().vocabulary.fingerprint
    assert len(scorer.config["data"]) == 64


SIZES = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 64}
SIZES |= {"initializer_range": 0.1}
ON_DISK = {
    "gpt2": lambda size: transformers.GPT2LMHeadModel(transformers.GPT2Config(**SIZES, vocab_size=size)),
    "bert": lambda size: transformers.BertForMaskedLM(transformers.BertConfig(**SIZES, vocab_size=size)),
    "distilbert": lambda size: transformers.DistilBertForSequenceClassification(
        transformers.DistilBertConfig(
            dim=32, hidden_dim=64, n_heads=2, n_layers=1, initializer_range=0.1, vocab_size=size
        )
    ),
}


def on_disk(name, folder):
    """A model and the vocabulary of ENV in a folder."""
    vocabulary = env_of().vocabulary
    torch.manual_seed(0)
    ON_DISK[name](vocabulary.size).save_pretrained(folder)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=vocabulary.tokenizer, eos_token="<eos>")
    fast.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("name", ["gpt2", "bert", pytest.param("distilbert", marks=pytest.mark.slow)])
def test_a_model_on_disk_learns_what_was_judged_and_pays(judged, tmp_path, name):
    folder = on_disk(name, tmp_path / name)
    args = RewardArgs(judged, "Copy-v0", KWARGS, folder=tmp_path / "reward", network=folder, epochs=6, members=1)
    report = train(replace(args, halvings=0, progress=False))
    assert report["curve"][-1]["comparisons"]["against_true_score"] > 0.65
    shutil.rmtree(folder)  # the reward model has all of it
    metric = {"name": "learned", "model": str(tmp_path / "reward" / "reward.pt")}
    reward = {"name": "delta", "metric": metric}
    env = gym.make_vec(ENV, num_envs=2, autoreset_mode="SameStep", reward=reward, metrics=[metric], **KWARGS)
    env.reset(seed=0)
    good, bad = (env.vocabulary.encode(letters)[0] for letters in (GOOD[0], ALPHABET[1]))
    paid = sum(env.step(np.array([good, bad]))[1] for _ in range(5))
    assert paid[0] > paid[1] + 0.1


def test_the_eos_that_a_tokenizer_of_an_encoder_lacks_is_one_more_token(tmp_path):
    special = ["[PAD]", "[CLS]", "[MASK]"]
    tokenizer = Tokenizer(WordLevel({token: i for i, token in enumerate([*special, *ALPHABET])}))
    tokenizer.pre_tokenizer, tokenizer.decoder = Split("", "isolated"), Fuse()
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
    folder = str(tmp_path / "bert")
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    config = transformers.BertConfig(**SIZES, vocab_size=len(special) + len(ALPHABET))
    transformers.BertModel(config).save_pretrained(folder)
    env = env_of(tokenizer=folder)
    assert env.vocabulary.size == config.vocab_size + 1
    network = ScoreNetwork(describe(folder, env, {}), folder)
    assert (network.policy.begin, network.policy.mask) == (1, 2)
    ours = network.policy.model.get_input_embeddings().weight[:-1]
    theirs = transformers.BertModel.from_pretrained(folder).embeddings.word_embeddings.weight
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_figure_of_the_model_that_is_replaced_does_not_stay(tmp_path):
    with Store(tmp_path / "s.db") as store:
        store.add_texts(texts_of(env_of(), 20, 2, np.random.default_rng(1)))
        SimulatedAnnotator(0.0).annotate(store, "rating", 40)
    folder = tmp_path / "reward"
    folder.mkdir()
    for name in ("reward.pt", "report.png"):
        (folder / name).write_bytes(b"old")
    train(RewardArgs(tmp_path / "s.db", "Copy-v0", KWARGS, folder=folder, overwrite=True, epochs=1, **SMALL))
    assert sorted(file.name for file in folder.iterdir()) == ["report.json", "report.md", "reward.pt"]


def test_the_same_seed_trains_the_same_model(judged, tmp_path):
    args = {"env": "Copy-v0", "env_kwargs": KWARGS, "epochs": 1, **SMALL, "members": 1, "halvings": 0}
    reports = [train(RewardArgs(judged, folder=tmp_path / name, **args)) for name in "ab"]
    assert reports[0] == reports[1]
    with pytest.raises(ValueError, match="has a reward.pt already: --overwrite"):
        train(RewardArgs(judged, folder=tmp_path / "a", **args))
    train(RewardArgs(judged, folder=tmp_path / "a", overwrite=True, **args))


def test_without_an_epoch_it_is_the_policy_that_it_begins_as(judged, tmp_path):
    from agents.transformer.settings import TrainArgs
    from agents.transformer.train import train as train_policy

    size = {name: SMALL[name] for name in ("width", "layers", "heads")}
    how = {"env_kwargs": KWARGS, "steps": 0, "pretrain": 3, "eval_episodes": 8, "progress": False, **size}
    policy = train_policy(TrainArgs("Copy-v0", folder=tmp_path / "policy", **how)).best
    common = {"env": "Copy-v0", "env_kwargs": KWARGS, "init": policy, "halvings": 0, "progress": False}
    train(RewardArgs(judged, folder=tmp_path / "reward", members=2, epochs=0, **common))
    weights = torch.load(policy, weights_only=True)["policy"]
    for network in load_scorer(tmp_path / "reward" / "reward.pt").networks:
        assert not network.score.weight.any() and network.of_likelihood.item() == pytest.approx(0.2)
        assert all(torch.equal(network.policy.state_dict()[name], value) for name, value in weights.items())


def test_the_ensemble_chooses_what_is_asked_next(judged, trained):
    folder, _ = trained
    of_model = disagreement(folder / "reward.pt")
    with Store(judged) as store:
        texts = store.texts()
        items = [Item("comparison", tuple(texts[i : i + 2])) for i in range(0, 40, 4)]
        values = of_model(items)
        swapped = of_model([Item("comparison", item.texts[::-1]) for item in items])
        np.testing.assert_allclose(values, swapped, atol=1e-12)
        assert len(set(values.tolist())) == 10 and (values > 0).all()
        same = Item("comparison", (texts[0], texts[0]))
        foreign = Item("rating", (Text("other", texts[0].prompt, texts[0].text),))
        assert of_model([same, foreign]).tolist() == [0.0, 0.0]
        seen = []
        chosen = next_item(store, "bob", "comparison", lambda items: seen.append(items) or of_model(items))
        assert of_model([chosen])[0] == pytest.approx(of_model(seen[0]).max())


def test_what_begins_as_a_policy_scores_at_first_what_the_policy_finds_likely():
    """Prefixes of any length, against one softmax after the other."""
    torch.manual_seed(0)
    network, rng = ScoreNetwork(described("decoder"), text_begins=1 + PROMPT).eval(), np.random.default_rng(0)
    for parameter in network.policy.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    tokens = torch.from_numpy(rng.integers(V, size=(5, 1 + PROMPT + BUDGET)))
    tokens[:, 0] = V
    sizes = torch.from_numpy(rng.integers(BUDGET + 1, size=5))
    for row, size in enumerate(sizes.tolist()):
        tokens[row, 1 + PROMPT + size :] = V  # PAD
    with torch.no_grad():
        scores = network(tokens, torch.arange(5), PROMPT + sizes)
        for row, size in enumerate(sizes.tolist()):
            at = torch.arange(PROMPT, PROMPT + size)
            logits, _ = network.policy.heads(network.policy.hidden(tokens[row : row + 1])[0, at])
            likely = logits.log_softmax(-1)[torch.arange(size), tokens[row, at + 1]].sum()
            assert scores[row].item() == pytest.approx(0.2 * likely.item(), abs=1e-5)
