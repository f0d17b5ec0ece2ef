"""Makes ``virtlogd`` and ``virtlog-web`` work as plugins of twistd and twist."""

from twisted.application.service import ServiceMaker

virtlogd = ServiceMaker(
    "Virtual machine log manager",
    "twisted_virtlog.tap",
    "Writes guests' output into rotated files, as libvirt's virtlogd does.",
    "virtlogd",
)

virtlog_web = ServiceMaker(
    "Page for virtual machines' logs",
    "twisted_virtlog.web.tap",
    "Shows guests' output in a browser.",
    "virtlog-web",
)
