"""What a function's ``**kwargs`` stand for: the arguments of what it passes them on to.

A builder's body is one call, ``ResNet(Bottleneck, [3, 4, 6, 3], **kwargs)``. What may be said by name is then what
``ResNet`` takes and the call does not give. This is read from the source, when somebody asks.
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
    """The arguments of a function that can be given by name, and the function or class that each is of.

    Where it is not known what ``**kwargs`` stand for, they are among them.
    """

    parameters: dict[str, Parameter]
    owners: dict[str, Any]

    @property
    def complete(self) -> bool:
        """Whether there are no others."""
        return self.rest is None

    @property
    def rest(self) -> str | None:
        """The name of what holds others, ``kwargs``."""
        return next((name for name, p in self.parameters.items() if p.kind is p.VAR_KEYWORD), None)


def signature_of(function: Any) -> inspect.Signature:
    """The signature of the builder that ``function`` is made into."""
    own = [
        p if p.kind is p.VAR_KEYWORD else p.replace(kind=p.KEYWORD_ONLY)
        for name, p in taken_by(function).parameters.items()
        if name not in OF_ALL
    ]
    extra = [Parameter(name, Parameter.KEYWORD_ONLY, default=default) for name, default in OF_ALL.items()]
    return inspect.Signature(sorted([*extra, *own], key=lambda p: p.kind))


def check_names(function: Any, given: Mapping[str, Any]) -> None:
    """Whether a builder takes arguments of the names in ``given``, before anything is downloaded for it.

    Raises:
        InvalidKind: a name is of none.
    """
    if _trying.get():  # a builder inside the one that is tried
        return
    taken = taken_by(function)
    unknown = [name for name in given if name not in taken.parameters]
    if not unknown:
        return
    token = _trying.set(True)
    try:  # the source may say less than is so; where it does not say all, what is left over counts by its value
        with filled_by_file():
            function(**(dict.fromkeys(unknown) if taken.complete else given))
    except TypeError as e:
        told = isinstance(e, InvalidKind) or "keyword argument" in str(e)
        refused = [name for name in unknown if re.search(rf"\b{re.escape(name)}\b", str(e))]
        if not told or not (refused or taken.complete):
            return
        known = [*OF_ALL, *(n for n in taken.parameters if n not in OF_ALL and n != taken.rest)]
        name, rest = (refused or unknown)[0], "" if taken.complete else ", and what it passes on"
        near = suggest(name, known, 1)
        raise InvalidKind(
            f"{function.__name__} takes no argument {name!r}.{near} It takes {', '.join(known)}{rest}."
        ) from e
    except Exception:  # noqa: BLE001  of None as a value: the name is taken
        return
    finally:
        _trying.reset(token)


def _once(read: Callable[..., Taken]) -> Callable[..., Taken]:
    """Keep what ``read`` gives, and give nothing where it asks for itself: a function that passes its arguments on to
    itself, or round by others, takes no more by that.

    What was read on the way round is not kept: it lacks what the functions above it take.
    """
    known: dict[Any, Taken] = {}
    asked = threading.local()

    @functools.wraps(read)
    def ask(*key: Any) -> Taken:
        if key in known:
            return known[key]
        stack = asked.__dict__.setdefault("stack", [])
        if key in stack:
            asked.first = min(asked.first, stack.index(key))  # that is asked for by what it asks for
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
    """The arguments of ``function``, or of making an object of a class.

    Where it is a method, ``of`` is its class and ``made`` that of the object, whose order of bases counts.
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
    """What the first ``__init__`` of ``bases`` takes, for an object of ``made``."""
    own = next((base for base in bases if "__init__" in vars(base)), object)
    if own is object:
        return Taken({}, {})
    found = taken_by(vars(own)["__init__"], own, made)
    parameters = dict(list(found.parameters.items())[1:])  # without self
    return Taken(parameters, {name: found.owners[name] for name in parameters})


def _targets(
    function: Any, of: type | None, made: type | None, rest: str | None = None, passed: frozenset[Any] = frozenset()
) -> list[Taken]:
    """What each call takes that ``function`` passes its keyword arguments to, less what the call gives itself.

    ``rest`` is the argument that holds them, by default ``**kwargs``; ``passed``, the functions that passed them on in
    an argument before. None, where something that is unknown has them.
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
            # What is unpacked gives at least what has no default; a function's own *args are its callers'.
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
    """Whether it is one of ``names``, or a dict with one of them unpacked in it."""
    if isinstance(value, ast.Dict):
        return any(key is None and _holds(v, names) for key, v in zip(value.keys, value.values, strict=True))
    return isinstance(value, ast.Name) and value.id in names


def _value(called: ast.expr, function: Any) -> Any:
    """What a name means in a function, also one with dots in it; None where that is not known."""
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
