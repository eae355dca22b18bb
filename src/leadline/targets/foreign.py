"""Code that is not ours: imported from a file or module, run, and its errors told in one sentence."""

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType

from leadline._core.errors import UsageError
from leadline._core.names import nearest

# Module that a file of the user's imported from its own folder -> that folder.
_siblings: dict[str, Path] = {}


@contextmanager
def told(what: str, *, module: str = "") -> Iterator[None]:
    """Whatever is raised inside becomes a ``UsageError``: what raised it, the error, and the line of ``module``.

    >>> with told("build in net.py"):
    ...     raise KeyError("depth")
    Traceback (most recent call last):
    leadline._core.errors.UsageError: build in net.py raised KeyError: 'depth'.
    """
    try:
        yield
    # Foreign code may raise anything, and a script without a main guard may call sys.exit.
    except (Exception, SystemExit) as error:
        said = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split()).rstrip(".")
        raise UsageError(
            f"{what} raised {type(error).__name__}{f': {said}' if said else ''}{_where(error, module)}."
        ) from error


def _where(error: BaseException, module: str) -> str:
    """File and line, the last within ``module`` that the error passed through."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}, line {error.lineno})"
    passed = [(f, line) for f, line in traceback.walk_tb(error.__traceback__) if f.f_globals["__name__"] == module]
    return f" ({Path(passed[-1][0].f_code.co_filename).name}, line {passed[-1][1]})" if passed else ""


@contextmanager
def model_told() -> Iterator[None]:
    """What a model raises inside, its ``sys.exit`` included, becomes a ``UsageError``; other errors go through.

    Raises:
        UsageError: In place of an error that passed through a module's call, or a backward pass, after the last line
            of leadline that it passed through.
    """
    try:
        yield
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        behind = _behind_ours(error)
        if not isinstance(error, SystemExit) and not any(_runs_a_model(frame) for frame, _ in behind):
            raise
        foreign = [(frame, line) for frame, line in behind if not _is_of(frame, "torch")]
        place = f" ({Path(foreign[-1][0].f_code.co_filename).name}, line {foreign[-1][1]})" if foreign else ""
        said = " ".join(str(error).split()).rstrip(".")
        what = f"{type(error).__name__}{f': {said}' if said else ''}"
        raise UsageError(f"The model raised {what}{place}.") from error


def _behind_ours(error: BaseException) -> list[tuple[FrameType, int]]:
    """The frames and lines that the error passed through behind the last one of leadline."""
    passed = list(traceback.walk_tb(error.__traceback__))
    ours = [index for index, (frame, _) in enumerate(passed) if _is_of(frame, "leadline")]
    return passed[ours[-1] + 1 :] if ours else passed


def _is_of(frame: FrameType, package: str) -> bool:
    return frame.f_globals.get("__name__", "").partition(".")[0] == package


def _runs_a_model(frame: FrameType) -> bool:
    """Whether it is a module's call, a function's backward, or the backward pass, in which hooks run too."""
    place = frame.f_globals.get("__name__"), frame.f_code.co_name
    return place in (
        ("torch.nn.modules.module", "_call_impl"),
        ("torch.autograd.function", "apply"),
        ("torch.autograd.graph", "_engine_run_backward"),
    )


@contextmanager
def on_path(folder: Path) -> Iterator[None]:
    """Modules in ``folder`` can be imported inside; one of the same name from another such folder is forgotten."""
    for name in [name for name, home in _siblings.items() if home != folder and _holds(folder, name)]:
        sys.modules.pop(name, None)
        del _siblings[name]
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        _siblings.update({name: folder for name in set(sys.modules) - before if _holds(folder, name)})


def _holds(folder: Path, module: str) -> bool:
    top = folder / module.partition(".")[0]
    return top.is_dir() or top.with_suffix(".py").is_file()


def import_file(path: Path) -> ModuleType:
    """The module in the file at ``path``, run anew under a name that no other module has.

    Raises:
        UsageError: If there is no such file (the nearest is offered), or running it raises.
    """
    if path.is_dir():
        raise UsageError(f"{str(path)!r} is a folder; give a file in it.")
    if not path.is_file():
        folder = path.parent
        beside = [other.name for other in folder.glob("*.py")] if folder.is_dir() else []
        guess = nearest(path.name, beside)
        hint = f"; did you mean {str(path.with_name(guess))!r}?" if guess else "."
        raise UsageError(f"No such file: {str(path)!r}{hint}")
    path = path.resolve()
    name = f"_leadline_target_{path.stem}_{hashlib.sha1(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look a class up by the name of its module.
    sys.modules[name] = module
    try:
        with on_path(path.parent), told(f"Importing {path.name}", module=name):
            spec.loader.exec_module(module)
    except UsageError:
        del sys.modules[name]
        raise
    return module


def import_module(name: str) -> ModuleType | None:
    """The module of that dotted name, looked for in the working folder too; ``None`` where there is none.

    Raises:
        UsageError: If importing it raises.
    """
    with on_path(Path.cwd()), told(f"Importing {name}", module=name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and (name == error.name or name.startswith(f"{error.name}.")):
                return None
            raise
