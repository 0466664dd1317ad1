"""Shell completion: ``zoo completion bash`` prints the shell's function, and :func:`answer` prints the candidates for
it.

A shell runs ``zoo`` with ``_ZOO_COMPLETE`` set, and reads one candidate per line. torch is not imported.
"""

from __future__ import annotations

import contextlib
import enum
import itertools
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from zoo import registry
from zoo.cli import output
from zoo.cli.helping import choices_of, read_docstring, summary_of, task_at_hand, verbs_of
from zoo.contract import CAPABILITIES, stored_weights
from zoo.errors import ZooError, harmless

VARIABLE = "_ZOO_COMPLETE"
BREAKS = "\"'@><=;|&(:"  # where bash begins a new word, and expects only what follows


class Shell(enum.StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


SCRIPTS = {
    Shell.bash: """\
_zoo_completion() {
    local IFS=$'\\n'
    COMPREPLY=($(_ZOO_COMPLETE=bash COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" "$1" 2>/dev/null))
}
complete -o bashdefault -o default -F _zoo_completion zoo
""",
    Shell.zsh: """\
#compdef zoo
_zoo() {
    local -a found
    found=("${(@f)$(_ZOO_COMPLETE=zsh "${words[1]}" "${(@)words[2,$CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[*]}" ]]; then
        _describe -V 'zoo' found
    else
        _files
    fi
}
if [[ "${funcstack[1]}" = "_zoo" ]]; then _zoo "$@"; else compdef _zoo zoo; fi
""",
    Shell.fish: """\
function __zoo_complete
    set -l words (commandline -opc) (commandline -ct)
    _ZOO_COMPLETE=fish $words[1] $words[2..-1] 2>/dev/null
end
complete -c zoo -a '(__zoo_complete)'
""",
}


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="One of bash, zsh and fish.")],
) -> int:
    r"""Print a script that completes commands, options, models, weights and tasks in a shell.

    \b
    bash  in ~/.bashrc                    eval "$(zoo completion bash)"
    zsh   in ~/.zshrc, after compinit     eval "$(zoo completion zsh)"
    fish  in ~/.config/fish/config.fish   zoo completion fish | source

    Examples:
        eval "$(zoo completion bash)"
        zoo completion fish > ~/.config/fish/completions/zoo.fish
    """
    output.say(output.Painted(SCRIPTS[shell]), end="")
    return 0


def asked() -> bool:
    """Whether a shell runs this process to get candidates."""
    return os.environ.get(VARIABLE) in list(Shell)


def answer(root: Any) -> int:
    """Print the candidates for the current words, each with its help if the shell shows it."""
    shell = Shell(os.environ[VARIABLE])
    words = _words_of_bash() if shell is Shell.bash else sys.argv[1:]
    with contextlib.suppress(ZooError, OSError, ValueError):  # completion prints no errors
        for value, text in candidates(root, words[:-1], words[-1] if words else ""):
            text = harmless(text, line=True)
            if shell is Shell.bash:
                behind = max((words[-1].rfind(c) for c in BREAKS), default=-1) + 1 if words else 0
                output.say(value[behind:])
            elif shell is Shell.zsh:
                output.say(value.replace(":", "\\:") + (f":{text}" if text else ""))
            else:
                output.say(output.Painted(harmless(value, line=True) + (f"\t{text}" if text else "")))
    return 0


def _words_of_bash() -> list[str]:
    line = os.environ.get("COMP_LINE", "")
    line = line[: int(os.environ.get("COMP_POINT", len(line)))]
    try:
        words = shlex.split(line)
    except ValueError:  # a quote is open
        words = [word.lstrip("\"'") for word in line.split()]
    return words[1:] + ([""] if line[-1:].isspace() or len(words) == 1 else [])


def candidates(root: Any, words: Sequence[str], begun: str) -> Iterator[tuple[str, str]]:
    """The possible completions of ``begun`` after these words, each with a line of help or none.

    >>> [name for name, _ in candidates(root, ["show"], "resnet5")]
    ['resnet50']
    """
    command = root
    left = list(words)
    while hasattr(command, "commands"):
        names: dict[str, str] = {name: summary_of(sub) for name, sub in command.commands.items() if not sub.hidden}
        if hasattr(command, "plugged"):
            names |= {name: plugged.summary for name, plugged, _ in command.plugged()}
        if not left:
            yield from _fitting([*names.items(), *([("--help", ""), ("--version", "")] if begun else [])], begun)
            return
        if left[0] not in names:
            return
        found = command.commands.get(left[0]) or _plugged(command, left[0])
        if found is None:
            return
        command = found
        left.pop(0)
    yield from _of_command(command, left, begun)


