"""What people see of an episode: on a terminal, in a picture."""

import io
import re
import sys
import unicodedata
import warnings
from functools import lru_cache

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import textgym
from textgym.envs import font
from textgym.envs.render import BACKGROUND, as_picture, as_text, render_row, token_texts, visible
from textgym.tokenizers import Vocabulary

ENVS = {
    "Copy": ("textgym/Copy-v0", {}),
    "masked": ("textgym/Brackets-v0", {"mask": "task"}),
    "byte_bpe": ("textgym/Copy-v0", {"tokenizer": {"name": "byte_bpe", "size": 300}, "budget": 40}),
}
MODES = ("ansi", "human", "rgb_array")
SGR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(autouse=True)
def colours_allowed(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)


def made(name, mode="ansi", **more):
    id, arguments = ENVS[name]
    return gym.make(id, render_mode=mode, **arguments, **more).unwrapped


def copying(prompt, text, mode="ansi", **more):
    """Copy after writing ``text`` to a prompt."""
    env = made("Copy", mode, **more)
    env.reset(options={"prompt": prompt})
    for id in env.vocabulary.encode(text):
        env.step(int(id))
    return env


def line(page, label):
    """What stands beside a label."""
    (found,) = [row for row in SGR.sub("", page).splitlines() if row.startswith(label)]
    return found[12:].rstrip()


# Modes


@pytest.mark.parametrize("name", ENVS)
def test_every_mode_gives_what_gymnasium_expects(name, capsys):
    for mode in MODES:
        env = made(name, mode)
        for _ in range(3):
            shown = [env.render()]  # the first time: before any reset
            env.reset(seed=0)
            shown.append(env.render())
            ended = False
            while not ended:
                legal = np.flatnonzero(env.action_masks())
                ended = env.step(int(np.random.default_rng(len(shown)).choice(legal)))[2]
                shown.append(env.render())
            if mode == "ansi":
                assert all(type(page) is str for page in shown)
            elif mode == "human":
                assert shown == [None] * len(shown)
            else:
                assert {(frame.shape, frame.dtype) for frame in shown} == {(shown[0].shape, np.dtype(np.uint8))}
                height, width, channels = shown[0].shape
                assert height % 16 == width % 16 == 0 and channels == 3
    assert "no episode yet" in capsys.readouterr().out


def test_without_a_mode_nothing_happens(capsys):
    env = gym.make("textgym/Copy-v0").unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert env.render() is None
        env.reset(seed=0)
        env.step(0)
        assert env.render() is None
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="Did you mean 'ansi'"):
        render_row(env.state, 0, "ansy")
    assert "a" in line(as_text(env.state, 0), "text") and "not kept" in line(as_text(env.state, 0), "return")


def test_human_prints_what_ansi_returns(capsys):
    env = made("Copy", "human")
    env.reset(seed=0)
    env.step(1)
    assert capsys.readouterr().out.endswith(render_row(env.state, 0, "ansi") + "\n\n")


def test_human_on_a_terminal_that_is_not_utf8(monkeypatch):
    env = made("byte_bpe", "human")
    written = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", written)
    env.reset(options={"prompt": "a", "references": ["ä\n"]})
    written.flush()
    assert rb"\xe4\u23ce" in written.buffer.getvalue()


@pytest.mark.parametrize("autoreset_mode", ["NextStep", "SameStep", "Disabled"])
def test_a_batch_gives_a_frame_a_row(autoreset_mode):
    for mode, kind in (("ansi", str), ("rgb_array", np.ndarray)):
        envs = gym.make_vec("textgym/Copy-v0", 3, render_mode=mode, autoreset_mode=autoreset_mode)
        envs.reset(seed=0)
        for step in range(8):
            if autoreset_mode == "Disabled" and step:
                envs.reset(seed=0)
            envs.step(np.array([8, 0, 1]))
            frames = envs.render()
            assert type(frames) is tuple and [type(frame) for frame in frames] == [kind] * 3


def test_every_id_has_frames_of_one_size_in_all_episodes():
    env = gym.make("textgym/CopyLarge-v0", render_mode="rgb_array").unwrapped
    sizes = set()
    for prompt, references in [("a" * 30, ["b" * 30] * 9), ("", []), ("abc", ["a"])]:
        env.reset(options={"prompt": prompt, "references": references})
        sizes.add(env.render().shape)
        env.step(26)
        sizes.add(env.render().shape)
    assert len(sizes) == 1


# Content


def test_the_page_says_what_happened():
    env = copying("abcde", "abcd")
    page = env.render()
    assert line(page, "prompt") == line(page, "references") == "abcde"
    assert line(page, "text") == "abcd" and line(page, "end") == ""
    assert line(page, "paid") == "+0.2 for d: delta:character_match=+0.2"
    assert line(page, "return") == "+0.8, budget left 2 of 6"
    env.step(env.vocabulary.eos)
    page = env.render()
    assert line(page, "text") == "abcd<eos>" and line(page, "end") == "eos, score 0.8"
    assert line(page, "paid") == "0 for <eos>: delta:character_match=0"
    env.reset(options={"prompt": "ab"})
    assert line(env.render(), "text") == line(env.render(), "paid") == ""


