"""BLEU over token ids against sacrebleu at every prefix, in rows that begin, end and rest on their own."""

import pickle
from functools import lru_cache
from unittest.mock import patch

import numpy as np
import pytest
from helpers import MODES, Phrases
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym import Delta, Episode, EveryStep, Terminal, TextGenEnv, TextGenVectorEnv, Vocabulary
from textgym.episode import Step
from textgym.metrics import BatchMetric, token_ngrams
from textgym.metrics.token_ngrams import TokenBLEU
from textgym.testing import check_metric

LETTERS = Vocabulary.characters(["abcdefgh"])
WAYS = [1, 10**9]  # FEW_ROWS: all rows in arrays, all one after the other


def rows_in(way):
    return patch.object(token_ngrams, "FEW_ROWS", way)


@lru_cache(maxsize=1)
def sacrebleu_score():
    bleu = pytest.importorskip("sacrebleu").metrics.BLEU(tokenize="none", effective_order=True)

    def score(ids, references):
        joined = [" ".join(map(str, each)) for each in (ids, *references)]
        return bleu.sentence_score(joined[0], joined[1:]).score / 100 if references else 0.0

    return score


class Rows:
    """n texts that are written by hand: what an environment does, without one."""

    def __init__(self, n, vocabulary, budget):
        self.n, self.vocabulary = n, vocabulary
        self.progress = TokenBLEU().start_rows(n, vocabulary)
        self.episodes, self.texts = [Episode()] * n, [[] for _ in range(n)]
        self.lengths, self.over = np.zeros(n, np.int64), np.ones(n, bool)
        self.written = np.full((n, budget), vocabulary.pad, np.int32)

    def begin(self, rows, references):
        rows, new = np.array(rows), [Episode("", each) for each in references]
        self.progress.reset(rows, new)
        for row, episode in zip(rows.tolist(), new, strict=True):
            self.episodes[row], self.texts[row] = episode, []
        self.lengths[rows], self.over[rows] = 0, False

    def write(self, rows, actions):
        rows, actions = np.array(rows), np.array(actions)
        self.written[rows, self.lengths[rows]] = actions
        self.lengths[rows] += 1
        step = Step(rows, actions, self.episodes, self.written, self.vocabulary, whole=len(rows) == self.n)
        step.lengths = self.lengths[rows]
        step.ended = self.over[rows] = step.finished | (step.lengths == self.written.shape[1])
        for row, token in zip(rows.tolist(), actions.tolist(), strict=True):
            self.texts[row] += [token] * (token != self.vocabulary.eos)
        return step, self.progress.value(step)

    def expected(self, rows):
        encode, score = self.vocabulary.encode, sacrebleu_score()
        return [score(self.texts[r], [encode(t).tolist() for t in self.episodes[r].references]) for r in rows]

    def likely(self, rng, row):
        """Mostly a token that a reference has after the last one."""
        references = [r for r in self.episodes[row].references if r]
        if rng.random() < 0.03:
            return self.vocabulary.eos
        if references and rng.random() < 0.8:
            ids = self.vocabulary.encode(references[rng.integers(len(references))])
            before = np.flatnonzero(ids[:-1] == self.texts[row][-1]) if self.texts[row] else []
            return int(ids[rng.choice(before) + 1] if len(before) else ids[0])
        return int(rng.integers(self.vocabulary.eos))


def some_references(rng, longest):
    letters = "abcdefgh"[: rng.integers(1, 9)]
    sizes = [int(rng.integers(rng.choice([2, 12, longest]) + 1)) for _ in range(rng.choice([0, 1, 1, 1, 2, 4]))]
    return tuple("".join(rng.choice(list(letters), size)) for size in sizes)


