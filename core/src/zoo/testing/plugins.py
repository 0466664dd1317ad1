"""The checks that import the other objects of a plugin: steps of tasks, commands, engines, formats."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from zoo.contract import API_VERSION, Manifest, Task, TaskSpec, load_object, short
from zoo.registry import PluginRecord
from zoo.testing.contract import raise_for
from zoo.testing.outcomes import Skip

STEPS = tuple(name for name in vars(Task) if not name.startswith("_"))
NEEDED = ("load", "transform", "collate", "decode", "example")  # steps that every task must implement


def tasks(record: PluginRecord) -> str | None:
    if record.manifest is None or not (record.manifest.tasks or record.manifest.provides):
        raise Skip("the plugin defines no task")
    problems = [f"{task.name}: {problem}" for task in record.manifest.tasks for problem in _task_problems(task)]
    for (task, verb), target in record.manifest.provides.items():
        problems += [f"{task}: its object for {verb!r}: {problem}" for problem in _import_problems(target)]
    raise_for(problems)
    return None


def _task_problems(task: TaskSpec) -> Iterator[str]:
    broken = list(_import_problems(task.implementation))
    if broken:
        yield from broken
        return
    cls = load_object(task.implementation)
    if not callable(cls):
        yield f"{task.implementation} is {short(cls)}; expected a class."
        return
    found = {step: getattr(cls, step, None) for step in STEPS}
    missing = [s for s, f in found.items() if not callable(f) or (s in NEEDED and f is getattr(Task, s))]
    if missing:
        yield f"{task.implementation} has no {', '.join(missing)}; zoo.PictureTask, a base class, has all but decode."
    declared = {name: option.default for name, option in task.options_of("predict").items()}
    taken = inspect.signature(cls).parameters
    given = {name: p.default for name, p in taken.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for name in declared.keys() - given.keys():
        yield f"the option {name!r} is not an argument of {task.implementation}."
    for name in given.keys() - declared.keys():
        yield f"the argument {name!r} of {task.implementation} is not among its options."
    for name in declared.keys() & given.keys():
        if given[name] is not inspect.Parameter.empty and given[name] != declared[name]:
            yield f"option {name!r} defaults to {declared[name]!r}, but to {given[name]!r} in {task.implementation}."
    for verb, target in task.provides.items():
        yield from (f"its object for {verb!r}: {problem}" for problem in _import_problems(target))


def _import_problems(target: str) -> Iterator[str]:
    try:
        load_object(target)
    except (Exception, SystemExit) as e:  # noqa: BLE001  a plugin's code may raise any exception
        yield f"{target} cannot be imported: {type(e).__name__}: {e}"


def commands(record: PluginRecord) -> str | None:
    manifest = record.manifest or Manifest(api_version=API_VERSION)
    offered = [(one.name, one.target) for one in manifest.commands]
    offered += [(one.name, one.target) for one in manifest.engines]
    offered += [(one.name, t) for one in manifest.formats for t in (one.write, one.facts, one.open) if t]
    if not offered:
        raise Skip("the plugin defines no command, engine or format")
    raise_for([f"{name}: {problem}" for name, target in offered for problem in _import_problems(target)])
    return None
