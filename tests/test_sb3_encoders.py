"""Token encoders: what they see, what they must not see, and that the fast forms equal the plain ones."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from gymnasium import spaces  # noqa: E402
from stable_baselines3 import DQN, PPO  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from textgym.sb3.encoders import ENCODERS, ConvEncoder, TransformerEncoder, policy_kwargs  # noqa: E402

PAD, PROMPT, BUDGET = 7, 4, 6  # ids 0..6, a window of 10 columns
LENGTH = PROMPT + BUDGET
NAMES = ["bag", "conv", "gru", "lstm", "transformer"]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


class CopyEnv(gym.Env):
    """Stand-in: three symbols of four to be copied, a third paid for each; EOS is the fifth action."""

    def __init__(self, masked: bool = False):
        self.action_space = spaces.Discrete(5)
        tokens = spaces.Box(0, 5, (8,), np.int32)
        self.masked = masked
        self.observation_space = spaces.Dict(tokens=tokens, action_mask=spaces.MultiBinary(5)) if masked else tokens

    def observation(self):
        tokens = self.window.copy()
        return {"tokens": tokens, "action_mask": np.array([1, 1, 1, 1, 0], np.int8)} if self.masked else tokens

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.window, self.t = np.full(8, 5, np.int32), 0
        self.window[2:5] = self.np_random.integers(0, 4, 3)  # prompt_length 5, text from column 5
        return self.observation(), {}

    def step(self, action):
        reward = float(action == self.window[2 + self.t]) / 3
        self.window[5 + self.t] = action
        self.t += 1
        return self.observation(), reward, bool(self.t == 3 or action == 4), False, {}


def window_space(prompt: int = PROMPT) -> spaces.Box:
    return spaces.Box(0, PAD, (prompt + BUDGET,), np.int32)


def encoder(name: str, prompt: int = PROMPT, **kwargs):
    return ENCODERS[name](window_space(prompt), **{"prompt_length": prompt, **kwargs}).eval()


def window(prompt: list[int], text: list[int], prompt_length: int = PROMPT) -> list[int]:
    return [PAD] * (prompt_length - len(prompt)) + prompt + text + [PAD] * (BUDGET - len(text))


CASES = [([1, 2, 3], [4, 5]), ([1], []), ([0, 1, 2, 3], [6] * BUDGET), ([], []), ([], [2]), ([5, 5], [5, 0, 1])]


def cases(prompt_length: int = PROMPT):
    return torch.tensor([window(prompt, text, prompt_length) for prompt, text in CASES])


# ---- the write position


def test_write_position_with_prompt_length():
    assert encoder("bag").write_position(cases()).tolist() == [6, 4, 10, 4, 5, 7]


def test_write_position_without_prompt_length_differs_only_in_the_empty_window():
    assert encoder("bag", prompt_length=None).write_position(cases()).tolist() == [6, 4, 10, 0, 5, 7]


def test_sequences_cut_the_padding_away():
    e = encoder("bag")
    ids, columns, places, lengths = e.sequences(torch.tensor([window([1, 2], [3]), window([], [])]))
    assert ids.tolist() == [[1, 2, 3, e.next], [e.next, PAD, PAD, PAD]]
    assert lengths.tolist() == [4, 1] and places.tolist() == [0, 1, 2, 3]
    assert columns[0].tolist() == [2, 3, 4, 5] and columns[1, 0] == 4
    ids, columns, places, _ = e.sequences(torch.tensor([window([1, 2], [3]), window([], [])]), align="right")
    assert ids.tolist() == [[1, 2, 3, e.next], [PAD, PAD, PAD, e.next]]
    assert places.tolist() == [[0, 1, 2, 3], [0, 0, 0, 0]] and columns[1, 3] == 4


def test_sequences_aligned_right_repeat_no_token_of_a_window_that_begins_with_one():
    e = encoder("bag", prompt_length=None)
    long, short = window([1, 2, 3, 4], [5, 6]), [1, 2] + [PAD] * 8
    ids, *_ = e.sequences(torch.tensor([long, short]), align="right")
    assert ids[1].tolist() == [PAD] * 4 + [1, 2, e.next]


# ---- what every encoder keeps to


@pytest.mark.parametrize("prompt_length", [PROMPT, None])
@pytest.mark.parametrize("name", NAMES)
def test_box_and_dict_give_the_same_finite_features(name, prompt_length):
    box = ENCODERS[name](window_space(), 16, prompt_length).eval()
    space = spaces.Dict(tokens=window_space(), action_mask=spaces.MultiBinary(PAD))
    both = ENCODERS[name](space, 16, prompt_length).eval()
    both.load_state_dict(box.state_dict())
    features = box(cases().float())  # SB3 passes floats
    assert features.shape == (len(CASES), 16) and features.dtype == torch.float32 and features.isfinite().all()
    assert torch.equal(features, both({"tokens": cases(), "action_mask": torch.zeros(len(CASES), PAD)}))
    features.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in box.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_a_row_does_not_depend_on_its_batch(name):
    e = encoder(name)
    alone = torch.cat([e(row[None]) for row in cases()])
    torch.testing.assert_close(e(cases()), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_more_left_padding_changes_nothing(name):
    narrow, wide = encoder(name), encoder(name, PROMPT + 4)
    weights = narrow.state_dict()
    for key, value in wide.state_dict().items():
        if "column" in key:  # columns count from the border of prompt and text
            value[4:] = weights[key]
        elif "place" in key:  # places from the first token
            value[:-4] = weights[key]
        else:
            value.copy_(weights[key])
    torch.testing.assert_close(wide(cases(PROMPT + 4)), narrow(cases()), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_token_of_prompt_and_text_is_seen(name):
    e = encoder(name)
    tokens = torch.tensor([window([0, 1, 2, 3], [4, 5, 6, 0, 1])])
    changed = tokens.repeat(9, 1)
    changed[torch.arange(9), torch.arange(9)] = (tokens[0, :9] + 3) % PAD
    assert (e(changed) - e(tokens)).abs().amax(1).min() > 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_tokens_written_is_seen(name):
    features = encoder(name)(torch.tensor([window([1, 1, 1], [1] * n) for n in range(BUDGET + 1)]))
    assert torch.pdist(features).min() > 1e-4


@pytest.mark.parametrize("name", [n for n in NAMES if n != "bag"])
def test_order_is_seen(name):
    a, b = encoder(name)(torch.tensor([window([0, 1, 2, 3], [4, 4, 4, 4, 4]), window([1, 0, 2, 3], [4, 4, 4, 4, 4])]))
    assert (a - b).abs().max() > 1e-5


def test_the_bag_is_blind_to_order_but_for_the_last_tokens():
    e = encoder("bag", last=2)
    a, b, c = e(
        torch.tensor([window([0, 1], [2, 3, 4, 5]), window([1, 0], [3, 2, 4, 5]), window([0, 1], [2, 3, 5, 4])])
    )
    torch.testing.assert_close(a, b)
    assert (a - c).abs().max() > 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_token_tables_start_small(name):
    tables = [m.weight for m in encoder(name).modules() if isinstance(m, torch.nn.Embedding)]
    assert tables and all(table.std() < 0.05 for table in tables)


# ---- fast forms against plain ones


def plain_transformer(e: TransformerEncoder, tokens):
    """The same weights over the whole padded window, all queries, no shortcut."""
    rows = []
    for row in tokens:
        end = int(e.write_position(row[None]))
        ids = torch.cat([row, row.new_tensor([PAD])])
        ids[end] = e.next
        kept = (ids != PAD).nonzero().flatten()
        columns = torch.arange(len(ids))
        places = (columns - kept[0]).clamp(min=0)
        x = (e.embed.token.weight[ids] + e.embed.column.weight[columns] + e.embed.place.weight[places])[None]
        mask = (ids != PAD).expand(len(ids), -1) | torch.eye(len(ids), dtype=torch.bool)
        if e.causal:
            mask = mask.tril()
        for block in e.blocks:
            q, k, v = (y.unflatten(2, (block.heads, -1)).transpose(1, 2) for y in block.qkv(block.norm1(x)).chunk(3, 2))
            scores = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf)
            x = x + block.output((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
            x = x + block.mlp(block.norm2(x))
        rows.append(e.norm(x[0, end]))
    return torch.stack(rows)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_transformer_equals_the_plain_one(layers, causal):
    e = encoder("transformer", layers=layers, causal=causal)
    for p in e.parameters():  # biases and scales that matter
        torch.nn.init.normal_(p, std=0.2)
    fast, plain = e(cases()), plain_transformer(e, cases())
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-5)
    target = torch.randn_like(fast)
    slow = torch.autograd.grad((plain * target).sum(), list(e.parameters()))
    for name, a, b in zip(
        dict(e.named_parameters()), torch.autograd.grad((fast * target).sum(), list(e.parameters())), slow, strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4, msg=name)


def test_causal_tokens_do_not_see_later_ones():
    for layers, same in ((1, True), (2, False)):  # one layer has one query, which sees all
        e, free = encoder("transformer", layers=layers, causal=True), encoder("transformer", layers=layers)
        free.load_state_dict(e.state_dict())
        assert torch.equal(e(cases()[:1]), free(cases()[:1])) is same


@pytest.mark.parametrize("kernel_size", [2, 3, 4])
def test_conv_equals_the_stack_of_dilated_convolutions(kernel_size):
    e = encoder("conv", kernel_size=kernel_size, features_dim=8)
    assert isinstance(e, ConvEncoder)
    ids, columns, places, _ = e.sequences(cases(), align="right")
    seen = (ids != PAD).float()[:, None]  # (B, 1, n)
    x = e.embed_norm(e.embed(ids, columns, places)).transpose(1, 2) * seen  # (B, d, n)
    for i, layer in enumerate(e.layers):
        dilation = kernel_size**i
        fill = ((kernel_size - 1) * dilation, 0)
        kernel = layer.weight.unflatten(1, (kernel_size, -1)).transpose(1, 2)  # (out, in, k)
        seen = F.max_pool1d(F.pad(seen, fill), kernel_size, 1, dilation=dilation)
        x = (x + F.gelu(F.conv1d(F.pad(x, fill), kernel, layer.bias, dilation=dilation))) * seen
    torch.testing.assert_close(e(cases()), e.norm(x[:, :, -1]), atol=1e-5, rtol=1e-5)


# ---- with SB3


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_trains_and_loads_to_the_same_actions(name, masked, tmp_path):
    env = CopyEnv(masked)
    kwargs = policy_kwargs(name, features_dim=16, prompt_length=5)
    policy = "MultiInputPolicy" if masked else "MlpPolicy"
    agent = PPO(policy, env, n_steps=64, batch_size=32, n_epochs=1, policy_kwargs=kwargs, seed=0, device="cpu")
    assert len(agent.policy.mlp_extractor.policy_net) == 0
    before = {k: v.clone() for k, v in agent.policy.state_dict().items()}
    agent.learn(128)
    assert any(not torch.equal(v, before[k]) for k, v in agent.policy.state_dict().items() if "token" in k)
    agent.save(tmp_path / "agent")
    loaded = PPO.load(tmp_path / "agent", device="cpu")
    observation, _ = env.reset(seed=1)
    for step in range(3):
        a, b = (x.predict(observation, deterministic=True)[0] for x in (agent, loaded))
        assert a == b
        observation = env.step(step)[0]


def test_trains_under_dqn():
    agent = DQN("MlpPolicy", CopyEnv(), learning_starts=20, policy_kwargs=policy_kwargs(algo="dqn", prompt_length=5))
    agent.learn(60)
    assert agent._n_updates > 0


def test_ppo_learns_to_copy():
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    agent = PPO(
        "MlpPolicy",
        make_vec_env(CopyEnv, 16, seed=0),
        learning_rate=2e-3,
        n_steps=32,
        batch_size=128,
        n_epochs=4,
        gamma=1.0,
        policy_kwargs=policy_kwargs("transformer", features_dim=32, prompt_length=5),
        seed=0,
        device="cpu",
    )
    agent.learn(16_000)
    score, _ = evaluate_policy(agent, make_vec_env(CopyEnv, 16, seed=1), 200)
    assert score > 0.9


# ---- pretrained


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Folders of three tiny models with random weights: decoder, encoder, encoder-decoder."""
    transformers = pytest.importorskip("transformers")
    small = {"vocab_size": 9, "bos_token_id": 7, "eos_token_id": 8, "pad_token_id": 8}
    configs = {
        "gpt2": transformers.GPT2Config(**small, n_positions=32, n_embd=16, n_layer=2, n_head=2),
        "bert": transformers.BertConfig(
            vocab_size=9, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
        ),
        "t5": transformers.T5Config(
            vocab_size=9, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0
        ),
    }
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    for name, config in configs.items():
        transformers.AutoModel.from_config(config).save_pretrained(folder / name)
    return {name: str(folder / name) for name in configs}


