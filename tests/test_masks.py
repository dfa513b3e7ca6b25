"""Which tokens are legal, and what an illegal one costs."""

from functools import lru_cache

import gymnasium as gym
import numpy as np
import pytest
from helpers import MODES, Phrases, assert_same, some_tokens, vector

from textgym import EditDistance, Episode, GeneratedTask, TextGenEnv, TextGenVectorEnv
from textgym.envs.masks import Mask, make_mask
from textgym.ngram import NGramModel
from textgym.tasks import make_task

BRACKETS = ["Brackets-v0", "BracketsLarge-v0"]
EVERY_WAY = {
    "grammar": ("Brackets-v0", "task"),
    "banned ids and names": ("Copy-v0", {"name": "banned", "tokens": [0, "b"]}),
    "no EOS": ("Copy-v0", {"name": "banned", "tokens": ["<eos>"]}),
    "top_k of n-grams": ("Spelling-v0", {"name": "top_k", "k": 4}),
    "top_k of a language model": ("Copy-v0", {"name": "top_k", "k": 2, "model": "GPT2"}),
    "several": ("Brackets-v0", ["task", {"name": "banned", "tokens": ["("]}, {"name": "top_k", "k": 3, "order": 2}]),
    "contradictory": ("Brackets-v0", ["task", {"name": "banned", "tokens": [0, 1, 2, 3]}]),
}


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory):
    """The directory of a tiny random GPT-2 with the tokens of Copy-v0, and some more."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=12,
        n_positions=16,
        n_embd=8,
        n_layer=1,
        n_head=2,
        bos_token_id=8,
        eos_token_id=8,
        initializer_range=1.0,
    )
    path = tmp_path_factory.mktemp("gpt2")
    transformers.GPT2LMHeadModel(config).save_pretrained(path)
    return str(path)


@pytest.fixture(params=EVERY_WAY)
def way(request):
    """(id, mask): every source of masks."""
    name, mask = EVERY_WAY[request.param]
    if "GPT2" in str(mask):
        mask = mask | {"model": request.getfixturevalue("gpt2")}
    return f"textgym/{name}", mask


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("observe_mask", [False, True])
def test_masks_are_everywhere_and_leave_at_least_one_token(way, mode, observe_mask):
    env_id, mask = way
    env = vector(env_id, 3, mode, mask=mask, observe_mask=observe_mask)
    rng, size = np.random.default_rng(0), env.vocabulary.size
    observations, infos = env.reset(seed=0)
    seen = set()
    for _ in range(12 if "model" in str(mask) else 40):
        masks = env.action_masks()
        assert masks.dtype == bool and masks.shape == (3, size) and masks.any(axis=1).all()
        seen |= {tuple(row) for row in masks.tolist()}
        assert infos["action_mask"].dtype == np.int8 and infos["_action_mask"].all()
        assert (infos["action_mask"] == masks).all()
        if observe_mask:
            assert_same(observations["action_mask"], infos["action_mask"])
            assert env.observation_space.contains(observations)
        actions = (
            env.action_space.sample(mask=tuple(infos["action_mask"]))
            if rng.random() < 0.8
            else some_tokens(rng, env, observations)
        )
        legal = masks[np.arange(3), actions]
        waiting = env.state.over & (mode == "NextStep")
        observations, rewards, over, _, infos = env.step(actions)
        terms = infos.get("final_info", infos).get("reward_terms", {}) | infos.get("reward_terms", {})
        assert "illegal" in terms or waiting.all()
        assert (over | waiting | legal).all()  # an illegal token ends the episode
        if mode == "Disabled" and over.any():
            observations, part = env.reset(options={"reset_mask": over})
            infos["action_mask"][over] = part["action_mask"][over]
            assert_same(part["_action_mask"], over)
    assert not all(map(all, seen))


def test_legal_tokens_only_never_end_illegally(way):
    env_id, mask = way
    env = gym.make(env_id, mask=mask, on_illegal="raise").unwrapped
    for seed in range(5):
        _, info = env.reset(seed=seed)
        over = False
        while not over:
            assert (env.action_masks() == info["action_mask"]).all() and env.action_masks().dtype == bool
            _, _, over, _, info = env.step(env.action_space.sample(mask=info["action_mask"]))
            assert info["reward_terms"]["illegal"] == 0.0
        assert info["end_reason"] in ("eos", "budget")
        assert np.flatnonzero(info["action_mask"]).tolist() == [env.vocabulary.eos]  # nothing is left to write


@pytest.mark.parametrize("name", BRACKETS)
def test_the_grammar_of_a_task_leads_to_a_right_text(name):
    env = vector(f"textgym/{name}", 8, mask="task", metrics=["exact_match"])
    env.reset(seed=0)
    scores = []
    for _ in range(3 * env.task.budget):
        actions = env.action_space.sample(mask=tuple(env.action_masks().astype(np.int8)))
        final = env.step(actions)[4].get("final_info")
        if final:
            scores += final["score"][final["_score"]].tolist()
    assert len(scores) > 8 and set(scores) == {1.0}


def test_without_a_mask_every_token_is_legal_and_infos_say_nothing():
    env, single = vector("textgym/Brackets-v0", 2), gym.make("textgym/Brackets-v0").unwrapped
    assert "action_mask" not in env.reset()[1] and "action_mask" not in single.reset()[1]
    assert env.action_masks().shape == (2, 5) and env.action_masks().all() and single.action_masks().shape == (5,)
    assert env.action_masks() is not env.action_masks() and single.action_masks().dtype == bool
    assert "illegal" not in single.step(1)[4]["reward_terms"]


# -- the end by an illegal token ------------------------------------------------------------------------


@pytest.mark.parametrize("on_illegal, fine", [("end", 0.0), (-0.5, -0.5), (2, 2.0)])
@pytest.mark.parametrize("tokenizer", ["character", "byte_bpe"])
def test_an_illegal_end_counts_as_score_0_and_takes_back_what_delta_had_paid(on_illegal, fine, tokenizer):
    env = TextGenEnv(
        Phrases,
        tokenizer=Phrases(tokenizer=tokenizer).vocabulary,
        reward=["delta", "terminal", "delta:token_match", "every_step", "terminal:wer"],
        mask={"name": "banned", "tokens": [3]},
        on_illegal=on_illegal,
        metrics=["cer", "token_match", "character_match"],
    )
    env.reset(seed=0, options={"prompt": "a", "references": ["the cat"]})
    paid = []
    for token in env.vocabulary.encode("the "):
        observation, reward, over, _, info = env.step(token)
        paid.append(info["reward_terms"])
        assert not over and info["reward_terms"]["illegal"] == 0.0
    before, terms = observation, {name: sum(step[name] for step in paid) for name in paid[0]}
    observation, reward, over, truncated, info = env.step(3)
    assert over and not truncated and info["end_reason"] == "illegal"
    assert_same(observation, before)  # the token was not written
    assert info["text"] == "the " and info["score"] == 0.0 and info["is_success"] is False
    assert info["cer"] == 1.0 and info["token_match"] == info["character_match"] == 0.0
    last = info["reward_terms"]
    assert last["delta:character_accuracy"] == -terms["delta:character_accuracy"] != 0
    assert last["delta:token_match"] == pytest.approx(-terms["delta:token_match"]) and terms["delta:token_match"] > 0
    assert last["terminal:character_accuracy"] == last["every_step:character_accuracy"] == 0.0
    assert last["illegal"] == fine and reward == pytest.approx(sum(last.values()))


def test_an_illegal_first_token_leaves_an_empty_text():
    for mode in MODES:
        env = vector("textgym/Copy-v0", 2, mode, mask={"name": "banned", "tokens": [0]})
        observations, _ = env.reset(seed=0)
        results = env.step([0, 1])
        final = results[4].get("final_info", results[4])
        assert final["text"][0] == "" and final["end_reason"][0] == "illegal" and final["score"][0] == 0.0
        assert results[1][0] == 0.0 and results[2].tolist() == [True, False]


# -- sources --------------------------------------------------------------------------------------------


def test_banned_tokens_are_ids_or_names_as_they_stand_in_the_vocabulary():
    task = Phrases()
    space = task.vocabulary.tokenizer.token_to_id("Ġ")
    mask = make_mask({"name": "banned", "tokens": [3, "Ġ", np.int64(7), "<eos>"]}, task)
    legal = mask.legal_tokens(np.zeros((2, 42), np.int32), np.zeros(2, int), [Episode()] * 2)
    assert_same(np.flatnonzero(~legal[1]), np.array(sorted([3, space, 7, task.vocabulary.eos])))


def test_top_k_are_the_most_likely_tokens_of_the_model_after_what_is_written():
    env = gym.make("textgym/Sort-v0", mask={"name": "top_k", "k": 3, "order": 2}).unwrapped
    model = NGramModel.of_task(env.task, order=2)
    env.reset(seed=0)
    text = []
    for token in (0, 2, 2, 5):
        likely = model.log_probs([np.array(text, int)])[0]
        legal = env.action_masks()
        assert legal.sum() >= 3 and likely[legal].min() >= np.sort(likely)[-3]
        assert legal.sum() == (likely >= np.sort(likely)[-3]).sum()  # ties beyond k
        if not legal[token]:
            token = int(likely.argmax())
        env.step(token)
        text.append(token)


def test_top_k_of_a_language_model_on_disk_reads_prompt_and_text(gpt2):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(gpt2).eval()
    env = gym.make("textgym/Copy-v0", mask={"name": "top_k", "k": 2, "model": gpt2}).unwrapped
    env.reset(options={"prompt": "cab"})
    ids = [2, 0, 1]
    for _ in range(3):
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1, : env.vocabulary.size]
        assert set(np.flatnonzero(env.action_masks())) == set(logits.topk(2).indices.tolist())
        ids.append(next(i for i in np.flatnonzero(env.action_masks()) if i != env.vocabulary.eos))
        env.step(ids[-1])


def test_a_language_model_with_too_few_tokens_or_none_at_all_is_refused(gpt2, tmp_path):
    with pytest.raises(ValueError, match="12 tokens, the vocabulary 6[0-9]"):
        gym.make("textgym/Spelling-v0", mask={"name": "top_k", "k": 2, "model": gpt2})
    with pytest.raises(ValueError, match="no language model at"):
        gym.make("textgym/Copy-v0", mask={"name": "top_k", "k": 2, "model": str(tmp_path / "none")})


def test_a_mask_may_be_a_users_object():
    class Alternating(Mask):
        def legal_tokens(self, tokens, lengths, episodes):
            assert tokens.dtype == np.int32 and len(tokens) == len(lengths) == len(episodes) > 0
            return np.arange(9)[None] % 2 == lengths[:, None] % 2

    env = vector("textgym/Copy-v0", 2, "NextStep", mask=Alternating())
    env.reset(seed=0)
    for expected in ([[0, 2, 4, 6, 8]] * 2, [[1, 3, 5, 7]] * 2, [[0, 2, 4, 6, 8]] * 2):
        assert [np.flatnonzero(row).tolist() for row in env.action_masks()] == expected
        env.step([expected[0][0]] * 2)


class Undecided(GeneratedTask):
    """A grammar that forbids everything: EOS is what remains."""

    metric = EditDistance()

    def generate(self, rng):
        return Episode("ab"[int(rng.integers(2))], ("a",))

    def legal_tokens(self, tokens, lengths, episodes):
        return np.zeros((len(tokens), self.vocabulary.size), bool)


@lru_cache
def undecided():
    return make_task(Undecided, alphabet="ab", prompt_length=1, text_length=3)


def test_where_nothing_is_legal_eos_is():
    for env in (TextGenEnv(undecided(), mask="task"), TextGenVectorEnv(undecided(), 2, mask="task")):
        env.reset(seed=0)
        assert_same(np.atleast_2d(env.action_masks())[0], np.arange(3) == env.vocabulary.eos)
