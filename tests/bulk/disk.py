"""A file system of Beam's at addresses like ``disk:///tmp/a.jpg``: this disk, by the way that buckets take."""

from __future__ import annotations

import os

from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.localfilesystem import LocalFileSystem

SCHEME = "disk"


class DiskFileSystem(LocalFileSystem):
    """Has no folders to make, as a bucket has none."""

    @classmethod
    def scheme(cls) -> str:
        return SCHEME

    def has_dirs(self) -> bool:
        return False

    def create(self, path, *arguments, **keywords):
        return super().create(_bare(path), *arguments, **keywords)

    def open(self, path, *arguments, **keywords):
        return super().open(_bare(path), *arguments, **keywords)

    def exists(self, path):
        return os.path.isfile(_bare(path))

    def metadata(self, path):
        found = super().metadata(_bare(path))
        return FileMetadata(path, found.size_in_bytes, found.last_updated_in_seconds)

    def rename(self, source_file_names, destination_file_names):
        super().rename([*map(_bare, source_file_names)], [*map(_bare, destination_file_names)])

    def delete(self, paths):
        super().delete([*map(_bare, paths)])

    def _list(self, dir_or_prefix):
        prefix = _bare(dir_or_prefix)
        for folder, _, names in os.walk(os.path.dirname(prefix)):
            for name in names:
                path = os.path.join(folder, name)
                if path.startswith(prefix):
                    yield FileMetadata(f"{SCHEME}://{path}", 0)


def _bare(path: str) -> str:
    return path.removeprefix(f"{SCHEME}://")