def check_rows(seed, n, longest, steps, budget):
    rng = np.random.default_rng(seed)
    rows = Rows(n, LETTERS, budget)
    rows.begin(range(n), [some_references(rng, longest) for _ in range(n)])
    returned = []
    for _ in range(steps):
        again = rows.over | (rng.random(n) < 0.02)
        if again.any():
            again = np.flatnonzero(again)
            rows.begin(again, [some_references(rng, longest) for _ in again])
        part = np.arange(n) if rng.random() < 0.5 else np.flatnonzero(rng.random(n) < 0.7)
        if not len(part):
            continue
        step, values = rows.write(part, [rows.likely(rng, row) for row in part])
        assert values.dtype == np.float64 and values.tolist() == pytest.approx(rows.expected(part), abs=1e-9)
        assert values.min() >= 0.0 and values.max() <= 1.0
        returned.append((values, values.copy()))
        if rng.random() < 0.1:
            saved = pickle.loads(pickle.dumps(rows.progress.get_state()))
            if rng.random() < 0.5:
                rows.progress = TokenBLEU().start_rows(n, LETTERS)
            else:  # what happens after it was saved is forgotten
                rows.progress.reset(part[:1], [Episode("", ("h" * 300, "a", "b"))])
                rows.progress.value(step)
            rows.progress.set_state(saved)
        if rng.random() < 0.05:
            assert TokenBLEU().score_rows(step).tolist() == pytest.approx(values.tolist(), abs=1e-12)
            assert BatchMetric.score_rows(TokenBLEU(), step).tolist() == pytest.approx(values.tolist(), abs=1e-12)
    for values, were in returned:
        assert (values == were).all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("longest, steps", [(30, 40), (70, 80), (200, 100)])
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 5))
def test_it_is_sacrebleu_at_every_prefix_of_every_row(way, longest, steps, seed, n):
    with rows_in(way):
        check_rows(seed, n, longest, steps, budget=2 * longest)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(30))
def test_it_is_sacrebleu_in_long_runs(way, seed):
    with rows_in(way):
        check_rows(seed, n=7, longest=[40, 150, 300][seed % 3], steps=250, budget=320)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [1, 3, 63, 64, 65, 128, 129])
@pytest.mark.parametrize("letters", ["a", "abcdefgh"])
def test_a_copy_of_a_reference_that_fills_its_words_is_worth_1(way, size, letters):
    reference = "".join(np.random.default_rng(size).choice(list(letters), size))
    # the reference beside it has the first tokens: it must not be taken for a continuation
    references = (reference, reference[:70]) if size > 70 else (reference,)
    with rows_in(way):
        rows = Rows(2, LETTERS, size + 4)
        rows.begin([0, 1], [references, ("h",)])
        for token in [*LETTERS.encode(reference).tolist(), 0, 1]:
            _, values = rows.write([0, 1], [token, token])
            assert values.tolist() == pytest.approx(rows.expected([0, 1]), abs=1e-9)
            if len(rows.texts[0]) == size:
                assert values[0] == 1.0
        rows.begin([0], [("ab",)])  # nothing is left of the longer ones
        for token in LETTERS.encode("abab").tolist():
            _, values = rows.write([0], [token])
            assert values.tolist() == pytest.approx(rows.expected([0]), abs=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_no_reference_and_empty_ones_are_worth_0_and_eos_is_no_token(way):
    with rows_in(way):
        rows = Rows(4, LETTERS, 8)
        rows.begin(range(4), [(), ("",), ("", ""), ("", "abc")])
        for token in LETTERS.encode("ab").tolist():
            values = rows.write(range(4), [token] * 4)[1]
            assert values[:3].tolist() == [0, 0, 0] and values[3] > 0
        _, finished = rows.write(range(4), [LETTERS.eos] * 4)
        assert finished.tolist() == values.tolist()
        rows.begin(range(4), [("ab",), (), ("",), ("a",)])
        assert rows.write(range(4), [LETTERS.eos] * 4)[1].tolist() == [0] * 4


@pytest.mark.parametrize("way", WAYS)
def test_an_eos_that_is_spelt_out_in_a_reference_is_not_matched_by_the_end(way, tmp_path):
    LETTERS.tokenizer.save(str(tmp_path / "tokenizer.json"))
    vocabulary = Vocabulary.load(tmp_path, eos="<eos>")
    assert vocabulary.encode("a<eos>").tolist() == [0, vocabulary.eos]
    with rows_in(way):
        rows = Rows(1, vocabulary, 4)
        rows.begin([0], [("a<eos>",)])
        for token in (0, vocabulary.eos):
            step, value = rows.write([0], [token])
            assert value.tolist() == pytest.approx(rows.expected([0]), abs=1e-9)
            assert value < 1 and TokenBLEU().score_rows(step).tolist() == pytest.approx(value.tolist(), abs=1e-12)


def likely_token(rng, state, row):
    """Mostly the next one of the first reference."""
    right = [*state.vocabulary.encode((*state.episodes[row].references, "")[0]).tolist(), state.vocabulary.eos]
    at = state.lengths[row]
    return right[at] if at < len(right) and rng.random() < 0.9 else int(rng.integers(state.vocabulary.size))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["byte_bpe", "character"])
