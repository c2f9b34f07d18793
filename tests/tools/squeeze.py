"""Code that packs into one line what is read more easily in two, found in its syntax tree."""

import ast
from collections.abc import Iterator

_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_LISTS = ast.ListComp | ast.SetComp | ast.GeneratorExp
_PAIRS = ast.Tuple | ast.List
_CONSUMERS = ("all", "any", "deque", "list", "set", "sum", "tuple")


def squeezed(tree: ast.Module) -> Iterator[str]:
    """Yield a line's number and what is packed into it, for each fault."""
    for node in ast.walk(tree):
        where = f"line {getattr(node, 'lineno', 0)}"
        for rule, fault in RULES.items():
            if rule(node):
                yield f"{where}: {fault}"
        yield from (f"line {line}: two statements" for line in _lines_of_two(node))


def _packs_assignments(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Assign) and isinstance(node.value, _PAIRS)):
        return False
    return any(isinstance(target, _PAIRS) for target in node.targets)


def _loops_twice(node: ast.AST) -> bool:
    return isinstance(node, _COMPREHENSIONS) and len(node.generators) > 1


def _loops_for_a_side_effect(node: ast.AST) -> bool:
    if not isinstance(node, ast.Expr):
        return False
    value = node.value
    if isinstance(value, ast.Call) and len(value.args) == 1 and _name(value.func) in _CONSUMERS:
        value = value.args[0]
    return isinstance(value, _LISTS) and isinstance(value.elt, ast.Call)


def _picks_a_check_by_number(node: ast.AST) -> bool:
    if not isinstance(node, ast.Subscript) or isinstance(node.slice, ast.Name):
        return False
    by_name = isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
    return _name(node.value) == "checks" and not by_name


def _name(node: ast.expr) -> str:
    """Return a variable's or an attribute's name."""
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _lines_of_two(node: ast.AST) -> list[int]:
    """Return the lines of a node's body on which two statements begin."""
    found: set[int] = set()
    for part in ("body", "orelse", "finalbody"):
        body = getattr(node, part, None)
        lines = [statement.lineno for statement in body] if isinstance(body, list) else []
        found |= {line for line in lines if lines.count(line) > 1}
    return sorted(found)


RULES = {
    _packs_assignments: "two assignments in one",
    _loops_twice: "a comprehension with two loops",
    _loops_for_a_side_effect: "a comprehension for its side effect",
    _picks_a_check_by_number: "a check picked by its number",
}
