"""What holds for every network: what is cached is what whole windows give, padding changes nothing, runs go on."""

import gc
import os
import re
import shutil
import subprocess
import sys
import weakref

import gymnasium as gym
import pytest
import torch

pytest.importorskip("stable_baselines3")
pytest.importorskip("transformers")

import transformers
from helpers import ROOT
from networks import (
    BUDGET,
    BUILT_IN,
    LOADERS,
    MASKED,
    MODELS,
    NETWORKS,
    PROMPT,
    SMALL,
    WIDER,
    V,
    kind_of,
    make,
    mostly,
    prompts,
    same,
)

from agents.transformer.batch import as_batch
from agents.transformer.checkpoints import load_policy, read_checkpoint
from agents.transformer.export import ExportArgs, export, save_pretrained
from agents.transformer.generate import GenerateArgs, generate, in_int8
from agents.transformer.networks import describe, make_policy
from agents.transformer.policy import WholeWindows
from agents.transformer.rollout import Writer
from agents.transformer.sampling import Sampling
from agents.transformer.settings import TrainArgs
from agents.transformer.train import train
from agents.transformer.update import evaluate_tokens
from textgym import Vocabulary


@pytest.mark.parametrize("name", mostly(NETWORKS))
def test_cached_outputs_are_those_of_whole_windows(name):
    """Log-probabilities and values of rows that end and begin anew at random, some with a text already."""
    policy, generator, n = make(name), torch.Generator().manual_seed(0), 5
    tokens, lengths, rows = prompts(n, generator), torch.zeros(n, dtype=torch.long), torch.arange(n)
    cache = policy.cache(n, 1 + PROMPT + BUDGET)
    with torch.no_grad():
        output = cache.begin(rows, tokens[:, : PROMPT + 1], torch.full((n,), PROMPT))
        for _ in range(60):
            for cached, whole in zip(
                policy.heads(output), policy.heads(policy.hidden(tokens)[rows, PROMPT + lengths]), strict=True
            ):
                if cached.ndim == 2:
                    cached, whole = cached.log_softmax(-1), whole.log_softmax(-1)
                torch.testing.assert_close(cached, whole, rtol=0, atol=1e-5)
            new = torch.randint(0, V, (n,), generator=generator)
            lengths += 1
            tokens[rows, PROMPT + lengths] = new
            over = (lengths == BUDGET) | (torch.rand(n, generator=generator) < 0.2)
            # rows that end are written anywhere, and then begin anew
            output = cache.append(new, torch.where(over, 1, PROMPT + lengths))
            if over.any():
                tokens[over] = prompts(int(over.sum()), generator)
                lengths[over] = torch.randint(0, 3, (int(over.sum()),), generator=generator)
                for row in over.nonzero().flatten().tolist():
                    tokens[row, PROMPT + 1 : PROMPT + 1 + lengths[row]] = 3
                width = PROMPT + 1 + int(lengths[over].max())
                output[over] = cache.begin(over.nonzero().flatten(), tokens[over, :width], PROMPT + lengths[over])


TELL = ("decoder", "decoder, learned", "gpt2", "llama", "gemma", "opt", "bloom", *MASKED)


@pytest.mark.parametrize("name", mostly(NETWORKS))
def test_attention_is_that_of_the_text_alone_or_is_not_told(name):
    """In a window with padding and a rest behind the column, and of [BEGIN][prompt][text] and nothing else."""
    policy, generator = make(name), torch.Generator().manual_seed(0)
    tokens = prompts(6, generator)
    lengths = torch.tensor([0, 1, 5, 8, BUDGET, BUDGET])
    tokens[:, PROMPT + 1 :] = torch.randint(0, V, (6, BUDGET), generator=generator)
    if name not in TELL:
        with pytest.raises(ValueError, match=f"{type(policy).__name__} tells of no attention"):
            policy.attention(tokens, PROMPT + lengths)
        return
    with torch.no_grad():
        found = policy.attention(tokens, PROMPT + lengths)
        for row, window in enumerate(tokens):
            there = torch.arange(PROMPT + 1 + int(lengths[row]))
            there = there[(there == 0) | (window[there] < V)]
            alone = window[there]
            if name in MODELS:
                alone[0] = policy.begin
                if masked := getattr(policy, "mask", None) is not None:
                    alone = torch.cat([alone, torch.tensor([policy.mask])])
                policy.model.set_attn_implementation("eager")
                expected = policy.model(input_ids=alone[None], output_attentions=True).attentions[-1][0, :, -1].mean(0)
                if masked:  # the look at [MASK] itself does not count
                    expected = expected[:-1] / expected[:-1].sum()
            else:
                policy.prompt_length = 0
                expected = policy.attention(alone[None], torch.tensor([len(alone) - 1]))[0]
            torch.testing.assert_close(found[row, there], expected, rtol=1e-4, atol=1e-6)
            assert found[row].count_nonzero() <= len(there) and (found >= 0).all()
    torch.testing.assert_close(found.sum(1), torch.ones(6))


