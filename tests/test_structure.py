"""The house: who may import whom, and that importing textgym stays light."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import textgym

ROOT = Path(textgym.__file__).parent.parent
# each may import what stands before it, and its own kind
ORDER = [
    "textgym.arrays textgym.errors textgym.running",
    "textgym.tokenizers textgym.streaming textgym.words",
    "textgym.episode",
    "textgym.replay",
    "textgym.ngram",
    "textgym.expressions",
    "textgym.metrics",
    "textgym.tasks",
    "textgym.rewards",
    "textgym.envs",
    "textgym.registration",
    "textgym",
    "textgym.testing",
    "textgym.__main__ textgym.commands",
    "textgym.sb3",
    "agents",
    "experiments",
]
PLACE = {name: place for place, names in enumerate(ORDER) for name in names.split()}
HEAVY = ["torch", "stable_baselines3", "sb3_contrib", "transformers", "matplotlib", "pandas", "scipy", "tensorboard"]
HEAVY += ["datasets", "pyarrow"]
FILES = [file for folder in ("textgym", "agents", "experiments") for file in sorted((ROOT / folder).rglob("*.py"))]


def name_of(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def place_of(module):
    """Where in the order a module stands, None where it is not ours."""
    parts = module.split(".")
    if parts[0] not in ("textgym", "agents", "experiments"):
        return None
    return next(PLACE[name] for n in range(len(parts), 0, -1) if (name := ".".join(parts[:n])) in PLACE)


def imported(file):
    """(line, module) of every import in a file, inside functions too; ``from textgym import x`` may mean textgym.x."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = (ROOT / inner.replace(".", "/")).is_dir() or (
                    ROOT / (inner.replace(".", "/") + ".py")
                ).exists()
                yield node.lineno, inner if is_module else node.module


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_modules_import_only_what_stands_to_their_left(file):
    own = place_of(name_of(file))
    for line, module in imported(file):
        place = place_of(module)
        assert place is None or place <= own, f"{file}:{line}: {name_of(file)} must not import {module}"


def test_every_module_has_a_place():
    for file in FILES:
        name = name_of(file)
        assert place_of(name) != PLACE["textgym"] or name == "textgym", f"give {name} a place in ORDER"


def run(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_importing_textgym_and_playing_loads_nothing_heavy():
    loaded = run(f"""
import json, sys
import textgym, gymnasium
env = gymnasium.make_vec("textgym/Brackets-v0", num_envs=2, mask="task", metrics=["cer"])
env.reset(seed=0)
env.step(env.action_space.sample())
print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
""")
    assert loaded == []


def test_an_id_can_be_made_without_importing_textgym_first():
    code = """
import json, sys, gymnasium
before = "textgym" in sys.modules
env = gymnasium.make("textgym:textgym/Copy-v0")
print(json.dumps([before, env.spec.id]))
"""
    assert run(code) == [False, "textgym/Copy-v0"]


def test_public_names_are_at_the_top():
    for name in textgym.__all__:
        assert hasattr(textgym, name)
    classes = "Episode Step Task Metric BatchMetric RewardFunction RewardState Terminal Delta EveryStep EditDistance"
    functions = "metric make_metric make_reward make_task register Vocabulary InvalidAction ResetNeeded RewardError"
    assert set(classes.split() + functions.split()) <= set(textgym.__all__)
    for name in classes.split() + functions.split():
        assert (getattr(textgym, name).__doc__ or "").strip()
