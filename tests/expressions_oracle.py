"""Python itself as the oracle of textgym.expressions: its parser with a whitelist, and eval."""

import ast
import builtins
import io
import re
import tokenize
import warnings

from experiments.benchmarks.hostile_expressions import NAMES
from textgym.expressions.functions import FUNCTIONS

NODES = (
    (ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Subscript, ast.Slice, ast.Call)
    + (ast.keyword, ast.Attribute, ast.Name, ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.ListComp)
    + (ast.GeneratorExp, ast.comprehension, ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
)
NUMBER = re.compile("(0|[1-9][0-9]*)([.][0-9]+)?")
STRING = re.compile(r"""'([^'\\\n]|\\[\\'"nt])*'|"([^"\\\n]|\\[\\'"nt])*\"""")


def parsed(text):
    """The tree, None where Python does not take the text or warns of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return ast.parse(text, mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return None


def is_expression(text):
    """Whether ``eval`` would compile ``text``, and it is spelt as the language of textgym.expressions allows."""
    text = text.lstrip(" ")
    tree = parsed(text)
    if tree is None or any(c in text for c in "\n\t\f\\#") and not plain(text):
        return False
    bare_tuple = isinstance(tree.body, ast.Tuple) and isinstance(parsed(f"not {text}").body, ast.Tuple)
    return not bare_tuple and all(map(allowed, ast.walk(tree))) and plain(text)


def allowed(node):
    if isinstance(node, (ast.MatMult, ast.Is, ast.IsNot)) or not isinstance(node, NODES):
        return False
    if isinstance(node, ast.keyword):
        return node.arg is not None
    if isinstance(node, ast.comprehension):
        return not node.is_async
    if isinstance(node, ast.Dict):
        return None not in node.keys
    if isinstance(node, ast.Constant):
        return type(node.value) in (int, float, str, bool, type(None))
    if isinstance(node, ast.Tuple):
        empty_target = isinstance(node.ctx, ast.Store) and not node.elts
        return not empty_target and not any(isinstance(item, ast.Slice) for item in node.elts)
    return not isinstance(node, (ast.List, ast.Attribute, ast.Subscript)) or isinstance(node.ctx, ast.Load)


def plain(text):
    """Whether every token is spelt plainly, and nothing but spaces stands between them."""
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for token, following in zip(tokens, tokens[1:], strict=False):
        if token.type == tokenize.NUMBER:
            touching = token.end == following.start and following.type in (tokenize.NAME, tokenize.NUMBER)
            if touching or not NUMBER.fullmatch(token.string):
                return False
        if token.type == tokenize.NAME and not token.string.isascii():
            return False
        if token.type == tokenize.STRING:
            if following.type == tokenize.STRING or not STRING.fullmatch(token.string):
                return False
    between = "".join(t.string for t in tokens if t.type != tokenize.STRING)
    outside = re.sub(STRING, "", text)
    return not set("\n\t\f\\#") & set(between + outside)


BUILTINS = {name: getattr(builtins, name) for name in FUNCTIONS}


def evaluated(text, names=NAMES):
    """(value, None), or (None, the exception), by Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is wrong as to types
        try:
            return eval(text, {"__builtins__": BUILTINS, **names}), None  # comprehensions see globals only
        except Exception as error:
            return None, error


# expressions that are right as to types, most of the time; words in capitals stand for one of their forms
FORMS = """
ANY: NUMBER | LIST | TEXT | WORDS | TRUTH | PAIRS
INT: k | 3 | 0 | 7 | 12 | -1 | len(s) | 2.5 | x[0] | True
COMPARED: == | != | < | <= | > | >=
NUMBER: (NUMBER + NUMBER) | (NUMBER - NUMBER) | (NUMBER * NUMBER) | (NUMBER // NUMBER) | (NUMBER % NUMBER)
  | (NUMBER / NUMBER) | (NUMBER & NUMBER) | (NUMBER @ NUMBER) | (NUMBER ^ NUMBER) | (NUMBER << INT) | (NUMBER >> INT)
  | (NUMBER ** INT) | -NUMBER | +NUMBER | ~NUMBER | abs(NUMBER) | int(NUMBER) | round(NUMBER) | sum(LIST) | len(LIST)
  | max(LIST) | min(LIST) | (NUMBER if TRUTH else NUMBER) | LIST[INT] | TEXT.count(STR) | TEXT.find(STR)
  | TEXT.index(STR) | LIST.count(INT) | LIST.index(INT) | ord(TEXT[0]) | int('12') | int(' 7 ') | int(STR)
  | int(str(NUMBER)) | max(NUMBER, NUMBER, key=abs) | min(NUMBER, INT) | max(LIST, default=INT) | d.get(STR, INT)
LST: x | [] | [1, 2] | [0, 5, 5] | list(range(4))
LIST: [NUMBER for n in LIST] | [n * NUMBER for n in LIST if n COMPARED INT]
  | [n + m for n in LIST for m in LST if TRUTH]
  | [n for n in [n for n in LIST for m in [n]] if n] | [a - b for a, b in zip(LIST, LIST)] | range(INT)[SLICE]
  | [i * n for i, n in enumerate(LIST, INT)] | sorted(LIST) | sorted(LIST, reverse=True) | sorted(LIST, key=abs)
  | sorted(LIST, key=str, reverse=1) | LIST[SLICE] | (LIST + LIST) | (LIST * INT) | list(map(abs, LIST))
  | list(map(len, WORDS)) | list(filter(None, LIST)) | list(filter(abs, LIST)) | list(reversed(LIST))
  | list(range(INT, INT, INT)) | sum([LIST, LIST], []) | [b for a in LIST for b in [a, a]] | [x for x in x for k in [x]]
END: | 0 | 1 | 2 | -1 | -3 | 99 | k | 1000000000000000000000000000000 | None
SLICE: END:END | END:END:END
STR: s | '' | 'a' | "b c" | 'a\\'b' | ' x ' | 'Ab' | '12' | 'a\\n\\tb'
TEXT: TEXT.upper() | TEXT.lower() | TEXT.title() | TEXT.capitalize() | TEXT.swapcase() | TEXT.strip() | TEXT.lstrip(STR)
  | TEXT.rstrip() | TEXT.removeprefix(STR) | TEXT.removesuffix(STR) | TEXT.replace(STR, TEXT) | TEXT.zfill(INT)
  | TEXT.replace(STR, TEXT, INT) | TEXT.ljust(INT) | TEXT.rjust(INT, 'x') | TEXT.center(NUMBER) | STR.join(WORDS)
  | ''.join(c for c in TEXT if TRUTH) | TEXT[SLICE] | (TEXT + TEXT) | (TEXT * INT) | str(ANY) | WORDS[INT]
  | max(WORDS, key=len, default='') | min(WORDS) | chr(INT + 97) | (TEXT or STR) | STR
WRD: w | [] | ['a', 'b'] | s.split()
WORDS: TEXT.split() | TEXT.split(STR) | TEXT.split(None, 1) | [w[::-1] for w in WORDS]
  | sorted(WORDS, key=len, reverse=bool(TRUTH))
  | [c + STR for w in WORDS for c in w if TRUTH] | list(map(str, LIST)) | list(TEXT)
  | sorted(d.keys(), reverse=True) | WRD
TRUTH: True | False | k > 1 | not x | k in x | 'a' in s | (NUMBER COMPARED NUMBER COMPARED INT) | (ANY == ANY)
  | (TEXT COMPARED TEXT) | (LIST COMPARED LIST) | (INT in LIST) | (INT not in LIST) | (STR in TEXT) | (STR not in WORDS)
  | (INT in (n for n in LIST)) | (ANY and ANY) | (ANY or ANY) | (not ANY) | any(INT // n for n in LIST)
  | all(INT // n for n in LIST) | TEXT.startswith(STR) | TEXT.endswith(('a', 'b')) | TEXT.isdigit() | TEXT.isalpha()
  | TEXT.isupper() | TEXT.islower() | TEXT.isalnum() | TEXT.isspace() | bool(ANY) | (PAIRS == PAIRS)
PAIRS: (NUMBER, TEXT) | tuple(LIST) | list(zip(WORDS, LIST)) | {TEXT: NUMBER, INT: LIST} | d[STR] | t[INT] | t + t
  | sorted([(k, v) for k, v in {'b': 1, 'a': NUMBER}.items()]) | [(i, j) for i, (j, n) in enumerate(zip(TEXT, LIST))]
"""
CHOICES = {
    name: [form.strip().replace("@", "|") for form in forms.split("|")]
    for name, forms in (line.split(":", 1) for line in FORMS.replace("\n  ", " ").strip().split("\n"))
}
SMALL = {"NUMBER": "INT", "LIST": "LST", "TEXT": "STR", "WORDS": "WRD"}


def random_expression(rng, size=12):
    """One of the forms of ANY, grown in ``size`` places at most."""
    text = "ANY"
    while places := list(re.finditer("[A-Z]{3,}", text)):
        place = places[int(rng.random() * len(places))]
        name = place[0]
        if size <= 0:
            name = SMALL.get(name, name)
        forms = CHOICES[name]
        size -= 1
        text = text[: place.start()] + forms[int(rng.random() * len(forms))] + text[place.end() :]
    return text
