"""Examples that need an optional package are tests of that package's mark."""

from importlib.util import find_spec

import pytest

OPTIONAL = {
    "pmpnet.interop.adopt.from_torch": "torch",
    "pmpnet.interop.deploy.to_torch": "torch",
    "pmpnet.solve.torch_train.torch_train": "torch",
}
# modules that cannot be imported without their package
collect_ignore = [] if find_spec("torch") else ["pmpnet/interop/modules.py"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark them, before marks are selected by."""
    for item in items:
        if item.name in OPTIONAL:
            item.add_marker(OPTIONAL[item.name])
