"""Enums of weights, made in a third of the time that ``enum`` takes."""

from __future__ import annotations

import operator
import os
import re
import threading
from collections.abc import Mapping
from enum import Enum, EnumType
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from zoo.contract.weights import Preset, Weights
from zoo.errors import ContractError, UnknownWeights, suggest

if TYPE_CHECKING:
    from torch import Tensor

_MEMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}")  # names of members that need not be identifiers


class _Body(dict[str, Any]):
    """The names that a class statement defines. A name that is defined twice is an error: the first would be lost
    silently."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self and isinstance(value, Weights):
            raise ContractError(f"{self.get('__qualname__', '')}.{name} is defined twice; rename one of them.")
        super().__setitem__(name, value)


class _WeightsType(EnumType):
    """Makes an enum of weights in a third of the time that EnumType takes.

    A hundred plugins of a hundred models define ten thousand enums before the first name can be listed. The parts of an
    enum are copied from WeightsEnum itself, which EnumType made; only the members are added here.
    """

    builder: str = ""

    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type, ...], /, **kwds: Any) -> Any:  # type: ignore[override]
        return super().__prepare__(name, bases, **kwds) if bases == (Enum,) else _Body()

    def __new__(
        metacls,
        cls: str,
        bases: tuple[type, ...],
        body: Any,
        builder: str = "",
        members: Mapping[str, Weights] = MappingProxyType({}),
        **kwds: Any,
    ) -> Any:
        if bases == (Enum,):
            return super().__new__(metacls, cls, bases, body, **kwds)
        if len(bases) > 1 or bases[0]._member_names_:  # type: ignore[attr-defined]
            raise ContractError(f"{cls}: an enum of weights has one base, which has no members.")
        rest: dict[str, Any] = {"_member_names_": [], "_member_map_": {}, "builder": builder}
        given: list[tuple[str, Weights]] = list(members.items())
        for name, value in body.items():
            if isinstance(value, Weights):
                given.append((name, value))
            elif name[0] == "_" or callable(value) or hasattr(value, "__get__"):
                rest[name] = value
            else:
                raise ContractError(f"{cls}.{name} is {value!r}; expected zoo.Weights(…).")
        for name, value in members.items():
            if not (isinstance(name, str) and _MEMBER.fullmatch(name)):
                raise ContractError(
                    f"{cls}: {name!r} is not a name of weights; expected letters, digits, '_', '-' or '.', the first a "
                    "letter or a digit."
                )
            if not isinstance(value, Weights):
                raise ContractError(f"{cls}: {name} is {value!r}; expected zoo.Weights(…).")
        enum: Any = type.__new__(metacls, cls, bases, rest)
        names, mapped = rest["_member_names_"], rest["_member_map_"]
        by_value: dict[Weights, Any] = {}
        for name, value in given:
            member = by_value.get(value)
            if member is None:
                member = object.__new__(enum)
                member._name_, member._value_, member.__objclass__, member._sort_order_ = name, value, enum, len(names)
                names.append(name)
                by_value[value] = member
            elif name != "DEFAULT":
                raise ContractError(
                    f"{cls}.{name} and .{member.name} have equal values. Only DEFAULT may repeat another member; give "
                    "the others different URLs or facts, or remove one."
                )
            mapped[name] = member
            if not (members and hasattr(WeightsEnum, name)):
                type.__setattr__(enum, name, member)
        return enum


def make_enum(name: str, members: Mapping[str, Weights], module: str) -> type[WeightsEnum]:
    """An enum of weights whose members' names need not be identifiers: ``resnet50_Weights["a1.in1k"]``.

    Args:
        name: of the enum, an identifier.
        members: name → weights. ``DEFAULT`` may repeat another. A member that has the name of an attribute of every
            enum, such as ``url``, is only available as ``enum["url"]``.
        module: the module that has the enum under its name, so that members can be pickled.

    Raises:
        ContractError: a name is invalid, two members are equal, or a value is not :class:`Weights`.
    """
    enum: Any = _WeightsType.__new__(
        _WeightsType, name, (WeightsEnum,), {"__module__": module, "__qualname__": name}, members=members
    )
    return enum  # type: ignore[no-any-return]


class LazyEnum:
    """An enum of weights that is made on first access; :meth:`zoo.contract.Catalogue.weights` returns it."""

    __slots__ = ("_made", "catalogue", "model", "name")

    def __init__(self, name: str, catalogue: Any, model: str) -> None:
        self.name = name
        self.catalogue = catalogue
        self.model = model
        self._made: type[WeightsEnum] | None = None

    @property
    def names(self) -> list[str]:
        """The names of its members, found without making the enum."""
        return [*self.catalogue.rows[self.model]["weights"], "DEFAULT"]

    def enum(self) -> type[WeightsEnum]:
        if self._made is None:
            with _making:
                if self._made is None:
                    self._made = self.catalogue.make(self.model)
        return self._made


_making = threading.RLock()  # two threads get the same enum


class WeightsEnum(Enum, metaclass=_WeightsType):
    """The published weights of one model: members are :class:`Weights`, ``DEFAULT`` names the best of them.

    ``class Net_Large_Weights(WeightsEnum, builder="net_large")`` names their model; tables of
    :class:`zoo.contract.families.Family` need this.
    """

    @classmethod
    def _missing_(cls, value: object) -> WeightsEnum | None:
        return next((member for member in cls if member.value == value), None)

    @classmethod
    def verify(cls, given: Any) -> WeightsEnum | None:
        """The member that ``given`` names: None, a member, ``"IMAGENET1K_V2"`` or ``"ResNet50_Weights.IMAGENET1K_V2"``.

        Raises:
            UnknownWeights: anything else; the members are listed.
        """
        if given is None or isinstance(given, cls):
            return given
        if isinstance(given, str):
            member = cls.__members__.get(given.removeprefix(f"{cls.__name__}."))
            if member is not None:
                return member
        close = suggest(given, cls.__members__) if isinstance(given, str) else ""
        members = ", ".join(cls.__members__) or "none yet"
        raise UnknownWeights(f"{given!r} is not one of {cls.__name__}'s weights ({members}).{close}")

    @property
    def url(self) -> str:
        return self.value.url  # type: ignore[no-any-return]

    @property
    def transforms(self) -> Preset | None:
        """Builds the preprocessing: ``weights.transforms()``."""
        return self.value.transforms  # type: ignore[no-any-return]

    @property
    def meta(self) -> dict[str, Any]:
        return self.value.meta  # type: ignore[no-any-return]

    def get_state_dict(self, progress: bool = True, check_hash: bool = True) -> dict[str, Tensor]:
        return self.value.get_state_dict(progress=progress, check_hash=check_hash)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    __str__ = __repr__

    # By name: a pickled member is the same member, even if its facts were corrected since.
    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return operator.getitem, (type(self), self.name)

    def __copy__(self) -> WeightsEnum:
        return self

    def __deepcopy__(self, memo: Any) -> WeightsEnum:
        return self


# What a builder takes as ``weights``: None, a member of its enum or a member's name, a description, a path or a URL.
WeightsLike: TypeAlias = WeightsEnum | Weights | str | os.PathLike[str] | None
