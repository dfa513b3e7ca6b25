"""Pre-trained word vectors: reading files as they are found, and encoders that begin with them."""

import gzip

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from stable_baselines3 import PPO  # noqa: E402

from agents.sb3.algorithms import build  # noqa: E402
from textgym.sb3 import make_vec_env  # noqa: E402
from textgym.sb3.encoders import ENCODERS, policy_kwargs  # noqa: E402
from textgym.sb3.word_vectors import read_word_vectors  # noqa: E402
from textgym.tokenizers import Vocabulary  # noqa: E402

NAMES = ["bag", "conv", "gru", "lstm", "transformer"]
CHINESE = Vocabulary.characters(["三点半，ab"])
GLOVE = "the 1 2 3\n三 0.5 -1 1e-2\n, 9 9 9\n点 4 5 6\nb 7 8 9\n三 100 100 100\n"


def written(tmp_path, text, name="vectors.txt"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def id_of(token, vocabulary=CHINESE):
    return vocabulary.tokenizer.token_to_id(token)


@pytest.mark.parametrize(
    "text, name",
    [
        (GLOVE, "glove.txt"),
        ("6 3\n" + GLOVE, "word2vec.txt"),
        ("6 3\n" + GLOVE.replace("\n", " \n"), "word2vec.txt"),  # as the C program writes it
        (GLOVE.replace("\n", "\r\n") + "\n", "windows.txt"),
        ("6 3\n" + GLOVE, "cc.zh.vec.gz"),
        (GLOVE + "b . b 1 2 3\n", "a word of spaces.txt"),
    ],
    ids=range(6),
)
def test_files_of_all_kinds(tmp_path, text, name):
    vectors = read_word_vectors(written(tmp_path, text, name), CHINESE)
    assert vectors.table.shape == (CHINESE.size, 3) and vectors.table.dtype == np.float32
    assert np.flatnonzero(vectors.found).tolist() == sorted(map(id_of, "三点b"))
    np.testing.assert_allclose(vectors.table[id_of("三")], [0.5, -1, 0.01])  # the first of two
    np.testing.assert_array_equal(vectors.table[id_of("b")], [7, 8, 9])
    assert not vectors.table[~vectors.found].any() and not vectors.frozen
    assert f"3 of {CHINESE.size} tokens, 3 dimensions, trained" in repr(vectors) and name in repr(vectors)


def test_tokens_are_looked_up_by_their_text(tmp_path):
    path = written(tmp_path, "the 1 2\n点 3 4\n清华大学 5 6\n")
    bpe = Vocabulary.byte_bpe(["the the the the the the"], size=280)
    found = [bpe.token(i) for i in np.flatnonzero(read_word_vectors(path, bpe).found)]
    assert sorted(found) == ["the", "␠the"]
    pytest.importorskip("jieba")
    words = Vocabulary.words(["清华大学 三点"], segmenter="jieba")
    found = [words.token(i) for i in np.flatnonzero(read_word_vectors(path, words).found)]
    assert found == ["点", "清华大学"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a 1 2 3\nb 1 2\n三 1 2 3\n", r"vectors.txt, line 2: 2 numbers after the word, 3 needed: 'b 1 2'"),
        ("9 4\n三 1 2 3\n", r"line 2: 3 numbers after the word, 4 needed: '三 1 2 3'"),
        ("三 1 2 x\n", r"line 1: not 3 finite numbers after the word: '三 1 2 x'"),
        ("a 1 2 3\n三 1 nan 3\n", "line 2: not 3 finite numbers"),
        ("a 1 2 3\n\n三\n", "line 3: 0 numbers after the word, 3 needed"),
        ("三\n", "line 1: 0 numbers after the word, some needed"),
        ("x 1 2 3\n", r"no token of Vocabulary\(character.*has a vector in .*its tokens are 'a', 'b', '三'"),
        ("", "no token of"),
        ("三 " + "1 " * 200 + "x\n", r"\.\.\."),
    ],
)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_word_vectors(written(tmp_path, text), CHINESE)
    with pytest.raises(FileNotFoundError, match="no file of word vectors at 'nowhere.vec'"):
        read_word_vectors("nowhere.vec", CHINESE)


# In encoders

ID = "textgym/TranslationTimesEnZh-v0"


@pytest.fixture(scope="module")
def venv():
    return make_vec_env(ID, n_envs=4, seed=0)