def test_terms_of_a_sum():
    page = copying("abcde", "a", reward=["delta", {"name": "every_step", "weight": 2}]).render()
    assert line(page, "paid").startswith("+0.6 for a: delta:character_match=+0.2,")
    assert "every_step:character_match=+0.4" in page


def test_tokens_are_coloured_by_what_they_were_paid():
    # one letter is right, one is wrong, one is too many
    env = copying("ab", "ac")
    env.step(3)
    right, wrong, beyond = env.state.payments[0, :3]
    assert right > 0 and wrong == 0 and beyond < 0
    text = re.search(r"text +\x1b\[0m(.*)", env.render())[1]
    assert re.fullmatch(r"\x1b\[38;5;16;48;5;46ma\x1b\[0mc\x1b\[38;5;231;48;5;\d+md\x1b\[0m", text)
    # the largest payment is the strongest green; -1/6 of 1/2 is a weak red
    assert "48;5;88m" in text
    pixels = as_picture(env.state, 0).reshape(-1, 3).astype(int)
    assert (pixels[:, 1] > pixels[:, 0] + 50).any() and (pixels[:, 0] > pixels[:, 1] + 20).any()
    env.reset(seed=0)
    pixels = as_picture(env.state, 0).reshape(-1, 3).astype(int)
    assert np.abs(pixels[:, 0] - pixels[:, 1]).max() == 0, "grey before any payment"


def test_no_color(monkeypatch):
    env = copying("ab", "acd")
    monkeypatch.setenv("NO_COLOR", "")
    assert "\x1b" in env.render(), "an empty value counts as not set"
    monkeypatch.setenv("NO_COLOR", "1")
    lines = env.render().splitlines()
    assert "\x1b" not in "".join(lines)
    assert lines[2:4] == ["text        acd", "            + -"]


def test_illegal_end():
    env = made("masked", on_illegal=-1)
    env.reset(options={"prompt": "(("})
    env.step(int(env.vocabulary.encode("(")[0]))
    assert not env.action_masks()[env.vocabulary.eos]
    env.step(env.vocabulary.eos)
    page = env.render()
    assert line(page, "text") == "(<illegal <eos>>"
    assert "illegal=-1" in page and line(page, "end") == "illegal, score 0"
    assert float(line(page, "return").split(",")[0]) == pytest.approx(-1)
    assert as_picture(env.state, 0).shape == made("masked", "rgb_array").render().shape


def test_a_reward_that_fails_can_still_be_looked_at():
    def moody(text, references):
        if text == "ab":
            raise ValueError("no \x1b[31mb")
        return float(len(text))

    env = made("Copy", reward=textgym.EveryStep(textgym.metric(moody)))
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(textgym.RewardError):
        env.step(1)
    assert "ValueError: no \\x1b[31mb" in " ".join(env.render().split())
    assert as_picture(env.state, 0).ndim == 3


# Text that nobody vouches for


@lru_cache
def bytes_env():
    env = made("byte_bpe")
    return env, as_picture(env.state, 0).shape


@settings(max_examples=50, deadline=None)
@given(prompt=st.text(max_size=1), reference=st.text(), ids=st.lists(st.integers(0, 255), max_size=40))
def test_nothing_reaches_the_terminal_but_colours(prompt, reference, ids):
    env, shape = bytes_env()
    env.reset(options={"prompt": prompt, "references": [reference]})
    for id in ids:
        env.step(id)
    assert all(c.isprintable() or c == "\n" for c in SGR.sub("", env.render()))
    assert "\n" not in as_text(env.state, 0, parts=("prompt",))
    assert as_picture(env.state, 0).shape == shape


@pytest.mark.parametrize("evil", ["\x1b[2J", "\x9b2J", "\r", "\b", "\x00", "\u202e", "\u2028", "\ud800"])
def test_controls_are_spelt_out(evil):
    assert visible(f"a{evil}b").isprintable()
    assert visible(f"a{evil}b").startswith("a") and visible(f"a{evil}b").endswith("b")


def test_tokens_are_shown_as_text_where_they_are_text():
    bpe = Vocabulary.byte_bpe(["the cat"], size=300)
    ids = bpe.encode("the cat\n\x1b你")
    assert token_texts(bpe, [*ids, bpe.eos])[-6:] == ["⏎", r"\x1b", r"\xe4", r"\xbd", "你", "<eos>"]
    assert "".join(token_texts(bpe, bpe.encode("the cat"))) == "the cat"
    assert token_texts(bpe, [*bpe.encode("你")[:1], *bpe.encode("a")]) == [r"\xe4", "a"]
    words = Vocabulary.words(["the cat sat"])
    assert token_texts(words, words.encode("the cat sat")) == ["the", " cat", " sat"]


