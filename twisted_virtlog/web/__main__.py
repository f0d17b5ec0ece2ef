"""Makes ``python -m twisted_virtlog.web`` the program ``virtlog-web``."""

from twisted_virtlog.web.tap import main

main()
