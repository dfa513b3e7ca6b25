"""Small models on disk for the metrics that read them, and texts as those metrics see them. Needs torch."""

import numpy as np
import torch
import transformers
from helpers import Phrases
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers import models as models_of_tokens

from textgym import TextGenEnv, TextGenVectorEnv, Vocabulary
from textgym.episode import Step

torch.set_num_threads(1)

BYTES = Vocabulary.byte_bpe(["a"], size=257)
LETTERS = Vocabulary.characters("abcde ")  # 6 characters and EOS
PROMPTS = ["", "a", "abc", "bad cab deed"]
SIZE, POSITIONS, BUDGET = 11, 40, 20  # of the models: some more tokens than the vocabulary has
SMALL = {"vocab_size": SIZE, "hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 2}
SMALL |= {"intermediate_size": 16, "max_position_embeddings": POSITIONS, "initializer_range": 0.5}
SMALL |= {"bos_token_id": 8, "eos_token_id": 6, "pad_token_id": 9}
CAUSAL = {
    "gpt2": lambda: transformers.GPT2Config(**SMALL),
    "llama": lambda: transformers.LlamaConfig(**SMALL, num_key_value_heads=2),
    "sliding": lambda: transformers.MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=3),
    "mixed": lambda: transformers.Gemma3TextConfig(**SMALL, num_key_value_heads=1, head_dim=4, sliding_window=4),
    "local": lambda: transformers.GPTNeoConfig(
        **SMALL, window_size=4, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]]
    ),
    "opt": lambda: transformers.OPTConfig(**SMALL, ffn_dim=16, word_embed_proj_dim=16),
    "alibi": lambda: transformers.BloomConfig(**SMALL, n_head=4, n_layer=2),
    "recurrent": lambda: transformers.MambaConfig(**SMALL, state_size=4),
}
CACHED = set(CAUSAL) - {"alibi", "recurrent"}
IN_FLOAT32 = {"local", "alibi", "recurrent"}  # compute some things in float32, always


def save_tokenizer(path, tokenizer, **special):
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(path)


class CausalModels:
    """Kind and dtype of a causal model -> the directory where it is, made once."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, kind, dtype=torch.float32):
        path = self.folder / f"{kind}-{dtype}"
        if not path.exists():
            torch.manual_seed(1)
            transformers.AutoModelForCausalLM.from_config(CAUSAL[kind]()).to(dtype).save_pretrained(path)
        return str(path)


def save_phrases_model(path):
    """A tokenizer, and a GPT-2 for it, in ``path``; the vocabulary of ``Phrases`` that the tokenizer makes."""
    save_tokenizer(path, Phrases(tokenizer="byte_bpe").vocabulary.tokenizer, eos_token="<eos>")
    vocabulary = Vocabulary.load(path)
    config = transformers.GPT2Config(
        **SMALL | {"vocab_size": vocabulary.size, "max_position_embeddings": 80, "eos_token_id": vocabulary.eos}
    )
    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(config).save_pretrained(path)
    return vocabulary


WORDS = ["the", "cat", "sat", "on", "a", "mat", "dog", "ran", "far", "off"]
TEXTS = ["the cat sat", "a dog", "", "the cat", "mat on the mat far off the mat", "dog cat dog", "unknown"]


def save_encoders(folder):
    """Name -> directory: encoders and classifiers; tokens are words, GPT-2's without [CLS] and [SEP]."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models_of_tokens.WordLevel({w: i for i, w in enumerate(special + WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    size = {**SMALL, "vocab_size": 14, "max_position_embeddings": 12, "pad_token_id": 0}
    labels = {"id2label": {0: "sad", 1: "so so", 2: "glad"}, "label2id": {"sad": 0, "so so": 1, "glad": 2}}
    bert, gpt2 = transformers.BertConfig, transformers.GPT2Config
    without_pad = {**size, "pad_token_id": None, "eos_token_id": 3}
    torch.manual_seed(0)
    made = {
        "bert": transformers.BertModel(bert(**size)),
        "masked": transformers.BertForMaskedLM(bert(**size)),
        "classifier": transformers.BertForSequenceClassification(bert(**size, **labels)),
        "several": transformers.BertForSequenceClassification(bert(**size, problem_type="multi_label_classification")),
        "reward": transformers.BertForSequenceClassification(bert(**size, num_labels=1)),
        "roberta": transformers.RobertaModel(transformers.RobertaConfig(**size | {"pad_token_id": 1})),
        "t5": transformers.T5Model(
            transformers.T5Config(vocab_size=14, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
        ),
        "gpt2": transformers.GPT2Model(gpt2(**size)),
        "decoder": transformers.GPT2ForSequenceClassification(gpt2(**without_pad, **labels)),
    }
    for name, model in made.items():
        model.save_pretrained(folder / name)
        if name in ("gpt2", "decoder"):
            tokenizer.post_processor = None
            save_tokenizer(folder / name, tokenizer, **({"eos_token": "[SEP]"} if name == "decoder" else names))
        else:
            tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
            save_tokenizer(folder / name, tokenizer, **names, cls_token="[CLS]", sep_token="[SEP]")
    return {name: str(folder / name) for name in made}


class Oracle:
    """The log-likelihoods of texts after their contexts, by plain forwards over both."""

    def __init__(self, path):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(path).eval()

    def __call__(self, pairs):
        """float64 (k,), for pairs of tuples of ids; a text that begins another one has its part of its forward."""
        known = {}
        for context, text in sorted(pairs, key=lambda pair: -len(pair[1])):
            if (context, text) not in known:
                ids = torch.tensor([context + text])
                with torch.no_grad():
                    log_p = self.model(ids).logits.double().log_softmax(-1)[0]
                sums = [0.0]
                for i in range(len(context), ids.shape[1]):
                    sums.append(sums[-1] + log_p[i - 1, ids[0, i]].item())
                known |= {(context, text[:i]): value for i, value in enumerate(sums)}
        return np.array([known[pair] for pair in pairs])


def finished(texts, episodes):
    """The last step of some texts, in bytes."""
    ids = [BYTES.encode(text) for text in texts]
    written = np.full((len(ids), 80), BYTES.pad, np.int32)
    for row, text in zip(written, ids, strict=True):
        row[: len(text)] = text
    step = Step(np.arange(len(ids)), np.zeros(len(ids), int), episodes, written, BYTES)
    step.lengths = np.array([len(text) for text in ids])
    return step


def make(mode, n, **kwargs):
    """An environment and its number of rows."""
    if mode == "single":
        return TextGenEnv(Phrases, **kwargs), 1
    return TextGenVectorEnv(Phrases, n, autoreset_mode=mode, **kwargs), n


def along(env, mode, likely, steps):
    """Random steps: the texts' tokens by hand, the episodes, rewards, which rows took part, which ended, infos."""
    single, rng = mode == "single", np.random.default_rng(0)
    env.reset(seed=0)
    n = 1 if single else env.num_envs
    texts, over = [[] for _ in range(n)], np.zeros(n, bool)
    for _ in range(steps):
        if over.any() and mode in ("single", "Disabled"):
            env.reset(**({} if single else {"options": {"reset_mask": over}}))
        waiting = over & (mode == "NextStep")
        texts = [[] if o else text for o, text in zip(over, texts, strict=True)]
        episodes, actions = list(env.state.episodes), rng.choice(likely, n)
        for row in np.flatnonzero(~waiting):
            texts[row] = [*texts[row], int(actions[row])]
        _, rewards, over, _, info = env.step(actions[0] if single else actions)
        over = np.atleast_1d(over)
        yield texts, episodes, np.atleast_1d(rewards), ~waiting, over, info
