"""The registry of models, and the resolution of bare and full names."""

from __future__ import annotations

import difflib
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.contract import Command, Engine, Format, LazyEnum, ModelSpec, TaskSpec, WeightsEnum, stored_weights
from zoo.errors import AmbiguousModel, ContractError, PluginError, UnknownModel, UnknownWeights, suggest
from zoo.registry.discovery import forget, get_plugins, lock
from zoo.registry.first_party import CATALOGUES, provider
from zoo.registry.records import PluginRecord

Builder = Callable[..., Any]

# Digits, Cyrillic and Greek letters → the Latin letters that they look like, in lower or upper case.
_LOOKS = str.maketrans("01i|аеорсухіјѕһкмтвнαβεζηικμνορτυχ", "olllaeopcyxllshkmtbhabezhlkmnoptyx")


def looks(name: str) -> str:
    """A key that is equal for names that differ only in case or in letters that look alike."""
    folded = name.lower() if name.isascii() else unicodedata.normalize("NFKD", name).casefold()
    return folded.translate(_LOOKS).replace("rn", "m").replace("vv", "w")


@dataclass(frozen=True, slots=True)
class Entry:
    """One model in the registry: the description from its plugin, and the builder if it is registered in a session."""

    spec: ModelSpec
    plugin: PluginRecord
    local: Builder | None = None

    @property
    def full_name(self) -> str:
        return f"{self.plugin.name}/{self.spec.name}"


