"""What holds for every network: what is cached is what whole windows give, and padding changes nothing."""

import pytest
import torch

pytest.importorskip("transformers")

from networks import BUDGET, MODELS, NETWORKS, PROMPT, WIDER, V, make, prompts

from agents.transformer.policy import WholeWindows


@pytest.mark.parametrize("name", NETWORKS)
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


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "own"])
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
    assert cached == (name != "mamba")
    assert make(name).goes_on == (name not in ("mamba", "bart"))
