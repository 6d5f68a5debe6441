"""Publishing and fetching: nothing to do in a local folder, complete and verified with a remote store."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from django.core.files.storage import storages
from pytest_django import Settings

from tests.fixtures import RemoteArtifacts
from training import store
from training.exceptions import DamagedArtifactError, StoreError
from training.store import fetch, forget_copy, is_stored, list_stored, publish, refresh, remove

LOCATION = "datasets/7-1"


def write(root: Path, files: dict[str, bytes], *, location: str = LOCATION) -> None:
    for name, content in files.items():
        path = root / location / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


class TestLocal:
    def test_nothing_is_copied(self, artifacts_root: Path) -> None:
        write(artifacts_root, {"a": b"1"})
        publish(LOCATION)
        assert fetch(LOCATION) == refresh(LOCATION) == artifacts_root / LOCATION
        assert [path.name for path in artifacts_root.iterdir()] == ["datasets"]

    def test_what_is_there(self, artifacts_root: Path) -> None:
        write(artifacts_root, {"a": b"1", "b": b"22"})
        write(artifacts_root, {"state.json": b"{}"}, location="runs/3/1/checkpoints/step-00000010")
        write(artifacts_root, {"config.json": b"{}"}, location="runs/3/1")
        [dataset], [checkpoint] = list_stored("datasets"), list_stored("runs", under="3/")
        assert (dataset.location, dataset.size_bytes) == (LOCATION, 3)
        assert checkpoint.location == "runs/3/1/checkpoints/step-00000010"
        assert list_stored("runs", under="4/") == []
        assert (is_stored(LOCATION), is_stored("datasets/8-1")) == (True, False)

    def test_removing_takes_files_and_folders_and_may_be_repeated(self, artifacts_root: Path) -> None:
        write(artifacts_root, {"a": b"1"})
        write(artifacts_root, {"x": b"1"}, location="uploads")
        for _time in range(2):
            remove(LOCATION)
            remove("uploads/x")
        assert list(artifacts_root.glob("*/*")) == []

    def test_a_copy_that_is_the_original_is_not_forgotten(self, artifacts_root: Path) -> None:
        write(artifacts_root, {"a": b"1"})
        forget_copy(LOCATION)
        assert (artifacts_root / LOCATION / "a").exists()

    def test_it_needs_no_client_of_a_remote_one(self, artifacts_root: Path) -> None:
        store.check_access()


class TestRemote:
    def test_what_one_machine_publishes_another_fetches(self, remote_artifacts: RemoteArtifacts) -> None:
        write(remote_artifacts.move_to("first"), {"a": b"1", "sub/b": b"22"})
        publish(LOCATION)
        root = remote_artifacts.move_to("second")
        assert fetch(LOCATION) == root / LOCATION
        assert (root / LOCATION / "a").read_bytes() == b"1"
        assert (root / LOCATION / "sub" / "b").read_bytes() == b"22"
        assert list((root / ".drafts").iterdir()) == []

    def test_a_single_file(self, remote_artifacts: RemoteArtifacts) -> None:
        write(remote_artifacts.move_to("first"), {"x": b"archive"}, location="uploads")
        publish("uploads/x")
        assert remote_artifacts.keys() == ["index/uploads/x.json", "uploads/x"]
        remote_artifacts.move_to("second")
        assert fetch("uploads/x").read_bytes() == b"archive"
        remove("uploads/x")
        assert remote_artifacts.keys() == []
        assert not is_stored("uploads/x")

    def test_what_is_here_already_is_not_asked_for(
        self, remote_artifacts: RemoteArtifacts, artifacts_root: Path
    ) -> None:
        write(artifacts_root, {"a": b"1"})
        remote_artifacts.bucket.delete()
        assert fetch(LOCATION) == artifacts_root / LOCATION

    def test_what_nobody_published_is_not_there(self, remote_artifacts: RemoteArtifacts, artifacts_root: Path) -> None:
        with pytest.raises(FileNotFoundError):
            fetch(LOCATION)
        assert not (artifacts_root / LOCATION).exists()

    @pytest.mark.parametrize("content", [b"", b"2"])
    def test_what_was_damaged_is_refused(self, remote_artifacts: RemoteArtifacts, content: bytes) -> None:
        write(remote_artifacts.move_to("first"), {"a": b"1", "b": b"1"})
        publish(LOCATION)
        remote_artifacts.bucket.Object(f"site/{LOCATION}/b").put(Body=content)
        root = remote_artifacts.move_to("second")
        with pytest.raises(DamagedArtifactError):
            fetch(LOCATION)
        assert not (root / LOCATION).exists()
        assert list((root / ".drafts").iterdir()) == []

    @pytest.mark.parametrize(
        "index",
        [
            b"{",
            b"[]",
            b'{"schema": 2, "files": {}}',
            b'{"schema": 1, "files": {"../x": {"sha256": "", "bytes": 1}}}',
            b'{"schema": 1, "files": {"/x": {"sha256": "", "bytes": 1}}}',
            b'{"schema": 1, "files": {"x": {}}}',
        ],
    )
    def test_an_index_that_makes_no_sense_is_refused(self, remote_artifacts: RemoteArtifacts, index: bytes) -> None:
        remote_artifacts.bucket.Object(f"site/index/{LOCATION}.json").put(Body=index)
        with pytest.raises(DamagedArtifactError):
            fetch(LOCATION)

    def test_half_an_upload_is_nothing(
        self, remote_artifacts: RemoteArtifacts, monkeypatch: pytest.MonkeyPatch, artifacts_root: Path
    ) -> None:
        write(artifacts_root, {"a": b"1", "b": b"2"})
        storage = storages["default"]
        save = storage.save

        def fail_at_b(name: str, content: Any) -> str:
            if name.endswith("/b"):
                raise ClientError({"Error": {"Code": "XMinioStorageFull"}}, "PutObject")
            return str(save(name, content))

        monkeypatch.setattr(storage, "save", fail_at_b)
        with pytest.raises(OSError, match="full") as caught:
            publish(LOCATION)
        assert caught.value.errno == errno.ENOSPC
        assert remote_artifacts.keys() == [f"{LOCATION}/a"]
        assert not is_stored(LOCATION)
        assert [found.location for found in list_stored("datasets")] == [LOCATION]  # for the cleaning to find

    def test_publishing_again_uploads_what_changed(
        self, remote_artifacts: RemoteArtifacts, monkeypatch: pytest.MonkeyPatch, artifacts_root: Path
    ) -> None:
        write(artifacts_root, {"a": b"1", "b": b"2"})
        publish(LOCATION)
        saved: list[str] = []
        storage = storages["default"]
        save = storage.save

        def note(name: str, content: Any) -> str:
            saved.append(name)
            return str(save(name, content))

        monkeypatch.setattr(storage, "save", note)
        publish(LOCATION)
        assert saved == []
        write(artifacts_root, {"b": b"3"})
        publish(LOCATION)
        assert saved == [f"{LOCATION}/b", f"index/{LOCATION}.json"]

    def test_refreshing_fetches_what_changed(self, remote_artifacts: RemoteArtifacts) -> None:
        first = remote_artifacts.move_to("first")
        write(first, {"a": b"1", "b": b"2"})
        publish(LOCATION)
        second = remote_artifacts.move_to("second")
        fetch(LOCATION)
        remote_artifacts.move_to("first")
        write(first, {"b": b"33"})
        publish(LOCATION)
        remote_artifacts.move_to("second")
        remote_artifacts.bucket.Object(f"site/{LOCATION}/a").delete()  # it is not fetched again
        assert (refresh(LOCATION) / "b").read_bytes() == b"33"
        assert (second / LOCATION / "a").read_bytes() == b"1"

    def test_a_forgotten_copy_is_fetched_again(self, remote_artifacts: RemoteArtifacts, artifacts_root: Path) -> None:
        write(artifacts_root, {"a": b"1"})
        publish(LOCATION)
        write(artifacts_root, {"a": b"torn"})
        forget_copy(LOCATION)
        assert (fetch(LOCATION) / "a").read_bytes() == b"1"

    def test_a_full_disk_leaves_nothing(
        self, remote_artifacts: RemoteArtifacts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(remote_artifacts.move_to("first"), {"a": b"1"})
        publish(LOCATION)
        root = remote_artifacts.move_to("second")

        def fail(*_args: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("training.remote_store.os.fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            fetch(LOCATION)
        assert not (root / LOCATION).exists()
        assert list((root / ".drafts").iterdir()) == []

    def test_a_store_that_is_away_is_named(self, remote_artifacts: RemoteArtifacts, settings: Settings) -> None:
        options = {"bucket_name": "b", "location": "", "endpoint_url": "http://127.0.0.1:9"}
        settings.STORAGES = {
            **settings.STORAGES,
            "default": {"BACKEND": "training.remote_store.ArtifactStorage", "OPTIONS": options},
        }
        with pytest.raises(StoreError) as caught:
            store.check_access()
        assert caught.value.strerror == "The store of artifacts does not answer (EndpointConnectionError)"

    def test_a_bucket_that_is_not_there_is_named(self, remote_artifacts: RemoteArtifacts) -> None:
        remote_artifacts.bucket.delete()
        with pytest.raises(StoreError) as caught:
            store.check_access()
        assert caught.value.strerror == "The bucket that ARTIFACTS_URL names does not exist"

    def test_missing_credentials_are_named(
        self, remote_artifacts: RemoteArtifacts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        settings.STORAGES = dict(settings.STORAGES)  # another storage, which has not read them yet
        with pytest.raises(StoreError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
            store.check_access()

    @pytest.mark.parametrize("code", ["403", "AccessDenied", "SignatureDoesNotMatch"])
    def test_a_refusal_is_named(
        self, remote_artifacts: RemoteArtifacts, monkeypatch: pytest.MonkeyPatch, code: str
    ) -> None:
        def refuse(*_args: object, **_options: object) -> None:
            raise ClientError({"Error": {"Code": code}}, "HeadObject")

        monkeypatch.setattr(storages["default"], "exists", refuse)
        with pytest.raises(StoreError, match="refuses us: check AWS_ACCESS_KEY_ID"):
            is_stored(LOCATION)
