"""Runs ffmpeg and ffprobe as limited, killable child processes.

Knows process limits and protocols; knows nothing about clips. Only local files and pipes can be
opened, and only by demuxers of real containers: a playlist, a URL or a ``concat:`` name reaches nothing.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import cache

from avcurate.errors import MediaError, UserError
from avcurate.media.scratch import remove_scratch

# containers that hold media themselves; playlists and scripts (hls, concat, dash, lavfi, sdp, …) are left out
FORMATS = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,eac3,flac,flv,gif,h264,hevc,m4v,matroska,webm,mjpeg,mov,mp4,m4a,3gp,3g2,mj2,"
    "mp3,mpeg,mpegts,mpegvideo,mxf,nut,ogg,rm,vob,w64,wav,wv"
)
CONFINED = {"protocol_whitelist": "file,pipe", "format_whitelist": FORMATS}


@cache
def binary(name: str) -> str:
    """Absolute path of ``ffmpeg`` or ``ffprobe``; ``AVCURATE_FFMPEG_DIR`` is searched first.

    Raises:
        UserError: it is not installed.
    """
    path = shutil.which(name, path=os.environ.get("AVCURATE_FFMPEG_DIR")) or shutil.which(name)
    if path is None:
        raise UserError(
            f"{name} was not found.",
            "Install ffmpeg (e.g. `apt-get install ffmpeg`) or set AVCURATE_FFMPEG_DIR to its folder.",
        )
    return path


_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel signal this child when the thread that waits for it is gone, even by SIGKILL (Linux only)."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(_PR_SET_PDEATHSIG, number)


Limits = dict[int, tuple[int, int]]


def _limits(memory_mb: int, cpu_s: int, file_mb: int) -> Limits:
    return {
        resource.RLIMIT_AS: (memory_mb << 20, memory_mb << 20),
        resource.RLIMIT_CPU: (cpu_s, cpu_s + 1),
        resource.RLIMIT_FSIZE: (file_mb << 20, file_mb << 20),
        resource.RLIMIT_CORE: (0, 0),
    }


# a parent that died before the signal was asked for sends none: then the command is not begun
_IF_ALIVE = '[ "$PPID" = "$0" ] && exec "$@"'


@cache
def _mortal(parent: int) -> tuple[str, ...]:
    """A command that has the kernel kill the command after it with its parent; empty where there is none."""
    setpriv, shell = shutil.which("setpriv"), shutil.which("sh")
    if setpriv is None or shell is None or not hasattr(resource, "prlimit"):
        return ()
    words = (setpriv, "--pdeathsig", "KILL", "--", shell, "-c", _IF_ALIVE, str(parent))
    works = subprocess.run([*words, setpriv, "--version"], capture_output=True)
    return () if works.returncode else words


def _spawn(
    command: Sequence[str], stdin: int, limits: Limits, errors: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """Start a child under limits.

    Code of ours between fork and exec would make Python copy this process's page tables, which under a loaded model
    costs more than ffmpeg's own start; so the limits are set from here, before the child has opened anything.
    """
    pipe, parent = subprocess.PIPE, os.getpid()
    if not (mortal := _mortal(parent)):

        def prepare() -> None:
            die_with_parent()
            if os.getppid() != parent:
                os._exit(1)
            for limit, values in limits.items():
                resource.setrlimit(limit, values)

        return subprocess.Popen(list(command), stdin=stdin, stdout=pipe, stderr=errors, preexec_fn=prepare)
    child = subprocess.Popen([*mortal, *command], stdin=stdin, stdout=pipe, stderr=errors)
    with suppress(ProcessLookupError):
        for limit, values in limits.items():
            resource.prlimit(child.pid, limit, values)
    return child


def lasting(command: Sequence[str], *, memory_mb: int, file_mb: int = 8192) -> subprocess.Popen[bytes]:
    """Start a child that answers request after request; its time is limited by whoever waits for an answer."""
    limits = {k: v for k, v in _limits(memory_mb, 0, file_mb).items() if k != resource.RLIMIT_CPU}
    process = _spawn(command, subprocess.PIPE, limits, errors=subprocess.DEVNULL)
    _running.add(process)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a child of :func:`lasting`."""
    process.kill()
    process.communicate()
    _running.discard(process)


def too_slow(timeout_s: float) -> MediaError:
    """The error of a clip that was given up."""
    return MediaError(
        "media_timeout",
        f"decoding took longer than {timeout_s:g} s and was stopped.",
        "Raise media.timeout_s in the recipe if the file is good.",
    )


def run(
    command: Sequence[str],
    *,
    timeout_s: float,
    memory_mb: int = 4096,
    file_mb: int = 8192,
    stdin: bytes | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run one child with limits on wall time, CPU time, address space and file size.

    Raises:
        MediaError: ``media_timeout`` when it ran past ``timeout_s`` and was killed.
    """
    source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    child = _spawn(command, source, _limits(memory_mb, int(timeout_s * 4) + 1, file_mb))
    _running.add(child)
    try:
        out, err = child.communicate(stdin, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise too_slow(timeout_s) from None
    finally:
        if child.poll() is None:
            child.kill()
            child.communicate()
        _running.discard(child)
    return subprocess.CompletedProcess(list(command), child.returncode, out, err)


_running: set[subprocess.Popen[bytes]] = set()


def kill_all() -> None:
    """Kill every running child, and remove their scratch folder: the process is about to end."""
    for child in list(_running):
        with suppress(OSError):
            child.kill()
    remove_scratch()