def test_long_texts_are_wrapped_at_words_and_cut_in_pictures():
    env = made("byte_bpe")
    prompt, reference = "a" * 5, " ".join(["hello"] * 40)
    env.reset(options={"prompt": prompt, "references": [reference, "你" * 40]})
    lines = env.render().splitlines()
    assert all(sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in SGR.sub("", row)) <= 80 for row in lines)
    assert " ".join(row[12:].strip() for row in SGR.sub("", env.render()).splitlines()[6:-2]) == reference
    assert as_picture(env.state, 0).shape == made("byte_bpe", "rgb_array").render().shape


# The font


def test_every_glyph_is_its_own():
    glyphs = font.glyphs()
    assert glyphs.shape == (99, font.HEIGHT, font.WIDTH) and glyphs.dtype == bool
    assert len({glyph.tobytes() for glyph in glyphs}) == 99
    assert [i for i, glyph in enumerate(glyphs) if not glyph.any()] == [0]
    assert not glyphs[:, :, 5].any() and not glyphs[:, [0, -1]].any(), "letters and lines do not touch"


def test_other_characters():
    assert font.glyph("é") == font.glyph("e") and font.glyph("—") == font.glyph("-")
    assert font.glyph("你") == font.glyph("□") != font.glyph("?")
    assert font.glyph("\u0301") is None


def test_wide_characters_take_two_cells_and_show_their_code_points():
    pictures = {c: font.picture(c) for c in "a你好，龘🙂Ａé\u0301д□"}
    assert {c: len(cells) for c, cells in pictures.items()} == {
        "a": 1, "你": 2, "好": 2, "，": 2, "龘": 2, "🙂": 2, "Ａ": 2, "é": 1, "\u0301": 0, "д": 1, "□": 1,
    }  # fmt: skip
    assert all(cells.shape[1:] == (22, 12) and not cells.flags.writeable for cells in pictures.values())
    assert len({pictures[c].tobytes() for c in "你好龘🙂"}) == 4
    assert pictures["Ａ"].sum() == font.picture("A").sum()  # drawn as the letter it is
    assert pictures["д"].tobytes() == pictures["□"].tobytes()
    box = pictures["你"].swapaxes(0, 1).reshape(22, 24)  # 4F60
    for i, digit in enumerate("4F60"):
        y, x = 3 + 9 * (i // 2), 5 + 7 * (i % 2)
        assert np.array_equal(box[y : y + 7, x : x + 5], font.glyphs()[ord(digit) - 32, 1:8, :5])
    assert not box[[0, -1]].any() and not box[:, [0, -1]].any(), "boxes do not touch"
    assert [font.width(text) for text in ("", "abc", "你好a", "e\u0301")] == [0, 3, 5, 1]


def test_pages_of_wide_characters_have_frames_of_one_size():
    sizes, long = set(), "你好，世界" * 40
    env = gym.make("textgym/TranslationEnZh-v0", render_mode="rgb_array").unwrapped
    for prompt, references in [("five", ["五"]), ("a" * 63, [long, long]), ("", [])]:
        env.reset(options={"prompt": prompt, "references": references})
        for id in env.vocabulary.encode("下午三点五十五分ab"):
            env.step(int(id))
            assert all(sum(map(font.columns, row)) <= 80 for row in as_text(env.state, 0, colour=False).splitlines())
        sizes.add(env.render().shape)
    assert len(sizes) == 1


def test_payments_stand_under_wide_characters():
    env = gym.make("textgym/TranslationEnZh-v0", render_mode="ansi").unwrapped
    env.reset(options={"prompt": "x", "references": ["三点半"]})
    for id in env.vocabulary.encode("三点五"):
        env.step(int(id))
    assert as_text(env.state, 0, colour=False, parts=("text",)).splitlines() == [
        "text        三点五",
        "            ++++",
    ]


def test_texts_that_are_too_long_for_a_picture_are_cut_by_columns():
    env = gym.make("textgym/TranslationEnZh-v0", budget=800).unwrapped
    for written, reference in (("五ab", "你"), ("五", "a"), ("a", "你a")):
        env.reset(options={"prompt": "five", "references": [reference * 700]})
        for id in env.vocabulary.encode(written * 799)[:799]:
            env.step(int(id))
        picture = as_picture(env.state, 0)
        assert (picture[:, -8:] == BACKGROUND).all() and (picture[:, -80:-8] != BACKGROUND).any()


def test_pictures_have_a_free_margin():
    picture = as_picture(copying("abcde", "abcde").state, 0)
    for edge in (picture[:12], picture[-12:], picture[:, :8], picture[:, -8:]):
        assert (edge == BACKGROUND).all()