@pytest.mark.parametrize("mode", ["single", *MODES])
def test_in_an_environment_what_is_paid_sums_to_the_final_value(mode, kind, way):
    metric = TokenBLEU()
    kwargs = {"reward": [Delta(metric), EveryStep(metric), Terminal(metric)], "metrics": [metric], "tokenizer": kind}
    kwargs["mask"] = {"name": "banned", "tokens": [7]}
    with rows_in(way):
        n = 1 if mode == "single" else 5
        env = TextGenEnv(Phrases, **kwargs) if n == 1 else TextGenVectorEnv(Phrases, n, autoreset_mode=mode, **kwargs)
        rng, ends, best = np.random.default_rng(0), 0, 0.0
        env.reset(seed=0)
        over, paid = np.zeros(n, bool), np.zeros(n)
        for _ in range(400 if n == 1 else 100):
            if over.any() and mode == "single":
                env.reset()
            elif over.any() and mode == "Disabled":
                env.reset(options={"reset_mask": over})
            waiting = over & (mode == "NextStep")
            tokens = [likely_token(rng, env.state, row) for row in range(n)]
            _, _, over, _, info = env.step(tokens[0] if mode == "single" else tokens)
            over, final = np.atleast_1d(over), info.get("final_info", info)
            terms = {name: np.ravel(value) for name, value in info["reward_terms"].items()}
            if mode == "SameStep" and "final_info" in info:
                ended = {name: np.ravel(value) for name, value in final["reward_terms"].items()}
                terms = {name: np.where(over, ended[name], value) for name, value in terms.items()}
            paid += np.where(waiting, 0.0, terms["delta:token_bleu"])
            for row in np.flatnonzero(over & ~waiting):
                value = np.ravel(final["token_bleu"])[row]
                assert paid[row] == pytest.approx(value, abs=1e-12)
                assert terms["terminal:token_bleu"][row] == value
                assert terms["every_step:token_bleu"][row] == pytest.approx(value, abs=1e-12)
                paid[row], ends, best = 0.0, ends + 1, max(best, value)
    assert ends > 10 and best > 0.5


@pytest.mark.parametrize("way", WAYS)
def test_it_keeps_the_contract_of_metrics(way):
    with rows_in(way):
        check_metric(TokenBLEU())


def test_ids_beyond_16_bits_are_told_apart():
    vocabulary = Vocabulary.words([f"w{i}" for i in range(70_000)], size=70_002)
    right = 10
    with rows_in(1):
        rows = Rows(1, vocabulary, 3)
        rows.begin([0], [(vocabulary.decode([right, right + 1]),)])
        assert rows.write([0], [right + 2**16])[1] == 0.0
        assert rows.write([0], [right])[1] > 0.0


def test_it_needs_a_vocabulary():
    with pytest.raises(ValueError, match="vocabulary"):
        TokenBLEU().start_rows(1, None)
