"""The method that gives the files of a log to read, with the types of its parameters and result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from twisted_virtlog import values
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.method import Example, Method, Services
from twisted_virtlog.jsonrpc.params import ParamsDecoder
from twisted_virtlog.jsonrpc.schema import PathParams, Position


class FilesParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A log, and where in it to begin."""

    start: Annotated[
        Position | None,
        Meta(
            description="from an earlier result: begin with the file that it is in; null, or where"
            " that file is gone: with the oldest"
        ),
    ] = None


class FileEntry(Struct, frozen=True, gc=False):
    """A file of a log."""

    inode: Annotated[int | str, Meta(description="as in a position")]
    birth: Annotated[str, Meta(description="as in a position")]
    size: Annotated[
        int, Meta(ge=0, description="bytes of the log in it; of the newest, when it was opened")
    ]
    compressed: Annotated[
        bool,
        Meta(description="whether the file holds them compressed, as the seekable format of zstd"),
    ]
    gap: Annotated[
        bool,
        Meta(description="bytes are, or may be, missing between the file before it and this one"),
    ]


class FilesResult(Struct, frozen=True):
    """Files of a log, the oldest first; their descriptors come with the answer, in this order."""

    files: Annotated[list[FileEntry], Meta(max_length=values.MAX_OPENED_FILES)]
    more: Annotated[
        bool,
        Meta(description="there are newer ones: ask again, with a position in the last of these"),
    ]
    fds: Annotated[
        int,
        Meta(
            ge=0,
            le=values.MAX_OPENED_FILES,
            description="descriptors, open for reading, that come with this answer as SCM_RIGHTS",
        ),
    ]


def _files(services: Services, params: FilesParams) -> Answer[values.OpenedFiles]:
    start = None if params.start is None else params.start.value()
    return services.handler.files(params.path, start)


def _present(opened: values.OpenedFiles, _params: FilesParams) -> FilesResult:
    entries = [_entry(file.kept) for file in opened.files]
    return FilesResult(entries, opened.more, fds=len(entries))


def _entry(file: values.KeptFile) -> FileEntry:
    inode = Position.of(values.Position(file.inode, 0)).inode
    return FileEntry(inode, file.birth, file.size, compressed=file.is_packed, gap=file.parted)


def _descriptors(opened: values.OpenedFiles) -> Sequence[int]:
    return [file.descriptor for file in opened.files]


_LOG = "/var/log/libvirt/qemu/web-serial0.log"

FILES_METHODS: tuple[Method[Any, Any], ...] = (
    Method(
        name="log.files",
        summary=(
            "Return the files of a log with descriptors to read them, after writing what is in its"
            " pipe. For programs that read much: it costs the daemon nothing more. Only one such"
            " answer may be on its way to a client."
        ),
        params=ParamsDecoder(FilesParams),
        result=FilesResult,
        ask=_files,
        present=_present,
        example=Example(
            "a log with one backup",
            FilesParams(_LOG),
            FilesResult(
                [
                    FileEntry(2203846, "h1.h6AhAJUuP7M", 2097137, compressed=False, gap=False),
                    FileEntry(2203847, "h1.h6AhAKYwP7M", 6, compressed=False, gap=False),
                ],
                more=False,
                fds=2,
            ),
        ),
        descriptors=_descriptors,
        most_descriptors=values.MAX_OPENED_FILES,
        errors=(
            Code.LOG_BUSY,
            Code.NO_SUCH_LOG,
            Code.SYSTEM_ERROR,
            Code.LIMIT,
            Code.SHUTTING_DOWN,
            Code.NOT_ALLOWED,
        ),
        read_only=True,
        needs_stream=True,
    ),
)
