"""A Parquet file at a path or URI that the user named, outside the store: it appears whole or not at all.

It knows where a file goes, and nothing of what is in it.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from recsae.errors import BadInput
from recsae.store.folder import Folder, split_query


def named(option: str, target: str) -> tuple[Folder, str]:
    """The folder and the name of a file. Raises BadInput, naming the option, where it cannot be written there."""
    path, query = split_query(target)
    head, slash, name = path.rpartition("/")
    folder = Folder((head if slash else ".") + query)
    try:
        if not name or folder.filesystem.get_file_info(folder.locate(name)).type == pafs.FileType.Directory:
            raise BadInput(f"{option} {target} is a folder; give the name of a file in it")
        folder.filesystem.create_dir(folder.path, recursive=True)
    except BadInput as error:  # the folder's own sentence speaks of the store
        raise (
            error if option in str(error) else BadInput(f"{option} {target}: no path or URI; give another")
        ) from None
    except OSError as error:
        raise BadInput(f"{option} {target}: cannot be written ({str(error).splitlines()[0]}); give another") from None
    return folder, name


@contextlib.contextmanager
def whole_parquet(folder: Folder, name: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A writer of a file that takes its name at the end, and leaves nothing where the block fails."""
    partial, filesystem = folder.locate(f".{name}.{uuid.uuid4().hex[:12]}"), folder.filesystem
    try:
        with filesystem.open_output_stream(partial) as sink, pq.ParquetWriter(sink, schema, compression="zstd") as out:
            yield out
        filesystem.move(partial, folder.locate(name))
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            filesystem.delete_file(partial)
        raise
