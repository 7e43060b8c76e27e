"""An object store that refuses, fails or hangs up: upstream's errors, and nothing half done.

The answers come from a hook of botocore's, so that both classes get them at the same
request of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.awsrequest
import botocore.exceptions
import pytest
from lsst.daf.butler import DatasetRef
from lsst.resources.s3utils import _get_s3_client, getS3Client
from scenarios import Butler, Run, scenario
from stores import Bucket

from full_disks import small_disk
from repositories import example_metrics
from writing_formatters import WritesFile, use_formatter

FAULTS = {
    "forbidden": (403, "AccessDenied"),
    "gone": (404, "NoSuchBucket"),
    "broken": (500, "InternalError"),
}
# What is tried again, for a minute.
_BUSY = (503, "SlowDown")
PRUNE: dict[str, Any] = {"disassociate": True, "unstore": True, "purge": True}

# What is asked of the store, and the operations that fail with it.
WRITES = ("PutObject",)
READS = ("GetObject", "HeadObject")
REMOVES = ("DeleteObject", "DeleteObjects")


class _Body:
    """A response's body, in botocore's form."""

    def __init__(self, contents: bytes):
        self._contents = contents

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._contents


@contextmanager
def failing(fault: str, *operations: str, times: int | None = None) -> Iterator[list[str]]:
    """Have requests of some kinds fail, all of them or the first ones; yield what failed."""
    failed: list[str] = []

    def answer(request: Any, event_name: str, **_: Any) -> Any:
        operation = event_name.rpartition(".")[2]
        if operation not in operations or (times is not None and len(failed) >= times):
            return None
        failed.append(operation)
        if fault == "cut":
            raise ConnectionResetError(104, "Connection reset by peer")
        status, code = FAULTS.get(fault, _BUSY)
        body = f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()
        headers = {"Retry-After": "1"} if status == 503 else {}
        return botocore.awsrequest.AWSResponse(request.url, status, headers, _Body(body))

    events = getS3Client().meta.events
    events.register_first("before-send.s3", answer)
    try:
        yield failed
    finally:
        events.unregister("before-send.s3", answer)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, object_store: None) -> Callable[[Run], Bucket]:
    """Return what puts a repository into a bucket of the run's own; nobody waits before trying again."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    # How long it would be is in the messages.
    monkeypatch.setattr("random.uniform", lambda _, most: most)

    def make(run: Run) -> Bucket:
        # What a client has tried again counts against what it tries again later.
        _get_s3_client.cache_clear()
        store = Bucket("observatory")
        store.restore(run.repository)
        return store

    return make


def _butler(run: Run, store: Bucket, inputs: list[DatasetRef], outputs: list[DatasetRef]) -> Butler:
    butler: Butler = run.butler_class.initialize(
        store.root,
        run.repository.quantum(inputs, outputs),
        run.repository.universe,
        dataset_types=run.repository.dataset_types,
    )
    run.watch(butler)
    return butler


