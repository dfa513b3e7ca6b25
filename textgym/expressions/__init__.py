"""Python expressions as data: which texts are expressions, which can become one, and what value they have.

Nothing is compiled or executed: an interpreter goes through the tree of a whitelisted part of the language, and counts
every step and the size of every value.
"""

from textgym.expressions.endings import ending
from textgym.expressions.interpreter import Expression
from textgym.expressions.syntax import BEGINNING, Prefix, extend, is_complete
from textgym.expressions.values import ExpressionError, identical

__all__ = ["BEGINNING", "Expression", "ExpressionError", "Prefix", "ending", "extend", "identical", "is_complete"]