@pytest.mark.parametrize("prompt_length", [PROMPT, None])
@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_pretrained_reads_the_last_token_as_without_padding(pretrained, name, prompt_length):
    e = encoder("pretrained", path=pretrained[name], prompt_length=prompt_length)
    features = e(cases().float())
    assert features.shape == (len(CASES), 16) and features.isfinite().all()
    for row, (prompt, text) in zip(features, CASES, strict=True):
        if prompt + text:
            alone = e.model(torch.tensor([prompt + text])).last_hidden_state[0, -1]
            torch.testing.assert_close(row, alone, atol=1e-5, rtol=1e-5)


def test_pretrained_adds_a_vector_of_the_write_position(pretrained):
    e = encoder("pretrained", path=pretrained["gpt2"])
    plain = e(cases())
    torch.nn.init.normal_(e.column.weight)
    torch.testing.assert_close(e(cases()) - plain, e.column.weight[[6, 4, 10, 4, 5, 7]], atol=1e-5, rtol=1e-5)


def test_pretrained_encoder_decoder_reads_the_text_in_the_decoder(pretrained):
    e = encoder("pretrained", path=pretrained["t5"])
    features = e(cases())
    assert features.shape == (len(CASES), 16) and features.isfinite().all()
    for row, (prompt, text) in zip(features, CASES, strict=True):
        if prompt:
            alone = e.model(input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([[0, *text]]))
            torch.testing.assert_close(row, alone.last_hidden_state[0, -1], atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="encoder-decoder"):
        encoder("pretrained", path=pretrained["t5"], prompt_length=None)


