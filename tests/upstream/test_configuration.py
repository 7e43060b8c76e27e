"""A configuration that was read before is noticed to be another one now.

`initialize` and `from_predicted` keep what they made of a configuration.  Each
test has butlers made, changes one thing that upstream's configuration depends
on, and asks a new butler of either class the same questions: the answers are
equal, and no longer those from before.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import pytest
import yaml
from lsst.daf.butler import (
    ButlerConfig,
    Config,
    DatasetRef,
    DimensionConfig,
    DimensionUniverse,
    QuantumBackedButler,
    StorageClass,
    StorageClassFactory,
)
from lsst.resources import ResourcePath

from case_names import name_of
from quantum_butler.butler import blueprint
from quantum_butler.upstream import configuration
from repositories import NewRepository, Repository

TEMPLATE = "{run:/}/{datasetType}.{component:?}_{instrument:?}_{detector:?}"
YAML = "lsst.daf.butler.formatters.yaml.YamlFormatter"
FILE_DEFAULTS = "datastores/fileDatastore.yaml"


class Ask(Protocol):
    """Asks a new butler of each class what its configuration says."""

    def __call__(self, config: Any, *, kept: bool = True, **options: Any) -> Any: ...


def _describe(butler: QuantumBackedButler, refs: list[DatasetRef]) -> dict[str, Any]:
    exported = butler.export_predicted_datastore_records(refs)
    return {
        "records": {
            name: {ref.datasetType.name: data.records.get(ref.id) for ref in refs}
            for name, data in exported.items()
        },
        "paths": [
            [str(uri) for uri in uris.iter_all()]
            for uris in butler.get_many_uris(refs, predict=True, allow_missing=True).values()
        ],
        "roots": {name: str(root) for name, root in butler.get_datastore_roots().items()},
        "universe": butler.dimensions,
    }


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blueprint, "_blueprints", OrderedDict())
    monkeypatch.delenv("QUANTUM_BUTLER_NATIVE", raising=False)


@pytest.fixture
def ask(
    repository: Repository,
    stock_class: type[QuantumBackedButler],
    our_class: type[QuantumBackedButler],
) -> Ask:
    """Return a function that asks both classes, and gives the answer or the exception's type."""
    refs = [repository.predicted[name][0] for name in ("derived", "log", "parts_out", "dict_out")]

    def answer(butler_class: type[QuantumBackedButler], config: Any, options: dict[str, Any]) -> Any:
        try:
            with butler_class.from_predicted(
                config, [], [ref.id for ref in refs], datastore_records={}, **options
            ) as butler:
                return _describe(butler, refs)
        except Exception as error:
            return type(error)

    def ask(config: Any, *, kept: bool = True, **options: Any) -> Any:
        options.setdefault("dimensions", repository.universe)
        # Ours first: what stock does about a missing folder must not help it.
        mine = answer(our_class, config, options)
        assert mine == answer(stock_class, config, options)
        assert mine == answer(our_class, config, options)
        if kept:
            # What comes next shows something only if this was kept.
            assert isinstance(mine, dict)
            blueprints = [blueprint.cached_blueprint(config, **options) for _ in range(2)]
            assert blueprints[0] is blueprints[1]
        return mine

    return ask


@pytest.fixture
def file(repository: Repository) -> Path:
    """Return the repository's configuration file."""
    return repository.root / "butler.yaml"


@pytest.fixture
def storage_classes() -> Iterator[StorageClassFactory]:
    """Return the process's storage classes, and leave them as they were."""
    known = StorageClassFactory()
    before = dict(known._storageClasses)
    yield known
    known._storageClasses.clear()
    known._storageClasses.update(before)


def _update(file: Path, key: tuple[str, ...], value: Any) -> None:
    config = Config(yaml.safe_load(file.read_text()))
    config[key] = value
    file.write_text(yaml.safe_dump(config.toDict()))


