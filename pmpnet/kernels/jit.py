"""How pmpnet compiles: one place for options, and a disk cache that is never stale.

numba's own cache watches one file only. A sweep is made of several (fields, losses, vector
maths), and of text generated from a user's expressions. Here a compiled sweep is filed under a
digest of *all* the sources it is made of, so that an edit anywhere compiles anew, and a sweep
built by a closure, which numba would never find again, is found by the next process.
"""

import gc
import hashlib
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import numba
import numpy as np
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    _CacheLocator,
)

from .pipeline import KernelCompiler

# NRT off: a sweep owns no memory, so nothing needs reference counting (counting alone took half
# of a round) and nothing can be allocated. Only the outermost kernel is called from Python.
_OPTIONS = {
    "error_model": "numpy",
    "nogil": True,
    "_nrt": False,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    # samples of a block are independent: sums over them may be reordered so that they vectorise;
    # NaN and infinity keep their meaning (no "nnan", no "ninf")
    "fastmath": {"contract", "reassoc", "nsz"},
    "pipeline_class": KernelCompiler,
}
# Inlined: a call hands over every array as nine words on the stack, some hundred nanoseconds
BLOCK_OPTIONS = {**_OPTIONS, "forceinline": True}
# Called: what runs once per block, where the call does not matter and compiling twice would
CALL_OPTIONS = {**_OPTIONS, "forceinline": False}


def cache_folder() -> Path:
    """Return the folder of compiled kernels: PMPNET_CACHE_DIR, or the user's cache folder."""
    if told := os.environ.get("PMPNET_CACHE_DIR"):
        return Path(told)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "pmpnet" / "cache"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pmpnet"


@cache
def sources_digest() -> str:
    """Digest of every kernel's source and of the versions that compile it."""
    digest = hashlib.sha256(f"numba {numba.__version__} python {sys.version}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:24]


class _Locator(_CacheLocator):
    """Where a sweep's compiled code lies: <cache folder>/<digest of the sources>."""

    def __init__(self, name: str):
        self._py_file = name

    def get_cache_path(self):
        return str(cache_folder() / sources_digest())

    def ensure_cache_path(self):
        os.makedirs(self.get_cache_path(), mode=0o700, exist_ok=True)
        check_private(self.get_cache_path())
        super().ensure_cache_path()

    def get_source_stamp(self):
        return sources_digest()

    def get_disambiguator(self):
        return self._py_file

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func.__cache_name__)


def check_private(path: str) -> None:
    """Refuse what somebody else could have written: compiled code is run as it is.

    Raises
    ------
    PermissionError
        If the file or folder is another user's, or a folder that others may write to.
    """
    if not hasattr(os, "getuid"):  # Windows: the user's own folders are private
        return
    told = os.stat(path)
    if told.st_uid not in (os.getuid(), 0):
        raise PermissionError(f"{path!r} belongs to another user")
    if os.path.isdir(path) and told.st_mode & 0o022:
        raise PermissionError(f"others may write to {path!r}")


class _File(IndexDataCacheFile):
    """Index and data on disk, each behind a digest of its bytes: a flipped bit is never run."""

    def _dump(self, obj):
        data = super()._dump(obj)
        return hashlib.sha256(data).digest() + data

    def _whole(self, data: bytes) -> bytes:
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            raise ValueError("a compiled kernel is not as it was written")
        return data[32:]

    def _load_index(self):
        if not os.path.exists(self._index_path):
            return {}
        check_private(self._cache_path)
        check_private(self._index_path)
        with open(self._index_path, "rb") as file:
            version, data = pickle.load(file), file.read()
        stamp, overloads = pickle.loads(self._whole(data))
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}

    def _load_data(self, name):
        path = self._data_path(name)
        check_private(path)
        return pickle.loads(self._whole(Path(path).read_bytes()))


class _Impl(CompileResultCacheImpl):
    _locator_classes = (_Locator,)

    def __init__(self, py_func):
        self._lineno = py_func.__code__.co_firstlineno
        self._locator = _Locator(py_func.__cache_name__)
        abi = getattr(sys, "abiflags", "")
        self._filename_base = self.get_filename_base(py_func.__cache_name__, abi)


class _Cache(FunctionCache):
    _impl_class = _Impl

    def __init__(self, py_func):
        super().__init__(py_func)
        old = self._cache_file
        self._cache_file = _File(self._cache_path, self._impl.filename_base, old._source_stamp)

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except OSError:
            return None  # nothing there to read; saving will say so
        except Exception:  # it was cut off, by a full disk say: the rest is of no use
            with suppress(Exception):
                self.flush()
            return None

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warnings.warn(
                f"compiled kernels cannot be kept in {str(cache_folder())!r} ({error}): every "
                "process will compile anew; set PMPNET_CACHE_DIR to a folder that can be written.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _index_key(self, sig, codegen):
        # the folder's name already stands for the sources; a closure's cells hold other
        # compiled functions, whose identity differs from process to process
        return sig, codegen.magic_tuple()


def compiled(name: str, **options) -> Callable:
    """Decorate a kernel: compiled at its first call, kept on disk under ``name``.

    Parameters
    ----------
    name : str
        What the kernel is made of, beside pmpnet's own sources; one name, one meaning.
    **options
        Passed to ``numba.njit``, over `CALL_OPTIONS`.
    """

    def decorate(function):
        function.__cache_name__ = name
        dispatcher = numba.njit(**{**CALL_OPTIONS, "no_cpython_wrapper": False, **options})(
            function
        )
        if not numba.config.DISABLE_JIT:
            dispatcher._cache = _Cache(function)
        return dispatcher

    return decorate


def entry_point(function: Callable, args: tuple) -> Callable:
    """Return the compiled code for arguments of these types, without numba's dispatch by type.

    Looking at the types of some fifty arrays takes 7 of the 9 microseconds of a call. Whoever
    calls the result vouches that the types never change.
    """
    if numba.config.DISABLE_JIT:
        return function
    key = function, _layout(args)
    if key not in _entry_points:  # to make numba's types takes a millisecond
        types = tuple(function.typeof_pyval(value) for value in args)
        with _no_collection():
            function.compile(types)
        _entry_points[key] = function.overloads[types].entry_point
    return _entry_points[key]


_entry_points: dict[tuple, Callable] = {}


@contextmanager
def _no_collection() -> Iterator[None]:
    """Leave what numba makes alone: to look for garbage in it takes an eighth of compiling."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _layout(value):
    """Return what tells the types of arguments apart: of arrays, tuples of them, and numbers."""
    if isinstance(value, np.ndarray):
        flags = value.flags
        return value.dtype, value.ndim, flags.c_contiguous, flags.f_contiguous, flags.writeable
    if isinstance(value, tuple):
        return type(value), *map(_layout, value)
    return type(value)