@pytest.mark.parametrize("frozen", [True, False])
def test_pretrained_weights_come_unharmed_through_sb3(pretrained, frozen, tmp_path):
    from transformers import AutoModel

    disk = AutoModel.from_pretrained(pretrained["gpt2"]).state_dict()
    kwargs = policy_kwargs("pretrained", path=pretrained["gpt2"], frozen=frozen, features_dim=8, prompt_length=5)
    agent = PPO("MlpPolicy", CopyEnv(), n_steps=32, batch_size=32, n_epochs=1, policy_kwargs=kwargs, device="cpu")
    model = agent.policy.features_extractor.model
    assert all(torch.equal(value, disk[name]) for name, value in model.state_dict().items())
    agent.learn(32)
    assert not model.training  # no dropout between rollout and update
    assert all(torch.equal(value, disk[name]) for name, value in model.state_dict().items()) is frozen
    agent.save(tmp_path / "agent")
    loaded = PPO.load(tmp_path / "agent", device="cpu").policy.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in agent.policy.state_dict().items())


def test_pretrained_errors(pretrained, tmp_path):
    with pytest.raises(FileNotFoundError, match="save_pretrained"):
        encoder("pretrained", path=str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="12 tokens, the model .* only 9"):
        ENCODERS["pretrained"](spaces.Box(0, 12, (8,), np.int32), path=pretrained["gpt2"])