class Registry:
    """A snapshot of what the plugins offer. ``refresh()`` takes a new one.

    Attributes:
        entries: full name → model.
        by_bare_name: bare name → the models that claim it; ``by_old_name``: the same for former names.
        tasks: name → the plugins that define it, with their definitions, our own first.
        commands, engines, formats: name → the plugins that define one, our own first.
        provides: (task, verb) → import strings of what plugins add to tasks, our own first.
    """

    def __init__(self, records: Sequence[PluginRecord], local: Mapping[str, Entry]) -> None:
        self.records = records
        self.entries: dict[str, Entry] = {}
        self.by_bare_name: dict[str, list[Entry]] = {}
        self.by_old_name: dict[str, list[Entry]] = {}
        self.tasks: dict[str, list[tuple[TaskSpec, PluginRecord]]] = {}
        self.commands: dict[str, list[tuple[Command, PluginRecord]]] = {}
        self.engines: dict[str, list[tuple[Engine, PluginRecord]]] = {}
        self.formats: dict[str, list[tuple[Format, PluginRecord]]] = {}
        self.provides: dict[tuple[str, str], list[tuple[str, PluginRecord]]] = {}
        self._ours: dict[str, str] = {}  # key of looks → name of our own model
        for record in records:
            if record.manifest is None:
                continue
            for spec in record.manifest.models:
                self._add(Entry(spec, record))
            for task in record.manifest.tasks:
                self.tasks.setdefault(task.name, []).append((task, record))
            for command in record.manifest.commands:
                self.commands.setdefault(command.name, []).append((command, record))
            for engine in record.manifest.engines:
                self.engines.setdefault(engine.name, []).append((engine, record))
            for one in record.manifest.formats:
                self.formats.setdefault(one.name, []).append((one, record))
            for key, target in record.manifest.provides.items():
                self.provides.setdefault(key, []).append((target, record))
            for old, new in record.manifest.renamed.items():
                self.by_old_name.setdefault(old, []).append(self.entries[f"{record.name}/{new}"])
        for entry in local.values():
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        self.entries[entry.full_name] = entry
        self.by_bare_name.setdefault(entry.spec.name, []).append(entry)
        if entry.plugin.first_party:
            self._ours[looks(entry.spec.name)] = entry.spec.name

    def taken_for(self, entry: Entry) -> str | None:
        """The name of our own model that a third-party name looks like: ``ResNet50`` like ``resnet50``."""
        own = entry.plugin.first_party or entry.local is not None
        ours = None if own else self._ours.get(looks(entry.spec.name))
        return ours if ours != entry.spec.name else None

    def owner(self, bare: str) -> Entry | None:
        """The entry of a bare name: the only one, or our own among several; None if there is none.

        A former name of our own model is still its name, and a name that only looks like ours has no entry.
        """
        claims = self.by_bare_name.get(bare, ())
        for entry in claims:
            if entry.plugin.first_party:
                return entry
        if len(claims) != 1 or (self.by_old_name and any(e.plugin.first_party for e in self.by_old_name.get(bare, ()))):
            return None
        return None if self.taken_for(claims[0]) else claims[0]

    def renamed(self, name: str) -> list[Entry]:
        """The models that were formerly called ``name``, bare or full; only ours, if they are among them."""
        plugin, slash, bare = name.rpartition("/")
        claims = [e for e in self.by_old_name.get(bare, ()) if not slash or e.plugin.name == plugin]
        return [e for e in claims if e.plugin.first_party] or claims

    def short_name(self, entry: Entry) -> str:
        """The bare name if it is unique, else the full one."""
        return entry.spec.name if self.owner(entry.spec.name) is entry else entry.full_name

    def whole(self, name: object) -> tuple[Entry, str | None]:
        """The model of ``name``, and the weights if the name includes them: ``timm/resnet50.a1_in1k``.

        Names of models may contain dots too: the longest model name that exists is used. The name of weights as in
        tables (``ResNet50_Weights.IMAGENET1K_V2``) means their model.

        Raises:
            UnknownWeights: the model exists but has no such weights.
            UnknownModel, AmbiguousModel: as for :meth:`find`.
        """
        text = name if isinstance(name, str) else ""
        known = text in self.entries or text in self.by_bare_name or text in self.by_old_name
        if not known and (by_weights := self._by_weights(text)) is not None:
            return by_weights
        models = [] if known else [text[:i] for i, c in enumerate(text) if c == "."][::-1]
        of_model = None
        for model in models:
            found = self.entries.get(model) or self.owner(model)
            if found is None or found.spec.weights is None:
                continue
            if (tag := text[len(model) + 1 :]) in found.spec.weights.__members__:
                return found, tag
            of_model = of_model or (found, tag)
        if of_model is None:
            return self.find(name), None
        found, tag = of_model
        members = found.spec.weights.__members__ if found.spec.weights else {}
        others = [e for e in self.by_bare_name.get(found.spec.name, ()) if e is not found]
        theirs = [e.full_name for e in others if (enum := e.spec.weights) is not None and tag in enum.__members__]
        hint = f" There is {theirs[0]}.{tag}." if theirs else suggest(tag, members)
        raise UnknownWeights(f"{self.short_name(found)!r} has no weights {tag!r}.{hint}")

    def _by_weights(self, name: str) -> tuple[Entry, str | None] | None:
        """The model and weights for the name of an enum of weights, or of its member; None for other names."""
        place = name.rpartition("/")[2]
        enum_name, dot, tag = name[: len(name) - len(place)] + place.partition(".")[0], *place.partition(".")[1:]
        claims = weights_claims(self).get(enum_name) if enum_name.endswith("_Weights") else None
        if claims is None:
            return None
        enum = one_meant(claims, place)
        made: type[WeightsEnum] = enum.enum() if isinstance(enum, LazyEnum) else enum
        if dot:
            made.verify(tag)
        of = [entry for entry in self.entries.values() if stored_weights(entry.spec) is enum]
        of.sort(key=lambda entry: entry.spec.name != getattr(made, "builder", ""))  # several may share an enum
        return of[0], tag if dot else None

    def find(self, name: object) -> Entry:
        if not isinstance(name, str):
            raise UnknownModel(f"{name!r} is not a model name; expected a string such as 'resnet50'.")
        entry = self.entries.get(name) or self.owner(name)
        if entry is not None:
            return entry
        if claims := self.by_bare_name.get(name, []):
            claims = [e for e in self.renamed(name) if e.plugin.first_party] or claims
        else:
            claims = self.renamed(name)
        if len(claims) == 1 and claims[0].spec.name == name and (ours := self.taken_for(claims[0])):
            other = claims[0].full_name
            raise AmbiguousModel(
                f"{name!r} of {other!r} looks like {ours!r}. Choose one of them: {ours!r} or {other!r}."
            )
        if len(claims) > 1:
            full = " and ".join(sorted(repr(e.full_name) for e in claims))
            raise AmbiguousModel(f"Several plugins have a model {name!r}. Choose one of them: {full}.")
        if not claims:
            raise self._unknown(name)
        message = f"The model {name!r} is called {self.short_name(claims[0])!r} now; the old name will be removed."
        warnings.warn(message, DeprecationWarning, stacklevel=4)
        return claims[0]

    def _near_whole(self, plugin: str, name: str) -> str:
        """If ``name`` includes weights, close models that have such weights."""
        for i in (i for i, c in enumerate(name) if c == "."):
            tag, near = name[i + 1 :], difflib.get_close_matches(name[:i], self.by_bare_name, 10)
            entries = [e for bare in near for e in self.by_bare_name[bare] if plugin in ("", e.plugin.name)]
            for e in entries:
                if e.spec.weights is not None and tag in e.spec.weights.__members__:
                    return f" Did you mean {self.short_name(e) + '.' + tag!r}?"
        return ""

    def _unknown(self, name: str) -> Exception:
        plugin, _, bare = name.rpartition("/")
        failed = [r for r in self.records if r.state == "failed"]
        for record in failed:
            if record.name == plugin:
                set_aside = PluginError(f"{name!r} is not available. {record.explain()}")
                set_aside.__cause__ = record.error
                return set_aside
        message = f"There is no model {name!r}."
        message += self._near_whole(plugin, bare) or suggest(bare, self.by_bare_name)
        ours = provider(bare)
        catalogue = CATALOGUES.get(plugin)
        if catalogue and not any(r.name == plugin for r in self.records):
            message = f"There is no model {name!r}. Models of {plugin} are in {catalogue}: pip install {catalogue}"
        elif ours and not any(r.name == ours.plugin for r in self.records):
            message += f" Models of this kind are in {ours.distribution}: pip install {ours.distribution}"
        if failed:
            message += f" It may be in a plugin that failed ({', '.join(r.name for r in failed)}); see `zoo doctor`."
        error = UnknownModel(message)
        error.__cause__ = failed[0].error if len(failed) == 1 else None
        return error


