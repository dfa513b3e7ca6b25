"""The value of an expression, found node by node of its tree, with every step counted."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from textgym.expressions.functions import FUNCTIONS, METHODS
from textgym.expressions.operators import BINARY, COMPARISONS, UNARY
from textgym.expressions.syntax import BEGINNING, extend, is_complete, wanted
from textgym.expressions.values import ExpressionError, size_of

MAX_LENGTH = 1_000
MAX_DEPTH = 50
MAX_STEPS = 5_000


class Expression:
    """A text as an expression, ready to be evaluated.

    The text is read by Python's own parser, after :mod:`textgym.expressions.syntax` has found it to be one, and its
    tree is gone through here: nothing is compiled. What it can use is a whitelist: the names it is given, the
    functions ``FUNCTIONS`` and the methods ``METHODS``. As in Python's ``eval``, values and types included, with
    these exceptions: ``sum`` adds floats one after the other, as Python did before 3.12; an iterator (``zip``, a
    generator, ...) can be gone through at once, but not kept in a list, compared or returned; methods take no
    keywords; dict views are iterators.

    Args:
        text: the expression.

    Raises:
        ExpressionError: the text is none, has more than ``MAX_LENGTH`` characters or more than ``MAX_DEPTH`` levels.
    """

    def __init__(self, text: str):
        if len(text) > MAX_LENGTH:
            raise ExpressionError(f"an expression has at most {MAX_LENGTH:,} characters, got {len(text):,}")
        if not is_complete(extend(BEGINNING, text)):
            raise ExpressionError(_why_not(text))
        try:
            self.tree = ast.parse(text.lstrip(" "), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ExpressionError(f"Python does not read it: {type(error).__name__}: {error}") from error
        level, depth = [self.tree], 0
        while level:
            level, depth = [child for node in level for child in ast.iter_child_nodes(node)], depth + 1
        if depth > MAX_DEPTH:
            raise ExpressionError(f"the expression is nested more than {MAX_DEPTH} deep")

    def evaluate(self, names: Mapping[str, Any]) -> Any:
        """The value, with ``names`` as variables. It may share lists with theirs.

        Raises:
            ExpressionError: there is no value, or finding it takes more than ``MAX_STEPS`` steps, or a value on
                the way is too large (:func:`~textgym.expressions.values.size_of`). No other exception.
        """
        return Interpreter().run(self.tree, names)


def _why_not(text: str) -> str:
    prefix = BEGINNING
    for i, character in enumerate(text):
        longer = extend(prefix, character)
        if longer is None:
            return f"{character!r} at {i} is out of place: there should be {wanted(prefix)}"
        prefix = longer
    return f"the expression is unfinished: there should be more, {wanted(prefix)}"


class Interpreter:
    """One evaluation.

    Attributes:
        steps: what it has cost: one for every node visited and item gone through, and the size of what was made.
    """

    def __init__(self):
        self.steps = 0

    def run(self, tree: ast.expr, names: Mapping[str, Any]) -> Any:
        try:
            for value in names.values():
                size_of(value)
            value = self.value(tree, dict(names))
            self.spend(size_of(value))
            return value
        except ExpressionError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError, MemoryError) as error:
            raise ExpressionError(f"{type(error).__name__}: {error}") from error

    def spend(self, steps: int) -> None:
        """Pay for what comes next; raises instead where that is too much."""
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise ExpressionError(f"the expression takes more than {MAX_STEPS:,} steps")

    def kept(self, value: Any) -> Any:
        """``value``, which was newly made, paid for."""
        self.spend(size_of(value))
        return value

    def items(self, value: Any) -> Iterator[Any]:
        """What ``for`` goes through, paid for one by one."""
        if not isinstance(value, (str, list, tuple, dict, range, Iterator)):
            raise ExpressionError(f"a {type(value).__name__} has no items to go through")
        return self._paid(value)

    def _paid(self, value: Any) -> Iterator[Any]:
        for item in value:
            self.spend(1)
            yield item

    def call(self, function: Any, arguments: Sequence[Any], keywords: Mapping[str, Any] | None = None) -> Any:
        if id(function) not in _CALLABLE:
            raise ExpressionError(f"a {type(function).__name__} cannot be called")
        return function(self, *arguments, **(keywords or {}))

    def value(self, node: ast.expr, names: dict[str, Any]) -> Any:
        """The value of a node; ``names`` are the variables there."""
        self.spend(1)
        visit = _NODES.get(type(node))
        if visit is None:
            raise ExpressionError(f"{type(node).__name__} is no part of an expression here")
        return visit(self, node, names)

    # one method for every kind of node

    def constant(self, node: ast.Constant, names):
        return self.kept(node.value)

    def name(self, node: ast.Name, names):
        if node.id in names:
            return names[node.id]
        if node.id in FUNCTIONS:
            return FUNCTIONS[node.id]
        raise ExpressionError(f"there is no name {node.id!r}; the names are: {', '.join([*names, *FUNCTIONS])}")

    def list_of(self, node: ast.List, names):
        return self.kept([self.value(item, names) for item in node.elts])

    def tuple_of(self, node: ast.Tuple, names):
        return self.kept(tuple([self.value(item, names) for item in node.elts]))

    def dict_of(self, node: ast.Dict, names):
        pairs = zip(node.keys, node.values, strict=True)
        return self.kept({self.value(key, names): self.value(value, names) for key, value in pairs})

    def unary(self, node: ast.UnaryOp, names):
        return self.kept(UNARY[type(node.op)](self.value(node.operand, names)))

    def binary(self, node: ast.BinOp, names):
        return self.kept(BINARY[type(node.op)](self.value(node.left, names), self.value(node.right, names)))

    def boolean(self, node: ast.BoolOp, names):
        decided = isinstance(node.op, ast.Or)
        for operand in node.values:
            value = self.value(operand, names)
            if bool(value) is decided:
                break
        return value

    def comparison(self, node: ast.Compare, names):
        left = self.value(node.left, names)
        for kind, operand in zip(node.ops, node.comparators, strict=True):
            right = self.value(operand, names)
            if not (holds := self.compare(type(kind), left, right)):
                break
            left = right
        return holds

    def compare(self, kind: type[ast.cmpop], left: Any, right: Any) -> bool:
        self.spend(size_of(left))
        if kind in COMPARISONS:
            self.spend(size_of(right))
            return COMPARISONS[kind](left, right)
        if isinstance(right, Iterator):
            found = any(self.compare(ast.Eq, left, item) for item in self.items(right))
        else:
            self.spend(size_of(right))
            found = left in right
        return found is (kind is ast.In)

    def condition(self, node: ast.IfExp, names):
        return self.value(node.body if self.value(node.test, names) else node.orelse, names)

    def subscript(self, node: ast.Subscript, names):
        value = self.value(node.value, names)
        if isinstance(node.slice, ast.Slice):
            parts = [node.slice.lower, node.slice.upper, node.slice.step]
            return self.kept(value[slice(*[part and self.value(part, names) for part in parts])])
        return value[self.value(node.slice, names)]

    def called(self, node: ast.Call, names):
        keywords = {keyword.arg: self.value(keyword.value, names) for keyword in node.keywords}
        if not isinstance(node.func, ast.Attribute):
            function = self.value(node.func, names)
            return self.call(function, [self.value(argument, names) for argument in node.args], keywords)
        owner, name = self.value(node.func.value, names), node.func.attr
        methods = METHODS.get(type(owner), {})
        if name not in methods:
            known = ", ".join(methods) or "none"
            raise ExpressionError(f"a {type(owner).__name__} has no method {name!r} here; its methods are: {known}")
        if keywords:
            raise ExpressionError(f"methods take no keywords, got {', '.join(keywords)}")
        return methods[name](self, owner, *[self.value(argument, names) for argument in node.args])

    def attribute(self, node: ast.Attribute, names):
        raise ExpressionError(f"attributes are there to be called, as methods: .{node.attr}(...)")

    def list_comprehension(self, node: ast.ListComp, names):
        return self.kept(list(self.comprehension(node, names)))

    def comprehension(self, node: ast.ListComp | ast.GeneratorExp, names) -> Iterator[Any]:
        clauses = node.generators
        first = self.items(self.value(clauses[0].iter, names))  # in the names outside, and at once
        targets = {name.id for clause in clauses for name in ast.walk(clause.target) if isinstance(name, ast.Name)}
        inside = {name: value for name, value in names.items() if name not in targets}

        def go(i: int, items: Iterator[Any]) -> Iterator[Any]:
            for item in items:
                self.assign(clauses[i].target, item, inside)
                if not all(self.value(condition, inside) for condition in clauses[i].ifs):
                    continue
                if i + 1 == len(clauses):
                    yield self.value(node.elt, inside)
                else:
                    yield from go(i + 1, self.items(self.value(clauses[i + 1].iter, inside)))

        return go(0, first)

    def assign(self, target: ast.expr, value: Any, names: dict[str, Any]) -> None:
        if isinstance(target, ast.Name):
            names[target.id] = value
            return
        values = list(self.items(value))
        if len(values) != len(target.elts):
            raise ExpressionError(f"{len(values)} values cannot be unpacked to {len(target.elts)} names")
        for each, item in zip(target.elts, values, strict=True):
            self.assign(each, item, names)


_CALLABLE = frozenset(map(id, FUNCTIONS.values()))
_NODES: dict[type[ast.expr], Callable[[Interpreter, Any, dict[str, Any]], Any]] = {
    ast.Constant: Interpreter.constant,
    ast.Name: Interpreter.name,
    ast.List: Interpreter.list_of,
    ast.Tuple: Interpreter.tuple_of,
    ast.Dict: Interpreter.dict_of,
    ast.UnaryOp: Interpreter.unary,
    ast.BinOp: Interpreter.binary,
    ast.BoolOp: Interpreter.boolean,
    ast.Compare: Interpreter.comparison,
    ast.IfExp: Interpreter.condition,
    ast.Subscript: Interpreter.subscript,
    ast.Call: Interpreter.called,
    ast.Attribute: Interpreter.attribute,
    ast.ListComp: Interpreter.list_comprehension,
    ast.GeneratorExp: Interpreter.comprehension,
}