def _say(run: Run, store: Bucket, call: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Make a call that may fail, and note what comes of it and of the store."""
    try:
        run(call, *args, **options)
    except Exception as error:
        run.note("failed", type(error).__name__)
    run.note("objects", store.contents())


@pytest.mark.proof
@pytest.mark.parametrize("fault", [*FAULTS])
@scenario("file")
def test_reading(run: Run, bucket: Callable[[Run], Bucket], fault: str) -> None:
    store = bucket(run)
    inputs = [run.ref(name) for name in ("measured", "plain", "whole", "parts", "series")]
    butler = _butler(run, store, inputs, [])
    with failing(fault, *READS) as failed:
        for ref in inputs:
            _say(run, store, butler.get, ref)
            _say(run, store, butler.stored, ref)
        _say(run, store, butler.get, run.ref("parts").makeComponentRef("data"))
        _say(run, store, butler.stored_many, inputs)
    assert failed
    for ref in inputs:
        assert run(butler.get, ref) == run.value(ref)


@pytest.mark.parametrize(
    ["fault", "name"],
    [
        ("forbidden", "log"),
        ("gone", "whole_out"),
        ("broken", "plain_out"),
        ("forbidden", "parts_out"),
    ],
)
@scenario("file")
def test_writing(run: Run, bucket: Callable[[Run], Bucket], fault: str, name: str) -> None:
    store, ref = bucket(run), run.ref(name)
    butler = _butler(run, store, [], [ref])
    dataset = {"a": 1} if name == "log" else example_metrics(1)
    before = store.contents()
    with failing(fault, *WRITES) as failed:
        _say(run, store, butler.put, dataset, ref)
    assert failed and store.contents() == before
    assert not butler._actual_output_refs
    assert run(butler._datastore.knows, ref) is False
    run(butler.put, dataset, ref)
    assert run(butler.stored, ref) is True


@pytest.mark.parametrize("fault", [*FAULTS])
@scenario("file")
def test_removing(run: Run, bucket: Callable[[Run], Bucket], fault: str) -> None:
    store, outputs = bucket(run), run.refs("derived")
    butler = _butler(run, store, [], outputs)
    for ref in outputs:
        run(butler.put, {"a": 1}, ref)
    with failing(fault, *REMOVES) as failed:
        _say(run, store, butler.pruneDatasets, outputs[:1], **PRUNE)
        _say(run, store, butler.pruneDatasets, outputs[1:3], **PRUNE)
    assert failed
    with failing(fault, *READS):
        _say(run, store, butler.pruneDatasets, outputs[3:], **PRUNE)
    run(butler.stored_many, outputs)


@scenario("file")
def test_bucket_that_was_removed(run: Run, bucket: Callable[[Run], Bucket]) -> None:
    store, ref, output = bucket(run), run.ref("measured"), run.ref("derived")
    butler = _butler(run, store, [ref], [output])
    store.remove()
    for call in (butler.get, butler.stored):
        try:
            run(call, ref)
        except Exception as error:
            run.note("failed", type(error).__name__)
    run.error(butler.put, {"a": 1}, output)
    assert not butler._actual_output_refs


@pytest.mark.proof
@pytest.mark.parametrize("fault", ["cut", "busy"])
@scenario("cached")
def test_tried_again(run: Run, bucket: Callable[[Run], Bucket], fault: str) -> None:
    store, ref, output = bucket(run), run.ref("exposed"), run.ref("log")
    butler = _butler(run, store, [ref], [output])
    for operation, call, args in (
        ("GetObject", butler.get, (ref,)),
        ("HeadObject", butler.stored, (ref,)),
        ("PutObject", butler.put, ({"a": 1}, output)),
    ):
        with failing(fault, operation, times=2) as failed:
            run(call, *args)
        assert failed == [operation] * 2
    run.note("objects", store.contents())


@pytest.mark.parametrize("fault", ["broken", "forbidden"])
@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
@scenario("file")
def test_upload_that_stops_half_way(
    run: Run, bucket: Callable[[Run], Bucket], operation: str, fault: str
) -> None:
    # What the formatter has left is sent in parts when it is this large.
    ref = run.ref(use_formatter(run.repository, WritesFile))
    store = bucket(run)
    butler = _butler(run, store, [], [ref])
    before = store.contents()
    with failing(fault, operation) as failed:
        _say(run, store, butler.put, {"a": "b" * 9_000_000}, ref)
    assert failed and store.contents() == before
    assert not butler._actual_output_refs
    run(butler.put, {"a": 1}, ref)
    assert run(butler.stored, ref) is True


@scenario("file")
def test_without_credentials(
    run: Run, bucket: Callable[[Run], Bucket], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, ref, output = bucket(run), run.ref("measured"), run.ref("derived")
    butler = _butler(run, store, [ref], [output])
    with monkeypatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"):
            environment.delenv(name, raising=False)
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", str(run.folder / "none"))
        _get_s3_client.cache_clear()
        for call in (butler.get, butler.stored):
            _say(run, store, call, ref)
        _say(run, store, butler.put, {"a": 1}, output)
    # Nobody asks the store whether a dataset with a record is there.
    assert [step.call for step in run.steps].count("failed") == 2
    assert not butler._actual_output_refs


@pytest.mark.parametrize("damage", ["no links", "removed", "a file"])
@scenario("cached")
def test_cache_folder_that_is_of_no_use(
    run: Run, bucket: Callable[[Run], Bucket], monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    with _cached(run, bucket, monkeypatch) as cache:
        match damage:
            case "no links":
                monkeypatch.setattr("os.link", _refuse)
            case "removed":
                _remove(cache)
            case _:
                _remove(cache)
                cache.write_bytes(b"")


@pytest.mark.parametrize("damage", ["full", "read-only"])
@scenario("cached")
def test_cache_that_takes_no_more(
    run: Run, bucket: Callable[[Run], Bucket], monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    with small_disk(run.folder / "cache") as disk, _cached(run, bucket, monkeypatch):
        if damage == "full":
            disk.fill()
        else:
            disk.forbid()
    assert "failed" in {step.call for step in run.steps}


@contextmanager
def _cached(run: Run, bucket: Callable[[Run], Bucket], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have a dataset cached; yield the folder to be damaged; then use both datasets, and write one."""
    cache = run.folder / "cache"
    monkeypatch.setenv("DAF_BUTLER_CACHE_DIRECTORY", str(cache))
    store, refs, output = bucket(run), run.refs("measured", 0, 1), run.ref("derived")
    butler = _butler(run, store, refs, [output])
    assert run(butler.get, refs[0]) == run.value(refs[0])
    assert any(cache.iterdir()), "Nothing was cached."
    yield cache
    for ref in refs:
        _say(run, store, butler.get, ref)
        _say(run, store, butler.get, ref)
        _say(run, store, butler.stored, ref)
    _say(run, store, butler.put, {"a": 1}, output)
    _say(run, store, butler.get, output)
    _say(run, store, butler.pruneDatasets, [output], **PRUNE)


def _refuse(*_: Any, **__: Any) -> None:
    raise PermissionError(13, "Permission denied")


def _remove(folder: Any) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