_local: dict[str, Entry] = {}
_snapshot: tuple[Any, Registry] | None = None


def registry() -> Registry:
    """The current snapshot."""
    global _snapshot
    with lock:
        found = get_plugins()
        if _snapshot is None or _snapshot[0] is not found:
            _snapshot = (found, Registry(found.records, _local))
        return _snapshot[1]


def add_local(entry: Entry) -> None:
    """Register a model of this session."""
    global _snapshot
    with lock:
        old = _local.get(entry.spec.name)
        if old is not None and _place(old.local) != _place(entry.local):
            raise ContractError(
                f"The name {entry.spec.name!r} is used in this session by {old.spec.builder}; choose another."
            )
        _local[entry.spec.name] = entry
        _snapshot = None


def _place(builder: Builder | None) -> tuple[str, str]:
    return getattr(builder, "__module__", ""), getattr(builder, "__qualname__", "")


def refresh() -> None:
    """Discover plugins again, after one was installed or removed in a running program."""
    global _snapshot
    with lock:
        forget()
        _snapshot = None


def plugins() -> list[PluginRecord]:
    """The records of all plugins that were found: working, failed (with the reason) and disabled ones."""
    return list(registry().records)


Enum = type[WeightsEnum] | LazyEnum


def weights_claims(now: Registry) -> dict[str, dict[Enum, PluginRecord]]:
    """Bare (``"ResNet50_Weights"``) and full names (``"classification/ResNet50_Weights"``) → enums with their plugins.

    Enums of catalogues are not made for this.
    """
    claims: dict[str, dict[Enum, PluginRecord]] = {}
    for entry in now.entries.values():
        if (enum := stored_weights(entry.spec)) is not None:
            name = str(entry.spec.weights_name)
            claims.setdefault(name, {}).setdefault(enum, entry.plugin)
            claims[f"{entry.plugin.name}/{name}"] = {enum: entry.plugin}
    return claims


def meant(claims: Mapping[Enum, PluginRecord]) -> Enum | None:
    """As for models: the only one, or ours among several."""
    ours = [enum for enum, record in claims.items() if record.first_party]
    return (ours or list(claims))[0] if ours or len(claims) == 1 else None


