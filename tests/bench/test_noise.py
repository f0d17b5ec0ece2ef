"""Being preferred on a busy machine: asked for where the system can, and given back."""

import os
from pathlib import Path

import pytest

from bench import noise


@pytest.fixture(autouse=True)
def _niceness(monkeypatch):
    """Leave the test run's own niceness alone."""
    monkeypatch.setattr(os, "setpriority", lambda *_: None)


@pytest.fixture
def session(tmp_path, monkeypatch) -> Path:
    path = tmp_path / "autogroup"
    monkeypatch.setattr(noise, "_SESSION", path)
    return path


def test_the_session_is_preferred_and_put_back(session):
    session.write_text("/autogroup-17 nice 3\n")
    with noise.preferred():
        assert session.read_text() == "-10"
    assert session.read_text() == "3"


def test_a_process_of_no_session_is_measured_all_the_same(session):
    session.write_text("")
    with noise.preferred():
        assert session.read_text() == ""


def test_a_kernel_without_sessions_is_measured_all_the_same(session):
    with noise.preferred():
        assert not session.exists()


def test_whoever_measures_is_first_and_then_as_before(monkeypatch):
    asked = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *how: asked.append(how[1]))
    with noise.urgent():
        assert asked == [os.SCHED_FIFO]
    assert asked == [os.SCHED_FIFO, os.sched_getscheduler(0)]


def test_whoever_may_not_be_first_does_without(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with noise.urgent():
        pass