# ---- policy_kwargs and errors


def test_policy_kwargs_fit_the_algorithm():
    ppo, dqn = policy_kwargs("gru", layers=2), policy_kwargs("gru", algo="dqn", layers=2)
    assert ppo["net_arch"] == dqn["net_arch"] == [] and ppo["features_extractor_kwargs"] == {"layers": 2}
    assert ppo["ortho_init"] is False and ppo["share_features_extractor"] is True
    assert "ortho_init" not in dqn and "share_features_extractor" not in dqn


def test_errors_name_the_nearest():
    with pytest.raises(ValueError, match="'transformer'"):
        policy_kwargs("transfomer")
    with pytest.raises(ValueError, match="'recurrent_ppo'"):
        policy_kwargs(algo="recurrentppo")
    with pytest.raises(TypeError, match="'layers'"):
        policy_kwargs("transformer", layer=2)
    with pytest.raises(ValueError, match="None or 0..9"):
        encoder("gru", prompt_length=10)
    with pytest.raises(ValueError, match="heads that divide 64"):
        encoder("transformer", heads=5)
    with pytest.raises(ValueError, match="no token window"):
        ENCODERS["gru"](spaces.Box(0, 1, (4,), np.float32))
    with pytest.raises(ValueError, match="no token window"):
        ENCODERS["gru"](spaces.Dict(ids=window_space()))