@pytest.mark.parametrize("name", mostly(NETWORKS))
def test_outputs_of_some_columns_are_those_of_whole_windows(name):
    policy, generator = make(name), torch.Generator().manual_seed(0)
    for _ in range(10):
        tokens = prompts(6, generator)
        lengths = torch.randint(0, BUDGET + 1, (6,), generator=generator)
        text = torch.randint(0, V, (6, BUDGET), generator=generator)
        tokens[:, PROMPT + 1 :] = text.masked_fill(torch.arange(BUDGET) >= lengths[:, None], V)
        rows = torch.randint(0, 6, (3, 3), generator=generator)
        columns = PROMPT + (torch.rand(3, 3, generator=generator) * (1 + lengths[rows])).long()
        with torch.no_grad():
            some, whole = policy.outputs(tokens, rows, columns), policy.hidden(tokens)[rows, columns]
        torch.testing.assert_close(some, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", mostly(["encoder", "encoder, learned", "bert", "roberta"]))
def test_what_is_masked_is_told_by_both_sides_and_not_by_itself(name):
    policy, generator = make(name), torch.Generator().manual_seed(0)
    tokens = prompts(6, generator)
    tokens[:, PROMPT + 1 :] = torch.randint(0, V, (6, BUDGET), generator=generator)
    tokens[3:, PROMPT + 4 :] = V
    rows, columns = torch.arange(6), torch.full((6,), PROMPT + 2)
    hidden = torch.zeros_like(tokens, dtype=torch.bool)
    hidden[rows, columns] = True

    def said(column=None):
        changed = tokens.clone()
        if column is not None:
            changed[:, column] = (changed[:, column] + 1) % V
        with torch.no_grad():
            return policy.heads(policy.filled(changed, hidden, rows, columns))[0]

    torch.testing.assert_close(said(PROMPT + 2), said(), rtol=0, atol=0)
    for column in (PROMPT, PROMPT + 1, PROMPT + 3):
        assert ((said(column) - said()).abs().amax(1) > 1e-6).all()
    behind = tokens.clone()[3:, : PROMPT + 4]  # texts read without the empty columns behind them
    with torch.no_grad():
        tight = policy.heads(policy.filled(behind, hidden[3:, : PROMPT + 4], rows[:3], columns[3:]))[0]
    torch.testing.assert_close(said()[3:], tight, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", mostly(name for name in NETWORKS if name != "own"))
def test_padding_does_not_change_what_is_said(name):
    narrow, wide = make(name), make(name, prompt_length=PROMPT + WIDER)
    wide.load_state_dict(narrow.state_dict())
    generator = torch.Generator().manual_seed(0)
    tokens = prompts(20, generator)
    lengths = torch.randint(0, BUDGET, (20,), generator=generator)
    text = torch.randint(0, V, (20, BUDGET), generator=generator)
    tokens[:, PROMPT + 1 :] = text.masked_fill(torch.arange(BUDGET) >= lengths[:, None], V)
    padded = torch.cat([tokens[:, :1], torch.full((20, WIDER), V), tokens[:, 1:]], 1)
    written = torch.arange(BUDGET + 1) <= lengths[:, None]
    with torch.no_grad():
        outputs = [
            p.heads(p.hidden(t)[:, begin:][written])
            for p, t, begin in ((narrow, tokens, PROMPT), (wide, padded, PROMPT + WIDER))
        ]
    for one, other in zip(*outputs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
        assert one.ndim == 1 or one.std(0).max() > 1e-2  # it does depend on the window


@pytest.mark.parametrize("name", MODELS)
def test_which_models_keep_keys_and_values(name):
    """The others are read again at every token; of BART at least the prompt is encoded only once."""
    cached = not isinstance(make(name).cache(2, 1 + PROMPT + BUDGET), WholeWindows)
    assert cached == (name not in ("mamba", *MASKED))
    assert name in MASKED or make(name).goes_on == (name not in ("mamba", "bart"))


@pytest.mark.parametrize("name", mostly(NETWORKS))
def test_the_first_ratio_is_1(name):
    """After the second rollout, too, whose texts were begun by the policy of the first."""
    env = gym.make_vec("textgym/Brackets-v0", num_envs=6, autoreset_mode="SameStep", mask="task", copy=False)
    policy = make(name, vocabulary_size=env.vocabulary.size, prompt_length=env.prompt_length, budget=env.budget)
    optimizer = torch.optim.SGD(policy.parameters(), 1e-3)
    writer = Writer(env, policy, Sampling(0.8, top_k=3), torch.Generator().manual_seed(0), seed=0)
    for _ in range(2):
        with torch.no_grad():
            rollout = writer.collect(10)
        advantages = torch.randn(10, 6, generator=torch.Generator().manual_seed(1))
        batch = as_batch(rollout, advantages, advantages, env.prompt_length)
        every, tokens = torch.arange(len(batch.windows)), torch.arange(60)
        logits, values = evaluate_tokens(policy, batch, every, tokens)
        log_probs = writer.sampling.log_probs(logits, batch.supports).gather(1, batch.actions[:, None]).squeeze(1)
        torch.testing.assert_close((log_probs - batch.log_probs).exp(), torch.ones(60), rtol=0, atol=1e-4)
        torch.testing.assert_close(values, batch.values, rtol=0, atol=1e-4)
        ((log_probs * batch.advantages).mean() + values.mean()).backward()
        optimizer.step()


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_cache_is_gone_when_nobody_has_it(name):
    """Without waiting for the garbage collector: on a GPU it is most of the memory."""
    policy = make(name)
    if hasattr(policy, "compiled"):
        policy.compile_step()
    cache = policy.cache(2, 1 + PROMPT + BUDGET)
    gone = weakref.ref(cache)
    gc.disable()
    try:
        del cache
        assert gone() is None
    finally:
        gc.enable()


# -- training --------------------------------------------------------------------------------------


def quick(folder, network, **changes):
    settings = {"env": "textgym/Brackets-v0", "steps": 256, "n_envs": 8, "minibatch": 32, "decay": "constant"}
    settings |= {"eval_every": 64, "eval_episodes": 10, "device": "cpu", "progress": False}
    return TrainArgs(network=network, folder=folder, **{**settings, **changes})


def loader(name):
    return getattr(transformers, f"AutoModelFor{LOADERS[kind_of(name)]}")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Name -> folder with a model and the vocabulary of Brackets."""
    vocabulary, found = gym.make_vec("textgym/Brackets-v0", num_envs=1).vocabulary, {}
    for name in MODELS:
        found[name] = str(tmp_path_factory.mktemp("models") / name)
        torch.manual_seed(0)
        loader(name).from_config(MODELS[name]()).save_pretrained(found[name])
        fast = transformers.PreTrainedTokenizerFast(tokenizer_object=vocabulary.tokenizer, eos_token="<eos>")
        fast.save_pretrained(found[name])
    return found


@pytest.mark.parametrize(
    "network", ["lstm", "encoder", "encoder_decoder", "gpt2", pytest.param("t5", marks=pytest.mark.slow)]
)
def test_a_resumed_run_is_the_run_that_was_never_stopped(network, tmp_path, folders):
    settings = {"dropout": 0.1, "pretrain": 2, "kl_weight": 0.1}
    settings |= {"width": 16, "heads": 2} if network.startswith("encoder") else {}
    network = folders.get(network, network)
    whole = train(quick(tmp_path / "whole", network, **settings))
    train(quick(tmp_path / "parts", network, steps=128, **settings))
    parts = train(quick(tmp_path / "parts", network, resume=True, **settings))
    ours, theirs = (read_checkpoint(r.folder / "last.pt") for r in (parts, whole))
    assert same(ours["policy"], theirs["policy"]) and same(ours["trainer"], theirs["trainer"])
    assert parts.evaluations[-1]["sampled"] == whole.evaluations[-1]["sampled"]


@pytest.mark.parametrize("name", mostly(["gpt2", "bart", "bert"]))
def test_a_model_on_disk_begins_as_it_is_and_is_not_needed_afterwards(name, tmp_path, folders):
    """A checkpoint has all of it."""
    folder = str(tmp_path / "model")
    shutil.copytree(folders[name], folder)
    run = train(quick(tmp_path / "run", folder, steps=0))
    shutil.rmtree(folder)
    policy = load_policy(run.best)[0]
    given = loader(name).from_pretrained(folders[name])
    assert same(dict(policy.model.state_dict()), dict(given.state_dict()))
    assert generate(GenerateArgs(run.best, episodes=5, device="cpu", progress=False)).asked == 5


def test_the_network_of_the_documentation_is_trained_by_the_command(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "policies.md").read_text("utf-8"), re.S)
    assert len(code.splitlines()) < 30
    (tmp_path / "my_networks.py").write_text(code)
    line = [sys.executable, "-m", "agents.transformer.train", "--env", "Copy-v0", "--network", "my_networks:GRU"]
    line += ["--width", "8", "--steps", "100", "--n-envs", "4", "--eval-episodes", "4", "--device", "cpu"]
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    done = subprocess.run(
        [*line, "--folder", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    described = read_checkpoint(tmp_path / "run" / "last.pt")["config"]["architecture"]
    assert described == {"kind": "my_networks:GRU", "vocabulary_size": 9, "width": 8}


@pytest.mark.parametrize("name", ["decoder", "lstm", "llama"])
def test_generation_in_int8(name, tmp_path, folders):
    run = train(quick(tmp_path / "run", folders.get(name, name), pretrain=20))
    given = {"checkpoint": run.best, "episodes": 20, "device": "cpu", "temperature": 0, "progress": False}
    full, int8 = (generate(GenerateArgs(**given, int8=on)) for on in (False, True))
    assert 0.0 <= int8.mean_score <= 1.0 and len(int8) == len(full)
    policy = load_policy(run.best)[0]
    tokens = torch.full((1, 12), policy.vocabulary_size)
    tokens[0, 8:] = torch.tensor([0, 1, 0, 2])
    a, b = (p.heads(p.hidden(tokens)[0, 7:])[0] for p in (policy, in_int8(policy)))
    assert 0 < (a - b).abs().max() < 0.1 * (a.max() - a.min())


# -- folders of transformers -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["decoder", "decoder, learned", "llama", "t5", "bert"])
def test_an_exported_network_is_the_same_in_transformers_and_back(name, tmp_path):
    env = gym.make_vec("textgym/Brackets-v0", num_envs=1)
    sizes = {"vocabulary_size": env.vocabulary.size, "prompt_length": env.prompt_length, "budget": env.budget}
    policy = make(name, **sizes)
    save_pretrained(policy, env.vocabulary, tmp_path / "model")
    assert Vocabulary.load(tmp_path / "model").fingerprint == env.vocabulary.fingerprint
    again = make_policy(described := describe(str(tmp_path / "model"), env, {}), str(tmp_path / "model"))
    assert described["vocabulary_size"] == env.vocabulary.size
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, env.vocabulary.size, (6, 1 + env.prompt_length + env.budget), generator=generator)
    tokens[:, 0] = env.vocabulary.pad
    tokens[3:, 1:4] = env.vocabulary.pad
    with torch.no_grad():
        ours, theirs = (p.heads(p.hidden(tokens)[:, env.prompt_length :]) for p in (policy, again.eval()))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    if name.startswith("decoder"):
        model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
        texts = ["".join(map(env.vocabulary.token, row[4:])) for row in tokens[3:, : 1 + env.prompt_length].tolist()]
        prompts = [[model.config.bos_token_id, *ids] for ids in tokenizer(texts).input_ids]
        assert prompts == [[env.vocabulary.pad, *row] for row in tokens[3:, 4 : 1 + env.prompt_length].tolist()]
        with torch.no_grad():
            logits = model(torch.tensor(prompts)).logits[:, -1, :-1]
        torch.testing.assert_close(logits, ours[0][3:, 0], rtol=0, atol=1e-5)
        written = model.generate(torch.tensor(prompts), attention_mask=torch.ones(3, len(prompts[0]), dtype=torch.long))
        assert (written[:, 1:] < env.vocabulary.size).all()  # never BOS


@pytest.mark.slow
def test_the_command_exports_what_was_trained(tmp_path):
    run = train(quick(tmp_path / "run", "decoder", steps=0, width=16, heads=2))
    line = [sys.executable, "-m", "agents.transformer.export", "--checkpoint", str(run.best)]
    subprocess.run([*line, "--folder", str(tmp_path / "model")], check=True, cwd=ROOT, capture_output=True)
    again = train(quick(tmp_path / "again", str(tmp_path / "model"), steps=0))
    assert again.best_score == pytest.approx(run.best_score)
    with pytest.raises(ValueError, match="is there already; --folder takes a new or an empty folder"):
        export(ExportArgs(run.best, tmp_path / "model"))
    other = train(quick(tmp_path / "other", "lstm", steps=0))
    with pytest.raises(ValueError, match="transformers has no network such as LSTM"):
        export(ExportArgs(other.best, tmp_path / "lstm"))
    assert not (tmp_path / "lstm").exists()


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        (
            "lstmm",
            {},
            "unknown network 'lstmm'. Did you mean 'lstm'? Allowed: decoder, lstm, encoder, ",
        ),
        ("no/such/folder", {}, "there is no folder 'no/such/folder'"),
        ("no_such.module:Net", {}, "cannot import 'no_such.module'"),
        ("networks:Recurent", {}, "Did you mean 'Recurrent'"),
        (
            "networks:NeedsMore",
            {},
            "the network 'networks:NeedsMore' needs depth, but is given vocabulary_size,",
        ),
        ("networks:make", {}, "'networks:make' is no network: a class that extends agents.transformer.policy.Policy"),
        ("lstm", {"heads": 2}, "heads=2: the network 'lstm' has no heads; it takes layers, width, dropout"),
        ("encoder", {"width": 18, "heads": 4}, "2 * heads divides width"),
        ("gpt2", {"width": 16}, "has no width; it takes dropout"),
        ("gpt2", {"env": "textgym/Copy-v0"}, "has 5 tokens, the environment's vocabulary 9"),
        ("gpt2", {"env_kwargs": {"length": 60}}, "reads windows of 40 columns; BEGIN, prompt and"),
        ("bart", {"env_kwargs": {"length": 60}}, "encodes 40 tokens; prompt and EOS of the"),
    ],
)
def test_refusals(network, changes, message, tmp_path, folders):
    with pytest.raises(ValueError, match=re.escape(message)):
        train(quick(tmp_path / "run", folders.get(network, network), **changes))
    assert not (tmp_path / "run").exists()


def test_folders_without_a_model_are_refused(tmp_path, folders):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no model of transformers is in '.*empty' .save_pretrained writes one."):
        train(quick(tmp_path / "run", str(tmp_path / "empty")))
    for folder, config, message in (
        ("gpt2", transformers.GPT2Config(**SMALL), "no causal language model is in '.*gpt2': it holds a GPT2Model"),
        (
            "bert",
            transformers.BertConfig(**SMALL),
            "it holds a BertModel, which predicts no tokens; a reward model can",
        ),
        ("small", transformers.GPT2Config(**{**SMALL, "vocab_size": 4}), "knows 4 tokens, the environment's .* has 5"),
    ):
        transformers.AutoModel.from_config(config).save_pretrained(tmp_path / folder)
        with pytest.raises(ValueError, match=message):
            train(quick(tmp_path / "run", str(tmp_path / folder)))
    other = tmp_path / "other"
    shutil.copytree(folders["gpt2"], other)
    text = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(text.replace('"(":', '"@":'))
    with pytest.raises(ValueError, match=r"token \d is '@' in '.*other', '\(' in the environment's vocabulary"):
        train(quick(tmp_path / "run", str(other)))


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    small = {"steps": 0, "width": 16}
    lstm, own = (
        train(quick(tmp_path / name.rpartition(":")[2], name, **small)) for name in ("lstm", "networks:Recurrent")
    )
    (own.folder / "last.pt").write_bytes((lstm.folder / "last.pt").read_bytes())
    with pytest.raises(ValueError, match="is of another architecture: it has .*'kind': 'lstm'.*this run .*Recurrent"):
        train(quick(own.folder, "networks:Recurrent", resume=True, **small))
    saved = torch.load(own.best)
    saved["policy"]["rnn.weight_ih_l0"] = torch.zeros(3, 3)  # the class was changed meanwhile
    torch.save(saved, own.best)
    with pytest.raises(ValueError, match="has other weights than networks:Recurrent has by now"):
        load_policy(own.best)