def _plugged(command: Any, name: str) -> Any:
    with contextlib.suppress(ZooError):  # a command that cannot be loaded has no candidates
        return command.get_command(typer.Context(command), name)
    return None


def _of_command(command: Any, words: Sequence[str], begun: str) -> Iterator[tuple[str, str]]:
    task = task_at_hand(["zoo", *words]) if verbs_of(command) else None
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    by_name = {name: p for p in options for name in (*p.opts, *p.secondary_opts)}
    extra = {f"--{o.name.replace('_', '-')}": o for o in (task.options_of(*verbs_of(command)).values() if task else ())}
    name, equals, value = begun.partition("=")
    if equals and name in by_name:
        yield from ((f"{name}={found}", text) for found, text in _values(by_name[name], name, words, value))
        return
    before = words[-1] if words else ""
    if before in by_name and not getattr(by_name[before], "is_flag", False):
        yield from _values(by_name[before], before, words, begun)
        return
    if before in extra and extra[before].type is not bool:
        return
    if begun.startswith("-"):
        listed = [(name, read_docstring(p.help or "")[0] if p.help else "") for name, p in by_name.items()]
        listed += [(name, option.help) for name, option in extra.items()]
        yield from _fitting([*listed, ("--help", "Show this help.")], begun)
        return
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    if arguments:
        given = sum(not word.startswith("-") for word in words)
        yield from _values(arguments[min(given, len(arguments) - 1)], "", words, begun)


def _values(param: Any, name: str, words: Sequence[str], begun: str) -> Iterator[tuple[str, str]]:
    """The possible values of an option or argument; none for files, which the shell completes itself."""
    if choices := choices_of(param):
        yield from _fitting([(choice, "") for choice in choices], begun)
        return
    kind = (param.metavar or param.name or "").rstrip(".").upper()
    kinds = {
        "--weights": "WEIGHTS",
        "--task": "TASK",
        "--plugin": "PLUGIN",
        "--engine": "ENGINE",
        "--can": "CELL",
    }
    kind = kinds.get(name, "MODEL" if name == "--model" else kind)
    now = registry.registry()
    if kind in ("MODEL", "PATTERN", "NAMES", "NAME", "MODEL[=WEIGHTS]") and name in ("", "--model"):
        yield from _fitting(_models(begun), begun)
    elif kind == "WEIGHTS":
        yield from _fitting(_weights(words), begun)
    elif kind == "TASK":
        every = [(task, "") for task in now.tasks]
        yield from _fitting(every if name else [*every, *((r.name, "plugin") for r in now.records)], begun)
    elif kind == "PLUGIN":
        yield from _fitting([(record.name, record.distribution or "") for record in now.records], begun)
    elif kind == "ENGINE":
        yield from _fitting([(engine, one.summary) for engine, one, _ in registry.engines(now)], begun)
    elif kind == "CELL":
        yield from _fitting([(cell, "") for cell in CAPABILITIES], begun)
    elif "|" in (param.metavar or ""):
        yield from _fitting([(value, "") for value in param.metavar.split("|")], begun)
    elif name == "--device":
        yield from _fitting([(device, "") for device in ("auto", "cpu", "cuda", "mps")], begun)


def _models(begun: str) -> Iterator[tuple[str, str]]:
    """Models, and after the complete name of a model, its weights."""
    now = registry.registry()
    head, dot, _ = begun.partition(".")
    for entry in sorted(now.entries.values(), key=now.short_name):
        name, weights = now.short_name(entry), entry.spec.weights_name
        yield name, entry.spec.tasks[0]
        if begun[:1].isupper() and weights is not None and not (dot and head != weights):
            yield from ((f"{weights}.{tag}", name) for tag in _tags(entry))
        if dot and head in (name, entry.full_name):
            yield from ((f"{head}.{tag}", "") for tag in _tags(entry))


def _tags(entry: Any) -> Iterable[str]:
    enum_ = stored_weights(entry.spec)
    return () if enum_ is None or entry.spec.weights is None else entry.spec.weights.__members__


def _weights(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The weights of the model that the words name."""
    said: Mapping[str, str] = dict(itertools.pairwise(words))
    model = said.get("--model") or next((word for word in words if not word.startswith("-")), None)
    if model is not None:
        info = registry.model_info(model)
        yield from ((tag, weights.docs) for tag, weights in info.weights.items())
    yield "none", "Random numbers."


def _fitting(values: Iterable[tuple[str, str]], begun: str) -> Iterator[tuple[str, str]]:
    yield from ((value, text) for value, text in dict(values).items() if value.startswith(begun))
