"""Files of the repository beside `tests/`, which the sdist has too and an installed package not."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def needed(name):
    """Return a path of the repository; skip the module if it is not beside `tests/`."""
    path = ROOT / name
    if not path.exists():
        reason = f"needs {name} beside tests/; run the tests from a clone or an unpacked sdist"
        pytest.skip(reason, allow_module_level=True)
    return path
