"""Experiments: environments x rewards x agents, a fixed budget, a fixed analysis -> a figure and a verdict.

    python -m experiments list
    python -m experiments run ID|TAG|all|smoke [--agent KIND] [--seeds N] [--tune N] [--jobs N] [--launcher local|ray]
    python -m experiments run benchmarks                              one after the other, on a quiet machine
    python -m experiments report | plot [ID ...] [--folder DIR]       from records alone
    python -m experiments readme                                      the table of what is published

An experiment is a file of ``suite/``, found by being there: a docstring (what is asked; hypothesis, controls, what
would refute it), ``TAGS``, ``BUDGET`` (tokens a run), ``SEEDS``, ``SETTINGS`` ("arm" or "panel/arm" -> settings),
``SECONDS`` (of one core, by arm), ``SMOKE`` (settings by agent that make it tiny), ``PRIMARY`` (the one comparison
declared beforehand) and ``score(runs)`` (the number that each run is judged by). Of an arm's settings, ``agent`` names
a function of ``arms.py`` or a "module:function", ``init`` the arm from whose checkpoint of the same seed it starts; the
rest are its arguments. A run is (experiment, arm, seed) and leaves one record, whole or not at all: ``records.py``.
What has the same settings and seed elsewhere is made once, and has a record in each place: ``same.py``.

It may have ``SEARCH`` (arm -> flag -> list of values or ``search.LogUniform``): with ``--tune N`` each of these arms
has N trials, of which that with the highest score says how its runs are made (``tuning.py``); and ``QUICK`` (its panels
under the tag "quick").

``launch.py`` makes the runs; ``analysis.py``, ``plots.py`` and ``report.py`` say what the records say. A record that is
damaged, foreign, there twice, of other data, or missing, is refused by name.
"""
