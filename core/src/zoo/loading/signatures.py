"""The arguments that a function's ``**kwargs`` accept: those of the functions that it passes them to.

A builder's body is one call, ``ResNet(Bottleneck, [3, 4, 6, 3], **kwargs)``. Its keyword arguments are then those of
``ResNet`` that the call does not give. They are read from the source, on demand.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import textwrap
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from inspect import Parameter
from typing import Any, NamedTuple

from zoo.errors import InvalidKind, suggest
from zoo.loading.without_memory import filled_by_file

OF_ALL: dict[str, Any] = {"weights": None, "progress": True, "mmap": None}  # arguments of every builder

_trying: ContextVar[bool] = ContextVar("trying", default=False)


class Taken(NamedTuple):
    """The keyword arguments of a function, and the function or class that each belongs to.

    If the arguments of ``**kwargs`` are not known, ``**kwargs`` is among them.
    """

    parameters: dict[str, Parameter]
    owners: dict[str, Any]

    @property
    def complete(self) -> bool:
        """Whether there are no other arguments."""
        return self.rest is None

    @property
    def rest(self) -> str | None:
        """The name of the parameter for other arguments, ``kwargs``."""
        return next((name for name, p in self.parameters.items() if p.kind is p.VAR_KEYWORD), None)


def signature_of(function: Any) -> inspect.Signature:
    """The signature of the builder that is made from ``function``."""
    own = [
        p if p.kind is p.VAR_KEYWORD else p.replace(kind=p.KEYWORD_ONLY)
        for name, p in taken_by(function).parameters.items()
        if name not in OF_ALL
    ]
    extra = [Parameter(name, Parameter.KEYWORD_ONLY, default=default) for name, default in OF_ALL.items()]
    return inspect.Signature(sorted([*extra, *own], key=lambda p: p.kind))


def check_names(function: Any, given: Mapping[str, Any]) -> None:
    """Check that a builder takes the arguments in ``given``, before anything is downloaded for it.

    Raises:
        InvalidKind: a name is not that of an argument.
    """
    if _trying.get():  # a builder inside the one that is tried
        return
    taken = taken_by(function)
    unknown = [name for name in given if name not in taken.parameters]
    if not unknown:
        return
    token = _trying.set(True)
    try:  # the source may not show all arguments; then the call is tried with the remaining ones
        with filled_by_file():
            function(**(dict.fromkeys(unknown) if taken.complete else given))
    except TypeError as e:
        told = isinstance(e, InvalidKind) or "keyword argument" in str(e)
        refused = [name for name in unknown if re.search(rf"\b{re.escape(name)}\b", str(e))]
        if not told or not (refused or taken.complete):
            return
        known = [*OF_ALL, *(n for n in taken.parameters if n not in OF_ALL and n != taken.rest)]
        name, rest = (refused or unknown)[0], "" if taken.complete else ", and others that it passes on"
        near = suggest(name, known, 1)
        raise InvalidKind(
            f"{function.__name__} takes no argument {name!r}.{near} It takes {', '.join(known)}{rest}."
        ) from e
    except Exception:  # noqa: BLE001  None is an invalid value, but the name is accepted
        return
    finally:
        _trying.reset(token)


def _once(read: Callable[..., Taken]) -> Callable[..., Taken]:
    """Cache the results of ``read``, and return nothing for a recursive call: a function that passes its arguments to
    itself, directly or through others, accepts no further arguments by that.

    Results inside a recursion are not cached: they lack the arguments of the functions above.
    """
    known: dict[Any, Taken] = {}
    asked = threading.local()

    @functools.wraps(read)
    def ask(*key: Any) -> Taken:
        if key in known:
            return known[key]
        stack = asked.__dict__.setdefault("stack", [])
        if key in stack:
            asked.first = min(asked.first, stack.index(key))  # the outermost function that is part of the recursion
            return Taken({}, {})
        if not stack:
            asked.first = sys.maxsize
        stack.append(key)
        try:
            found = read(*key)
        finally:
            stack.pop()
        if asked.first >= len(stack):
            known[key], asked.first = found, sys.maxsize
        return found

    ask.cache_clear = known.clear  # type: ignore[attr-defined]
    return ask


@_once
def taken_by(function: Any, of: type | None = None, made: type | None = None) -> Taken:
    """The arguments of ``function``, or of a class's constructor.

    For a method, ``of`` is its class and ``made`` the class of the object, whose method resolution order is used.
    """
    if isinstance(function, type):
        return _taken_by_init(function, function.__mro__)
    shown = inspect.signature(function).parameters
    parameters = {name: p for name, p in shown.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    owners = dict.fromkeys(parameters, of or function)
    rest = next((p for p in shown.values() if p.kind is p.VAR_KEYWORD), None)
    if rest is not None:
        targets = _targets(function, of, made)
        for found in targets:
            for name, p in found.parameters.items():
                if name not in parameters:
                    parameters[name], owners[name] = p, found.owners[name]
        if not targets:
            parameters[rest.name], owners[rest.name] = rest, function
    return Taken(parameters, owners)


def _taken_by_init(made: type, bases: Sequence[type]) -> Taken:
    """The arguments of the first ``__init__`` of ``bases``, for an object of ``made``."""
    own = next((base for base in bases if "__init__" in vars(base)), object)
    if own is object:
        return Taken({}, {})
    found = taken_by(vars(own)["__init__"], own, made)
    parameters = dict(list(found.parameters.items())[1:])  # without self
    return Taken(parameters, {name: found.owners[name] for name in parameters})


def _targets(
    function: Any, of: type | None, made: type | None, rest: str | None = None, passed: frozenset[Any] = frozenset()
) -> list[Taken]:
    """The arguments of each call that ``function`` passes its keyword arguments to, without those that the call gives
    itself.

    ``rest`` is the parameter that contains them, by default ``**kwargs``; ``passed``, the functions that passed them as
    an argument before. None if they are passed to something unknown.
    """
    inner = inspect.unwrap(function)
    if inner in passed:
        return []
    try:
        definition = ast.parse(textwrap.dedent(inspect.getsource(inner))).body[0]
    except (OSError, TypeError, SyntaxError):
        return []
    arguments = getattr(definition, "args", None)
    held, own = getattr(arguments, "kwarg", None), getattr(getattr(arguments, "vararg", None), "arg", None)
    if rest is None and held is None:
        return []
    names: set[str] = {rest or held.arg}  # type: ignore[union-attr]
    for node in ast.walk(definition):  # options = {"groups": 2, **kwargs}
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _holds(node.value, names):
            names.add(node.targets[0].id)
    found = []
    for call in ast.walk(definition):
        if not isinstance(call, ast.Call):
            continue
        place = next((i for i, a in enumerate(call.args) if isinstance(a, ast.Name) and a.id in names), None)
        if place is not None:
            called = _value(call.func, inner)
            parameters = list(inspect.signature(called).parameters) if inspect.isfunction(called) else []
            if place < len(parameters):
                found += _targets(called, None, None, parameters[place], passed | {inner})
        elif any(k.arg is None and _holds(k.value, names) for k in call.keywords):
            target = _resolved(call.func, inner, of, made)
            if target is None:
                return []
            by_place = sum(not isinstance(a, ast.Starred) for a in call.args)
            places = [n for n, p in target.parameters.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
            others = [_value(k.value, inner) for k in call.keywords if k.arg is None and not _holds(k.value, names)]
            # Unpacked values give at least the arguments without default; a function's own *args come from its callers.
            starred = any(isinstance(a, ast.Starred) and getattr(a.value, "id", "") != own for a in call.args)
            given = {
                *(n for n in places if starred and target.parameters[n].default is inspect.Parameter.empty),
                *places[:by_place],
                *(k.arg for k in call.keywords),
                *(n for v in others if isinstance(v, Mapping) for n in v),
            }
            left = {n: p for n, p in target.parameters.items() if n not in given}
            found.append(Taken(left, {n: target.owners[n] for n in left}))
    return found


def _holds(value: ast.expr, names: set[str]) -> bool:
    """Whether a node is one of ``names``, or a dict into which one of them is unpacked."""
    if isinstance(value, ast.Dict):
        return any(key is None and _holds(v, names) for key, v in zip(value.keys, value.values, strict=True))
    return isinstance(value, ast.Name) and value.id in names


def _value(called: ast.expr, function: Any) -> Any:
    """The object of a name in a function, possibly with dots; None if it is not known."""
    variables = inspect.getclosurevars(function)
    root, *path = ast.unparse(called).split(".")
    value = {**variables.builtins, **variables.globals, **variables.nonlocals}.get(root)
    for name in path:
        value = getattr(value, name, None)
    return value


def _resolved(called: ast.expr, function: Any, of: type | None, made: type | None) -> Taken | None:
    if ast.unparse(called) == "super().__init__" and of is not None and made is not None:
        return _taken_by_init(made, made.__mro__[made.__mro__.index(of) + 1 :])
    value = _value(called, function)
    return taken_by(value) if callable(value) else None
