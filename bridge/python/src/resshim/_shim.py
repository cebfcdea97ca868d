"""The functions of resshim.h, if the shim is preloaded.

They are called with the GIL held (PyDLL): they never block, and the shim reads the frames of the thread that
holds it.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

_NAMES = ("acquire", "release", "state", "depends", "phase", "expect", "each")


class Shim:
    """The functions, with the types of resshim.h."""

    def __init__(self, ctypes: Any, library: Any) -> None:
        text, number = ctypes.c_char_p, ctypes.c_uint64
        self.visitor: Any = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, text, number, text)
        types = {
            "acquire": [text, number, text],
            "release": [text, number],
            "state": [text, number, text],
            "depends": [text, number, text, number, text],
            "phase": [text],
            "expect": [text, ctypes.c_double],
            "each": [text, self.visitor, ctypes.c_void_p],
        }
        for name in _NAMES:
            function = getattr(library, "resshim_" + name)
            function.argtypes, function.restype = types[name], None
            setattr(self, name, function)

    acquire: Callable[[bytes, int, bytes], None]
    release: Callable[[bytes, int], None]
    state: Callable[[bytes, int, bytes], None]
    depends: Callable[[bytes, int, bytes, int, bytes], None]
    phase: Callable[[bytes], None]
    expect: Callable[[bytes, float], None]
    each: Callable[[Optional[bytes], Any, None], None]


def find() -> Optional[Shim]:
    """The shim of this process; None where it is not preloaded or this Python has no ctypes."""
    try:
        import ctypes

        return Shim(ctypes, ctypes.PyDLL(None))
    except (ImportError, AttributeError, OSError, TypeError):
        return None


def is_main_interpreter() -> bool:
    """Whether this is the interpreter whose end is the end of the process."""
    import ctypes

    # Functions of our own: others may have given those of `ctypes.pythonapi` other types.
    python = ctypes.PyDLL(None)
    try:
        here, main = python["PyInterpreterState_Get"], python["PyInterpreterState_Main"]
    except AttributeError:
        return True
    here.restype = main.restype = ctypes.c_void_p
    return bool(here() == main())