def _set_template(file: Path, folder: str, *key: str) -> None:
    """Write or rewrite defaults, or any file, with a template under ``key``."""
    content: dict[str, Any] = {"templates": {"default": f"{folder}/{TEMPLATE}"}}
    for name in reversed(key):
        content = {name: content}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(content))


def _folder(answer: dict[str, Any]) -> str:
    """Return the folder below the root that the template puts datasets in."""
    ((path,), *_) = answer["paths"]
    (root,) = answer["roots"].values()
    return str(path).removeprefix(root).split("/")[0]


CHANGES = {
    "template": (("datastore", "templates"), {"default": f"elsewhere/{TEMPLATE}"}),
    "formatter": (("datastore", "formatters", "StructuredDataDict"), YAML),
    "disassembly": (("datastore", "composites", "disassembled"), {"MetricsParts": False}),
    "constraints": (("datastore", "constraints"), {"reject": ["derived"]}),
    "table": (("datastore", "records", "table"), "my_records"),
    "name": (("datastore", "name"), "mine"),
    "root": (("datastore", "root"), "<butlerRoot>/store"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_rewritten_file(ask: Ask, repository: Repository, file: Path, change: str) -> None:
    root = str(repository.root)
    before = ask(root)
    _update(file, *CHANGES[change])
    assert ask(root) != before


@pytest.mark.parametrize("form", [Config, ButlerConfig])
def test_config_changed_in_place(ask: Ask, file: Path, form: type[Config]) -> None:
    config = form(str(file))
    last = ask(config)
    for key, value in CHANGES.values():
        config[key] = value
        assert ask(config) != last
        last = ask(config)
    del config["datastore", "name"]
    assert ask(config) != last


def test_files_beside_a_config_do_not_matter(ask: Ask, file: Path) -> None:
    # It was read when it was made.
    config = Config(str(file))
    before = ask(config)
    file.unlink()
    assert ask(config) == before


def test_content_that_no_file_could_hold(ask: Ask, file: Path, tmp_path: Path) -> None:
    config = Config(str(file))
    config["datastore", "templates"] = Config({"default": f"first/{TEMPLATE}"})
    config["datastore", "unused"] = ResourcePath(str(tmp_path))
    assert _folder(ask(config)) == "first"
    config["datastore", "templates", "default"] = f"second/{TEMPLATE}"
    assert _folder(ask(config)) == "second"


def test_rewritten_at_once_with_the_same_size(ask: Ask, repository: Repository, file: Path) -> None:
    root = str(repository.root)
    _update(file, ("datastore", "templates"), {"default": f"folder0/{TEMPLATE}"})
    for number in range(5):
        assert _folder(ask(root)) == f"folder{number}"
        file.write_text(file.read_text().replace(f"folder{number}", f"folder{number + 1}"))


def test_coarse_time_stamps(
    ask: Ask, repository: Repository, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file system that tells no difference between two writes.
    root = str(repository.root)
    _update(file, ("datastore", "templates"), {"default": f"folder0/{TEMPLATE}"})
    status = os.stat(file)
    same = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
    monkeypatch.setattr(configuration._Watched, "_stat", lambda watched: same)
    # However long this takes, it is right after the file was written.
    monkeypatch.setattr(configuration, "time", SimpleNamespace(time_ns=lambda: same[0]))
    assert _folder(ask(root)) == "folder0"
    file.write_text(file.read_text().replace("folder0", "folder1"))
    assert _folder(ask(root)) == "folder1"


def test_rewritten_while_it_is_read(
    ask: Ask, repository: Repository, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(repository.root)
    _update(file, ("datastore", "templates"), {"default": f"folder0/{TEMPLATE}"})

    def read(*arguments: Any) -> ButlerConfig:
        found = configuration.read_configuration(*arguments)
        file.write_text(file.read_text().replace("folder0", "folder1"))
        return found

    with monkeypatch.context() as patches:
        patches.setattr(blueprint, "read_configuration", read)
        blueprint.cached_blueprint(root, repository.universe)
    assert blueprint._blueprints
    assert _folder(ask(root)) == "folder1"


@pytest.mark.parametrize("how", ["in place", "by another file"])
def test_old_file_rewritten_with_its_old_time(
    ask: Ask, repository: Repository, file: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    root = str(repository.root)
    _update(file, ("datastore", "templates"), {"default": f"folder0/{TEMPLATE}"})
    before = os.stat(file)
    # An hour later, when nobody reads the file to see whether it changed.
    clock = configuration.time.time_ns
    monkeypatch.setattr(configuration.time, "time_ns", lambda: clock() + 3600 * 10**9)
    assert _folder(ask(root)) == "folder0"
    with monkeypatch.context() as patches:
        patches.setattr(configuration._Watched, "_read", None)
        assert isinstance(blueprint.cached_blueprint(root, repository.universe), blueprint.Blueprint)
    text = file.read_text().replace("folder0", "folder1")
    if how == "in place":
        file.write_text(text)
    else:
        other = file.with_name("other.yaml")
        other.write_text(text)
        other.replace(file)
    # The kernel's clock ticks every few milliseconds.
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    while os.stat(file).st_ctime_ns == before.st_ctime_ns:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = os.stat(file)
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
    assert _folder(ask(root)) == "folder1"


@pytest.mark.parametrize(
    ["tag", "included"],
    [
        ("!include templates.yaml", "templates.yaml"),
        ("!include below/templates.yaml", "below/templates.yaml"),
        ("!include templates.txt", "templates.txt"),
        ("!include ROOT/templates.yaml", "templates.yaml"),
        ("!include file://ROOT/templates.yaml", "templates.yaml"),
        ("{default: !include default.yaml}", "default.yaml"),
        ("!include {default: default.yaml}", "default.yaml"),
        ("!include outer.yaml", "templates.yaml"),
        ("!include outer.txt", "below/templates.txt"),
    ],
)
def test_rewritten_include(ask: Ask, repository: Repository, file: Path, tag: str, included: str) -> None:
    root = repository.root
    (root / "below").mkdir()
    (root / "outer.yaml").write_text("!include templates.yaml")
    (root / "outer.txt").write_text("!include below/templates.txt")
    text = file.read_text()
    assert "datastore:\n" in text
    tag = tag.replace("ROOT", str(root))
    file.write_text(text.replace("datastore:\n", f"datastore:\n  templates: {tag}\n"))

    def write(folder: str) -> None:
        default = f"{folder}/{TEMPLATE}"
        alone = included == "default.yaml"
        (root / included).write_text(yaml.safe_dump(default if alone else {"default": default}))

    for folder in ("first", "other"):
        write(folder)
        assert _folder(ask(str(root))) == folder
    (root / included).unlink()
    assert ask(str(root), kept=False) is FileNotFoundError
    write("again")
    assert _folder(ask(str(root))) == "again"


@pytest.mark.parametrize("where", ["beside", "current directory", "environment", "below", "nested", "JSON"])
def test_rewritten_include_configs(
    ask: Ask, repository: Repository, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("TEMPLATES", str(repository.root / "templates.yaml"))
    extra = (here if where == "current directory" else repository.root) / "templates.yaml"
    if where in ("nested", "JSON"):
        suffix = "yaml" if where == "nested" else "json"
        # With a tab, which is white space for JSON alone.
        (file.parent / f"outer.{suffix}").write_text('{\t"includeConfigs": ["templates.yaml"]}')
        name = f"outer.{suffix}"
    else:
        name = "$TEMPLATES" if where == "environment" else "templates.yaml"
    content = yaml.safe_load(file.read_text())
    if where == "nested":
        content["datastore"]["includeConfigs"] = [name]
        key: tuple[str, ...] = ()
    else:
        content["includeConfigs"] = name
        key = ("datastore",)
    file.write_text(yaml.safe_dump(content))
    if where == "nested":
        file.parent.joinpath("outer.yaml").write_text('{ "includeConfigs": ["templates.yaml"]}')
    kept = where != "JSON"
    for folder in ("first", "other"):
        _set_template(extra, folder, *key)
        assert _folder(ask(str(repository.root), kept=kept)) == folder


def test_include_configs_in_an_included_file(ask: Ask, repository: Repository, file: Path) -> None:
    # Relative to the file that is read, not to the one it includes.
    (repository.root / "below").mkdir()
    content = yaml.safe_load(file.read_text())
    datastore = {"includeConfigs": "templates.yaml", **content.pop("datastore")}
    (repository.root / "below" / "datastore.yaml").write_text(yaml.safe_dump(datastore))
    file.write_text(f"datastore: !include below/datastore.yaml\n{yaml.safe_dump(content)}")
    for folder in ("first", "other"):
        _set_template(repository.root / "templates.yaml", folder)
        assert _folder(ask(str(repository.root))) == folder


def test_include_configs_found_in_the_current_directory_first(
    ask: Ask, repository: Repository, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _update(file, ("includeConfigs",), ["templates.yaml"])
    _set_template(repository.root / "templates.yaml", "beside", "datastore")
    assert _folder(ask(str(repository.root))) == "beside"
    _set_template(tmp_path / "templates.yaml", "here", "datastore")
    assert _folder(ask(str(repository.root))) == "here"
    (tmp_path / "templates.yaml").unlink()
    assert _folder(ask(str(repository.root))) == "beside"


def test_environment_that_chooses_an_include(
    ask: Ask, repository: Repository, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _update(file, ("includeConfigs",), "$WHICH_TEMPLATES.yaml")
    for name in ("first", "other"):
        _set_template(repository.root / f"{name}.yaml", name, "datastore")
        monkeypatch.setenv("WHICH_TEMPLATES", name)
        assert _folder(ask(str(repository.root))) == name


@pytest.fixture(params=["argument", "environment"])
def search(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, ask: Ask) -> Ask:
    """Return `ask` with one more argument: where to search for defaults."""

    def search(config: Any, *, path: Path, **options: Any) -> Any:
        if request.param == "argument":
            options["search_paths"] = ["/nowhere", str(path)]
        else:
            monkeypatch.setenv("DAF_BUTLER_CONFIG_PATH", f"/nowhere{os.pathsep}{path}")
        return ask(config, **options)

    return search


@pytest.mark.parametrize("existing", ["nothing", "folder", "subfolder", "symbolic links"])
def test_defaults_on_a_search_path(
    search: Ask, repository: Repository, tmp_path: Path, existing: str
) -> None:
    root, path, real = str(repository.root), tmp_path / "defaults", tmp_path / "real"
    if existing == "folder":
        path.mkdir()
    elif existing == "subfolder":
        (path / "datastores").mkdir(parents=True)
        (path / "unrelated.yaml").write_text("")
    elif existing == "symbolic links":
        path.mkdir()
        (real / "datastores").mkdir(parents=True)
        (path / "datastores").symlink_to(real / "datastores")
    before = search(root, path=path)
    for folder in ("first", "other"):
        _set_template((real if existing == "symbolic links" else path) / FILE_DEFAULTS, folder, "datastore")
        assert _folder(search(root, path=path)) == folder
    (path / FILE_DEFAULTS).resolve().unlink()
    assert search(root, path=path) == before


def test_defaults_for_a_config(search: Ask, file: Path, tmp_path: Path) -> None:
    config = Config(str(file))
    search(config, path=tmp_path)
    for folder in ("first", "other"):
        _set_template(tmp_path / FILE_DEFAULTS, folder, "datastore")
        assert _folder(search(config, path=tmp_path)) == folder


@pytest.mark.parametrize(
    ["name", "content"],
    [
        ("datastore.yaml", {"datastore": {"name": "mine"}}),
        ("storageClasses.yaml", {"storageClasses": {"MetricsPlain": {"pytype": "list"}}}),
        ("datastores/composites.yaml", {"composites": {"default": True}}),
    ],
)
def test_other_defaults(
    search: Ask,
    repository: Repository,
    tmp_path: Path,
    storage_classes: StorageClassFactory,
    name: str,
    content: dict[str, Any],
) -> None:
    root = str(repository.root)
    _update(repository.root / "butler.yaml", ("datastore", "composites"), {})
    search(root, path=tmp_path)
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(content))
    watch = configuration.watch_configuration(root, [tmp_path])
    assert watch is not None and watch.unchanged()
    search(root, path=tmp_path, kept=False)
    file.unlink()
    assert not watch.unchanged()


def test_other_search_paths(ask: Ask, repository: Repository, tmp_path: Path) -> None:
    root = str(repository.root)
    for name in ("first", "other"):
        _set_template(tmp_path / name / FILE_DEFAULTS, name, "datastore")
    first, other = str(tmp_path / "first"), str(tmp_path / "other")
    plain = ask(root)
    assert _folder(ask(root, search_paths=[first])) == "first"
    assert _folder(ask(root, search_paths=[other])) == "other"
    assert _folder(ask(root, search_paths=[other, first])) == "other"
    assert _folder(ask(root, search_paths=[ResourcePath(first), other])) == "first"
    assert ask(root, search_paths=[]) == ask(root) == plain
    # A whole configuration has its defaults.
    assert ask(ButlerConfig(root), search_paths=[first]) == plain


@pytest.mark.parametrize("way", ["argument", "environment"])
def test_search_path_with_a_variable(
    ask: Ask, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    options = {"search_paths": ["$WHICH_DEFAULTS"]} if way == "argument" else {}
    if way == "environment":
        monkeypatch.setenv("DAF_BUTLER_CONFIG_PATH", "$WHICH_DEFAULTS")
    for name in ("first", "other"):
        _set_template(tmp_path / name / FILE_DEFAULTS, name, "datastore")
        monkeypatch.setenv("WHICH_DEFAULTS", str(tmp_path / name))
        assert _folder(ask(str(repository.root), **options)) == name


@pytest.mark.parametrize("value", ["", "/nowhere:", ":/nowhere", "."])
def test_search_path_that_is_the_current_directory(
    ask: Ask, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    # An empty entry means it, too, as in `export DAF_BUTLER_CONFIG_PATH=folder:$DAF_BUTLER_CONFIG_PATH`.
    monkeypatch.setenv("DAF_BUTLER_CONFIG_PATH", value)
    here = tmp_path / "here"
    # Other files there are nobody's business, however many.
    for number in range(600):
        (here / f"{number}").mkdir(parents=True)
    monkeypatch.chdir(here)
    ask(str(repository.root))
    for folder in ("first", "other"):
        _set_template(here / FILE_DEFAULTS, folder, "datastore")
        assert _folder(ask(str(repository.root))) == folder


def test_config_path_set_and_unset(
    ask: Ask, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "other"):
        _set_template(tmp_path / name / FILE_DEFAULTS, name, "datastore")
    for config in (str(repository.root), Config(str(repository.root / "butler.yaml"))):
        before = ask(config)
        for name in ("first", "other"):
            monkeypatch.setenv("DAF_BUTLER_CONFIG_PATH", str(tmp_path / name))
            assert _folder(ask(config)) == name
        monkeypatch.delenv("DAF_BUTLER_CONFIG_PATH")
        assert ask(config) == before


def _index(folder: Path, name: str, **labels: Path) -> str:
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({label: str(path) for label, path in labels.items()}))
    return str(file)


def _root(answer: dict[str, Any]) -> Path:
    (root,) = answer["roots"].values()
    return Path(root.removeprefix("file://"))


@pytest.mark.parametrize("way", ["DAF_BUTLER_REPOSITORY_INDEX", "DAF_BUTLER_REPOSITORIES"])
def test_repository_index(
    ask: Ask, new_repository: NewRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    repositories = [new_repository() for _ in range(2)]
    for repository in (*repositories, repositories[0]):
        value = _index(tmp_path, f"index-{repository.root.name}", label=repository.root)
        if way == "DAF_BUTLER_REPOSITORIES":
            value = Path(value).read_text()
        monkeypatch.setenv(way, value)
        assert _root(ask("label")) == repository.root
    monkeypatch.delenv(way)
    assert ask("label", kept=False) is FileNotFoundError


def test_repository_index_with_a_variable(
    ask: Ask, new_repository: NewRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAF_BUTLER_REPOSITORIES", "label: $WHICH_REPOSITORY")
    for repository in (new_repository(), new_repository()):
        monkeypatch.setenv("WHICH_REPOSITORY", str(repository.root))
        assert _root(ask("label")) == repository.root


def test_label_that_is_a_folder_too(
    ask: Ask, new_repository: NewRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled, folder = new_repository(), new_repository()
    monkeypatch.chdir(tmp_path)
    index = tmp_path / "late-index.yaml"
    monkeypatch.setenv("DAF_BUTLER_REPOSITORY_INDEX", str(index))
    name = folder.root.name
    assert _root(ask(name)) == folder.root
    _index(tmp_path, "late-index", **{name: labelled.root})
    assert _root(ask(name)) == labelled.root
    # Only a string can be a label.
    assert _root(ask(Path(name))) == folder.root


def test_other_universe(ask: Ask, repository: Repository) -> None:
    root = str(repository.root)
    definition = DimensionConfig()
    definition["namespace"] = "test_configuration"
    other = DimensionUniverse(definition)
    assert other is not repository.universe
    for universe in (repository.universe, other, repository.universe):
        assert ask(root, dimensions=universe)["universe"] is universe
        made = blueprint.cached_blueprint(root, universe)
        parts = made.make_parts()
        assert parts is not None
        assert parts.datastore.universe is universe  # type: ignore[attr-defined]


@pytest.mark.parametrize("where", ["Config", "file", "home folder"])
def test_variable_in_the_root(
    ask: Ask, repository: Repository, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    variable = "HOME" if where == "home folder" else "WHICH_STORE"
    _update(file, ("datastore", "root"), "~/store" if where == "home folder" else "$WHICH_STORE/store")
    config: Any = Config(str(file)) if where == "Config" else str(file)
    for name in ("first", "other"):
        monkeypatch.setenv(variable, str(tmp_path / name))
        assert _root(ask(config)) == tmp_path / name / "store"


def test_variable_in_the_path(
    ask: Ask, new_repository: NewRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for repository in (new_repository(), new_repository()):
        monkeypatch.setenv("WHICH_REPOSITORY", str(repository.root))
        assert _root(ask("$WHICH_REPOSITORY")) == repository.root


@pytest.mark.parametrize("config", [".", "butler.yaml", Path("butler.yaml"), "file:butler.yaml"], ids=str)
def test_relative_path(
    ask: Ask, new_repository: NewRepository, monkeypatch: pytest.MonkeyPatch, config: Any
) -> None:
    for repository in (new_repository(), new_repository()):
        monkeypatch.chdir(repository.root)
        assert _root(ask(config)) == repository.root


def test_relative_root(
    ask: Ask, repository: Repository, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(str(file))
    config["datastore", "root"] = "store"
    for name in ("first", "other"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert _root(ask(config)) == tmp_path / name / "store"


def test_current_directory_that_went_away(
    ask: Ask, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(str(repository.root))
    monkeypatch.chdir(tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    assert ask(str(repository.root), kept=False) is FileNotFoundError


@pytest.mark.parametrize("create", [True, False])
def test_root_that_went_away(
    repository: Repository,
    file: Path,
    tmp_path: Path,
    butler_class: type[QuantumBackedButler],
    create: bool,
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    _update(file, ("datastore", "root"), str(store))
    _update(file, ("datastore", "create"), create)
    arguments = (str(file), [], [], repository.universe, {})
    for _ in range(2):
        butler_class.from_predicted(*arguments).close()
    store.rmdir()
    if create:
        butler_class.from_predicted(*arguments).close()
    else:
        with pytest.raises(ValueError, match="not allowed to create"):
            butler_class.from_predicted(*arguments)
    assert store.exists() is create


def test_storage_class_of_a_rewritten_file(
    repository: Repository,
    file: Path,
    butler_class: type[QuantumBackedButler],
    storage_classes: StorageClassFactory,
) -> None:
    for name in ("FirstOfMine", "SecondOfMine"):
        _update(file, ("storageClasses",), {name: {"pytype": "dict"}})
        assert name not in storage_classes
        for _ in range(2):
            with butler_class.from_predicted(str(file), [], [], repository.universe, {}) as butler:
                assert butler.storageClasses.getStorageClass(name).pytype is dict


def test_storage_class_added_at_run_time(
    repository: Repository, butler_class: type[QuantumBackedButler], storage_classes: StorageClassFactory
) -> None:
    arguments = (str(repository.root), [], [], repository.universe, {})
    butler_class.from_predicted(*arguments).close()
    storage_classes.registerStorageClass(StorageClass("Added", pytype=dict))
    ref = repository.stored["measured"][0]
    records = repository.records_of([ref])
    with butler_class.from_predicted(
        str(repository.root), [ref.id], [], repository.universe, records
    ) as butler:
        assert "Added" in butler.storageClasses
        assert butler.get(ref, storageClass="Added") == repository.values[ref.id]


def test_storage_classes_that_were_reset(
    repository: Repository, butler_class: type[QuantumBackedButler], storage_classes: StorageClassFactory
) -> None:
    # A new butler knows those of its configuration, whatever happened to them.
    arguments = (str(repository.root), [], [], repository.universe, {})
    butler_class.from_predicted(*arguments).close()
    storage_classes.reset()
    assert "MetricsWhole" not in storage_classes
    with butler_class.from_predicted(*arguments) as butler:
        assert "MetricsWhole" in butler.storageClasses
    storage_classes._unregisterStorageClass("MetricsPlain")
    with butler_class.from_predicted(*arguments) as butler:
        assert "MetricsPlain" in butler.storageClasses


def test_storage_class_that_became_another(
    repository: Repository, butler_class: type[QuantumBackedButler], storage_classes: StorageClassFactory
) -> None:
    arguments = (str(repository.root), [], [], repository.universe, {})
    butler_class.from_predicted(*arguments).close()
    storage_classes._unregisterStorageClass("MetricsPlain")
    storage_classes.registerStorageClass(StorageClass("MetricsPlain", pytype=list))
    for _ in range(2):
        with pytest.raises(ValueError, match="differs from current definition"):
            butler_class.from_predicted(*arguments)
    storage_classes._unregisterStorageClass("MetricsPlain")
    with butler_class.from_predicted(*arguments) as butler:
        assert butler.storageClasses.getStorageClass("MetricsPlain").pytype is not list


@pytest.mark.parametrize("kind", ["file", "chained"])
def test_formatter_added_at_run_time(
    new_repository: NewRepository, butler_class: type[QuantumBackedButler], kind: str
) -> None:
    repository = new_repository(kind)
    refs = list(repository.predicted["derived"])
    arguments = (str(repository.root), [], [ref.id for ref in refs], repository.universe, {})

    def extensions(butler: QuantumBackedButler) -> set[str]:
        exported = butler.export_predicted_datastore_records(refs)
        return {
            Path(info.path).suffix
            for data in exported.values()
            for tables in data.records.values()
            for infos in tables.values()
            for info in infos
        }

    with butler_class.from_predicted(*arguments) as butler:
        assert extensions(butler) == {".json"}
        for datastore in getattr(butler._datastore, "datastores", [butler._datastore]):
            if not datastore.isEphemeral:
                datastore.formatterFactory.registerFormatter("derived", YAML)
        assert extensions(butler) == {".yaml"}
        butler.put({"a": 1}, refs[0])
        assert butler.getURI(refs[1], predict=True).getExtension() == ".yaml" or kind == "chained"
    assert [path for path in repository.artifacts() if "/derived/" in path]
    assert all(path.endswith(".yaml") for path in repository.artifacts() if "/derived/" in path)
    with butler_class.from_predicted(*arguments) as butler:
        assert extensions(butler) == {".json"}


def _write(text: str) -> Callable[[Path], None]:
    return lambda file: file.write_text(text) and None  # type: ignore[func-returns-value]


def _set(*key: str, value: Any) -> Callable[[Path], None]:
    return lambda file: _update(file, key, value)


BROKEN: dict[str, Callable[[Path], None]] = {
    "missing": Path.unlink,
    "not YAML": _write("datastore: [1, 2"),
    "not text": lambda file: file.write_bytes(b"\xff\xfe\xff") and None,  # type: ignore[func-returns-value]
    "a list": _write("[1, 2]"),
    "a number": _write("1"),
    "two documents": _write("a: 1\n---\nb: 2\n"),
    "missing include": _write("datastore: !include nowhere.yaml"),
    "missing includeConfigs": _write("includeConfigs: nowhere.yaml"),
    "unknown scheme": _write("datastore: !include unknown://nowhere.yaml"),
    "endless": _write("datastore: &all {more: *all}"),
    "unknown tag": _write("datastore: !nonsense x"),
    "no class": _set("datastore", "cls", value="lsst.daf.butler.NoSuchDatastore"),
    "other class": _set("datastore", "cls", value="builtins.dict"),
    "no root": _set("datastore", "root", value=None),
    "bad template": _set("datastore", "templates", value={"default": "{run"}),
    "bad storage class": _set("storageClasses", value={"Bad": {"nonsense": {}, "components": 1}}),
    "folder": lambda file: (file.unlink(), file.mkdir()) and None,
}


def _mend(file: Path, text: str) -> None:
    if file.is_dir():
        file.rmdir()
    file.write_text(text)


@pytest.mark.parametrize("how", BROKEN)
def test_broken_configuration(ask: Ask, repository: Repository, file: Path, how: str) -> None:
    root, text = str(repository.root), file.read_text()
    BROKEN[how](file)
    error = ask(root, kept=False)
    assert isinstance(error, type) and issubclass(error, Exception)
    assert not blueprint._blueprints
    _mend(file, text)
    assert ask(root)["roots"] == {"FileDatastore@<butlerRoot>": repository.root.as_uri() + "/"}


@pytest.mark.parametrize("how", ["missing", "not YAML", "missing include", "folder"])
def test_configuration_that_breaks(ask: Ask, repository: Repository, file: Path, how: str) -> None:
    root, text = str(repository.root), file.read_text()
    before = ask(root)
    BROKEN[how](file)
    assert isinstance(ask(root, kept=False), type)
    _mend(file, text)
    assert ask(root) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_forbidden_configuration(ask: Ask, repository: Repository, file: Path) -> None:
    before = ask(str(repository.root))
    file.chmod(0)
    assert ask(str(repository.root), kept=False) is PermissionError
    file.chmod(0o600)
    assert ask(str(repository.root)) == before


@pytest.mark.parametrize(
    "config",
    [1, b"butler.yaml", object(), "unknown://nowhere", "butler.txt", ["a"]],
    ids=name_of,
)
def test_not_a_configuration(ask: Ask, config: Any) -> None:
    assert isinstance(ask(config, kept=False), type)
    assert not blueprint._blueprints


@pytest.mark.parametrize("search_paths", [[1], 1, ["unknown://nowhere"]], ids=repr)
def test_not_a_search_path(ask: Ask, repository: Repository, search_paths: Any) -> None:
    ask(str(repository.root), kept=False, search_paths=search_paths)


def test_mapping_is_not_kept(ask: Ask, repository: Repository, file: Path) -> None:
    # It is no documented way to give a configuration, but upstream takes it.
    content = {**yaml.safe_load(file.read_text()), "root": str(repository.root)}
    before = ask(content, kept=False)
    content["datastore"]["templates"] = {"default": f"elsewhere/{TEMPLATE}"}
    assert ask(content, kept=False) != before
    assert not blueprint._blueprints
