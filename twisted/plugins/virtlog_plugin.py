"""Makes ``twistd virtlogd`` and ``twist virtlogd`` work."""

from twisted.application.service import ServiceMaker

virtlogd = ServiceMaker(
    "Virtual machine log manager",
    "twisted_virtlog.tap",
    "Writes guests' output into rotated files, as libvirt's virtlogd does.",
    "virtlogd",
)
