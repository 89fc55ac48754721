"""Zoos: named lists of models, from a TOML file, a built-in name, or comma-separated specs.

name = "my zoo"                       # optional; else the file's name
[[model]]
spec = "timm:resnet18?layer=layer4"
name = "ResNet-18"                    # optional; else the spec's text
task = "classification"               # optional tags: task, group, and any others in a [model.tags] table
group = "semantic"
"""

import errno
import tomllib
from collections import Counter
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from modelatlas.errors import InputError
from modelatlas.zoo.spec import ModelSpec, check_name

__all__ = ["Zoo", "ZooEntry", "builtin_zoos", "find_model", "read_zoo"]

_ZOO_KEYS: Final = ("name", "description", "model")
_MODEL_KEYS: Final = ("spec", "name", "task", "group", "tags")


@dataclass(frozen=True)
class ZooEntry:
    """One model of a zoo.

    Attributes
    ----------
    name
        Unique in its zoo.
    tags
        What the zoo file says beside the card: `task`, `group`, and free ones.
    """

    name: str
    spec: ModelSpec
    tags: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Zoo:
    """A named list of models, in the order given."""

    name: str
    entries: tuple[ZooEntry, ...]
    description: str = ""


def builtin_zoos() -> tuple[str, ...]:
    """Names of the zoos that ship with ModelAtlas, sorted."""
    folder = files("modelatlas.zoo") / "zoos"
    return tuple(
        sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))
    )


def read_zoo(zoo: str | Path) -> Zoo:
    """Read a zoo: a built-in zoo's name, a zoo file, or specs joined by commas.

    Keys after a built-in zoo's name hold for all of its models (`merged?random=0`), which keep their names.

    Specs are parsed, their sources are not asked: a model that does not exist is found when it is loaded.

    Raises
    ------
    InputError
        Nothing of that kind, no TOML, an unknown or missing key, a wrong type, a name that is not allowed or
        stands twice.
    """
    text = str(zoo)
    path = Path(text).expanduser()
    if path.suffix == ".toml" or _is_file(path):
        return _read_file(path)
    name, mark, options = text.partition("?")
    if name in builtin_zoos():
        content = (files("modelatlas.zoo") / "zoos" / f"{name}.toml").read_text(encoding="utf-8")
        known = _from_toml(content, where=f"built-in zoo {name}", default_name=name, base=None)
        return replace(known, entries=tuple(_with(options, one) for one in known.entries)) if mark else known
    if ":" not in text:
        raise InputError(
            f"{text!r} is no built-in zoo ({', '.join(builtin_zoos())}), no zoo file that is there, no model "
            "spec (those look like timm:resnet18)"
        )
    specs = [ModelSpec.parse(part.strip()) for part in text.split(",") if part.strip()]
    entries = tuple(ZooEntry(name=spec.text, spec=spec) for spec in specs)
    return _unique(Zoo(name="specs", entries=entries), where="the list of specs")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # a long list of specs, which is looked for as a file first
            return False
        raise InputError(f"{path}: the zoo file cannot be read ({error.strerror}); check the path") from error


def _with(options: str, entry: ZooEntry) -> ZooEntry:
    joined = "&" if entry.spec.options else "?"
    return replace(entry, spec=ModelSpec.parse(f"{entry.spec.text}{joined}{options}"))


def find_model(text: str) -> ZooEntry:
    """Find one model by its spec, or by its name in a built-in zoo.

    Raises
    ------
    InputError
        Neither.
    """
    if ":" in text:
        spec = ModelSpec.parse(text)
        return ZooEntry(name=spec.text, spec=spec)
    entries = [entry for name in builtin_zoos() for entry in read_zoo(name).entries]
    for entry in entries:
        if entry.name == text:
            return entry
    close = get_close_matches(text, [entry.name for entry in entries], n=1)
    hint = f"did you mean {close[0]}?" if close else "`modelatlas zoo list` lists those"
    raise InputError(
        f"{text!r} is no model spec (those look like timm:resnet18) and no model of a built-in zoo; {hint}"
    )


def _read_file(path: Path) -> Zoo:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
        raise InputError(f"{path}: the zoo file cannot be read ({reason}); check the path") from error
    return _from_toml(content, where=str(path), default_name=path.stem, base=path.absolute().parent)


def _from_toml(content: str, *, where: str, default_name: str, base: Path | None) -> Zoo:
    try:
        table = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: not valid TOML: {error}") from error
    _check_keys(table, _ZOO_KEYS, content, where=where, within="a zoo file")
    models = table.get("model")
    if not isinstance(models, list) or not models or not all(isinstance(model, dict) for model in models):
        raise InputError(f'{where}: it lists no models; give each one a [[model]] table with spec = "..."')
    zoo = Zoo(
        name=_text(table, "name", where=where) or default_name,
        description=_text(table, "description", where=where) or "",
        entries=tuple(
            _entry(model, number, content, where, base) for number, model in enumerate(models, start=1)
        ),
    )
    return _unique(zoo, where=where)


def _entry(table: dict[str, Any], number: int, content: str, where: str, base: Path | None) -> ZooEntry:
    here = f"{where}: model {number}"
    _check_keys(table, _MODEL_KEYS, content, where=here, within="a [[model]] table")
    text = _text(table, "spec", where=here)
    if text is None:
        raise InputError(f"{here}: the key 'spec' is missing; give it as in spec = \"timm:resnet18\"")
    try:
        spec = ModelSpec.parse(text, base=base)
    except InputError as error:
        raise InputError(f"{here}: {error}") from error
    free = table.get("tags", {})
    if not isinstance(free, dict):
        raise InputError(f"{here}: 'tags' must be a table of texts")
    tags = {key: _text(free, key, where=f"{here}, tags") or "" for key in free}
    tags |= {key: value for key in ("task", "group") if (value := _text(table, key, where=here)) is not None}
    name = _text(table, "name", where=here)
    return ZooEntry(name=text if name is None else check_name(name, where=here), spec=spec, tags=tags)


def _check_keys(
    table: dict[str, Any], known: tuple[str, ...], content: str, *, where: str, within: str
) -> None:
    for key in table:
        if key not in known:
            lines = [number for number, line in enumerate(content.splitlines(), 1) if _defines(line, key)]
            line = f" (line {lines[0]})" if len(lines) == 1 else ""
            raise InputError(f"{where}: unknown key {key!r}{line}; {within} takes {', '.join(known)}")


def _defines(line: str, key: str) -> bool:
    head = line.strip().strip("[]").partition("=")[0].strip().strip("\"'")
    return head == key or head.startswith(f"{key}.")


def _text(table: dict[str, Any], key: str, *, where: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{where}: {key!r} must be a text in quotes, not {value!r}")
    return value


def _unique(zoo: Zoo, *, where: str) -> Zoo:
    names = Counter(entry.name for entry in zoo.entries)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise InputError(f"{where}: the name {twice[0]!r} stands twice; give one of them another name")
    return zoo
