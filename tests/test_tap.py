"""The plugin: options, defaults, the daemon's own log, and how the process ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from bench.daemon import CHECKOUT
from tests.socket_fakes import wait_for_socket
from twisted_virtlog.config.settings import ConfigError, Settings
from twisted_virtlog.ownlog.outputs import OutputError
from twisted_virtlog.service import Endpoints
from twisted_virtlog.tap import Options, prepare