@pytest.fixture
def path(tmp_path, venv):
    rng = np.random.default_rng(0)
    lines = [" ".join([c, *(f"{x:.5f}" for x in rng.normal(size=16))]) for c in "三点半刻分早上下午晚abcdefgh"]
    return written(tmp_path, "\n".join(lines) + "\n")


def kwargs_of(name, vectors, width=16):
    prompt_length = 50
    sizes = {"features_dim": 16, "embedding_dim": width} if name == "bag" else {"features_dim": width}
    return policy_kwargs(name, prompt_length=prompt_length, vectors=vectors, **sizes)


def token_weights(model):
    encoder = model.policy.features_extractor
    return getattr(encoder, "embed", encoder).token.weight.detach().clone()


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_an_agent_begins_with_the_vectors_and_keeps_what_is_frozen(name, frozen, venv, path, tmp_path):
    torch.set_num_threads(1)
    vectors = read_word_vectors(path, venv.unwrapped.envs.vocabulary, frozen)
    kwargs = {"n_steps": 32, "batch_size": 64, "n_epochs": 2, "learning_rate": 0.01, "seed": 0, "device": "cpu"}
    agent = PPO("MlpPolicy", venv, policy_kwargs=kwargs_of(name, vectors), **kwargs)
    rows = torch.from_numpy(np.flatnonzero(vectors.found))
    before, table = token_weights(agent), torch.from_numpy(vectors.table[vectors.found])
    assert torch.allclose(before[rows], table * (0.02 / table.std(correction=0))) and before.std() < 0.03
    others = torch.ones(len(before), dtype=bool).index_fill(0, rows, False)
    plain = token_weights(PPO("MlpPolicy", venv, policy_kwargs=kwargs_of(name, None), **kwargs))
    assert torch.equal(plain[others], before[others])  # as the encoder begins without vectors
    agent.learn(128)
    after = token_weights(agent)
    assert torch.equal(after[rows], before[rows]) is frozen
    assert not torch.equal(after[others], before[others])
    agent.save(tmp_path / "agent")
    path.unlink()
    loaded = PPO.load(tmp_path / "agent", env=venv, device="cpu")
    assert torch.equal(token_weights(loaded), after)
    observations = venv.reset()
    assert np.array_equal(*(each.predict(observations, deterministic=True)[0] for each in (agent, loaded)))
    loaded.learn(128)
    assert torch.equal(token_weights(loaded)[rows], before[rows]) is frozen


@pytest.mark.parametrize("name", NAMES)
def test_sizes_that_do_not_fit_are_named(name, venv, path):
    vectors = read_word_vectors(path, venv.unwrapped.envs.vocabulary)
    keyword = "embedding_dim" if name == "bag" else "features_dim"
    with pytest.raises(ValueError, match=f"vectors of 16 dimensions, this encoder's have 32: give {keyword}=16"):
        PPO("MlpPolicy", venv, policy_kwargs=kwargs_of(name, vectors, width=32))
    other = read_word_vectors(path, Vocabulary.characters(["三点" + "".join(map(chr, range(200, 400)))]))
    with pytest.raises(ValueError, match="is of another vocabulary"):
        ENCODERS[name](venv.observation_space, vectors=other, **{keyword: 16})


@pytest.mark.parametrize("spec", ["path", "dict"])
def test_the_scripts_take_a_path(spec, venv, path):
    given = str(path) if spec == "path" else {"path": str(path), "frozen": True}
    arguments = {"features_dim": 16, "vectors": given}
    agent = build("ppo", venv, encoder="gru", encoder_kwargs=arguments, prompt_length=50, n_steps=8, batch_size=8)
    vectors = agent.policy_kwargs["features_extractor_kwargs"]["vectors"]
    assert vectors.found.sum() == 18 and vectors.frozen is (spec == "dict")
    with pytest.raises(TypeError, match="'frosen'.*Did you mean 'frozen'"):
        build("ppo", venv, encoder="gru", encoder_kwargs={"vectors": {"frosen": True}}, prompt_length=50)


def test_training_says_how_many_tokens_have_a_vector(path, tmp_path, capsys):
    from test_agents_sb3 import quick

    from agents.sb3.train import train

    settings = {
        "env": ID,
        "env_kwargs": {},
        "encoder": "gru",
        "encoder_kwargs": {"features_dim": 16, "vectors": str(path)},
    }
    train(quick(tmp_path / "run", **settings))
    assert "18 of 83 tokens, 16 dimensions, trained" in capsys.readouterr().out
    path.unlink()
    train(quick(tmp_path / "run", **settings, resume=True, steps=192))  # the vectors are in the saved agent