def one_meant(claims: Mapping[Enum, PluginRecord], name: str) -> Enum:
    """As :func:`meant`, for the name of an enum or of a member.

    Raises:
        UnknownWeights: it is ambiguous.
    """
    enum = meant(claims)
    if enum is None:
        full = " and ".join(repr(f"{record.name}/{name}") for record in claims.values())
        bare = name.partition(".")[0]
        raise UnknownWeights(f"Several plugins have weights {bare!r}. Choose one of them: {full}.")
    return enum


@dataclass(frozen=True)
class NameConflict:
    """A bare name of a model, of weights or of a task that several plugins claim.

    Attributes:
        name: the bare name.
        claims: the full names of all models, weights or tasks that have it.
        owner: the full name that the bare one refers to; None if it is ambiguous.
        alike: the names are not equal; they differ in case or in letters that look alike.
    """

    name: str
    claims: tuple[str, ...]
    owner: str | None
    alike: bool = False


def name_conflicts(now: Registry) -> list[NameConflict]:
    """Every bare name that more than one plugin claims: models, then former names, weights and tasks, each sorted.

    The last are names that are easily confused, of plugins, models, weights and tasks.
    """
    conflicts = []
    for name, claims in sorted(now.by_bare_name.items()):
        if len(claims) > 1:
            owner = now.owner(name)
            full = tuple(sorted(entry.full_name for entry in claims))
            conflicts.append(NameConflict(name, full, owner.full_name if owner else None))
    for old, claims in sorted(now.by_old_name.items()):
        others = now.by_bare_name.get(old, [])
        if len(claims) + len(others) > 1:
            full = tuple(sorted(entry.full_name for entry in [*claims, *others]))
            owners = [e for e in now.renamed(old) if e.plugin.first_party] or others or claims
            conflicts.append(NameConflict(old, full, owners[0].full_name if len(owners) == 1 else None))
    for name, enums in sorted(weights_claims(now).items()):
        if len(enums) > 1:
            whose = meant(enums)
            full = tuple(f"{record.name}/{name}" for record in enums.values())
            conflicts.append(NameConflict(name, full, f"{enums[whose].name}/{name}" if whose else None))
    offered: tuple[tuple[str, Mapping[str, list[tuple[Any, PluginRecord]]]], ...] = (
        ("/", now.tasks),
        (":", now.commands),
        ("/", now.engines),
        ("/", now.formats),
    )
    for separator, offers in offered:
        for name, offer in sorted(offers.items()):
            if any(thing != offer[0][0] for thing, _ in offer):
                full = tuple(f"{record.name}{separator}{name}" for _, record in offer)
                conflicts.append(NameConflict(name, full, full[0] if offer[0][1].first_party else None))
    named: tuple[tuple[str, Iterable[tuple[str, PluginRecord]]], ...] = (
        ("", ((record.name, record) for record in now.records)),
        ("/", ((entry.spec.name, entry.plugin) for entry in now.entries.values())),
        ("/", ((n, record) for n, enums in weights_claims(now).items() if "/" not in n for record in enums.values())),
        *((sep, ((n, record) for n, offer in offers.items() for _, record in offer)) for sep, offers in offered),
    )
    return conflicts + [conflict for separator, names in named for conflict in _alike(separator, names)]


def _alike(separator: str, names: Iterable[tuple[str, PluginRecord]]) -> list[NameConflict]:
    """The names, each with its plugin, that several plugins have in different spellings."""
    groups: dict[str, dict[str, PluginRecord]] = {}
    for name, record in names:
        groups.setdefault(looks(name), {}).setdefault(name, record)
    found = []
    for same in groups.values():
        if len({record.name for record in same.values()}) > 1:
            full = {n: f"{record.name}{separator}{n}" if separator else n for n, record in same.items()}
            ours = next((name for name, record in same.items() if record.first_party), None)
            found.append(
                NameConflict(ours or min(same), tuple(sorted(full.values())), full.get(ours or ""), alike=True)
            )
    return sorted(found, key=lambda conflict: conflict.name)
