"""How far it is from `fit` to the first E-step of the multi-start, in calls and files.

Counts, inside of a package: calls of Python functions, moves from one file to another (returns
not counted), files entered, and the depth of calls; for the first E-step of the model that was
asked for, not those of the single expert it is compared with. ``--calls`` lists who is called how
often.
"""

import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import sklearn
from sklearn.mixture import GaussianMixture

import mixexp
from mixexp import MoERegressor

N_EXPERTS = 3


class ArrivedError(Exception):
    """The E-step has been reached."""


class Counting:
    """A profile function that counts calls inside of a package until a function is called.

    Parameters
    ----------
    package : module
    is_target : callable
        Tells from a frame whether it is the E-step that is waited for.
    """

    def __init__(self, package: Any, is_target: Any) -> None:
        self._root = str(Path(package.__file__).parent)
        self._is_target = is_target
        self.calls: Counter[tuple[str, str]] = Counter()
        self.moves, self.depth = 0, 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        if event != "call" or not file.startswith(self._root) or name.startswith("<"):
            return
        self.calls[file.removeprefix(self._root), name] += 1
        files, caller = [], frame.f_back
        while caller is not None:
            if caller.f_code.co_filename.startswith(self._root):
                files.append(caller.f_code.co_filename)
            caller = caller.f_back
        self.moves += bool(files) and files[0] != file
        if self._is_target(frame):
            self.depth = len(files)
            sys.setprofile(None)
            raise ArrivedError

    def row(self, name: str) -> str:
        files = len({file for file, _ in self.calls})
        return f"{name:<18}{self.calls.total():>7}{self.moves:>7}{files:>7}{self.depth:>7}"


def count(model: Any, data: tuple[np.ndarray, ...], counting: Counting) -> None:
    """Fit until the E-step is reached."""
    sys.setprofile(counting)
    try:
        model.fit(*data)
    except ArrivedError:
        pass
    finally:
        sys.setprofile(None)


def is_first_pass(frame: FrameType) -> bool:
    """Tell whether a call is the pass over data of a model of all experts."""
    if frame.f_code.co_name != "em_statistics":
        return False
    return frame.f_locals["model"].tree.n_leaves == N_EXPERTS


def main() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(442, 10))
    regime = np.digitize(X[:, 0], [-0.5, 0.5])
    y = (regime - 1.0) * X[:, 1] + 0.3 * rng.normal(size=442)
    MoERegressor(N_EXPERTS, random_state=0).fit(X, y)  # what is made once and kept
    own = Counting(mixexp, is_first_pass)
    count(MoERegressor(N_EXPERTS, random_state=0), (X, y), own)
    other = Counting(sklearn, lambda frame: frame.f_code.co_name == "_e_step")
    count(GaussianMixture(N_EXPERTS, random_state=0), (X,), other)
    print(f"{'':<18}{'calls':>7}{'moves':>7}{'files':>7}{'depth':>7}")
    print(own.row("MoERegressor"))
    print(other.row("GaussianMixture"))
    if "--calls" in sys.argv:
        for (file, name), number in own.calls.most_common():
            print(f"{number:>6}  {file}:{name}")


if __name__ == "__main__":
    main()
