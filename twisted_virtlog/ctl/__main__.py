"""``python -m twisted_virtlog.ctl`` is virtlogctl."""

from twisted_virtlog.ctl import main

main(prog_name="virtlogctl")
