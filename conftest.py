"""Examples that need an optional package are tests of that package's mark."""

import pytest

OPTIONAL = {"pmpnet.solve.torch_train.torch_train": "torch"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark them, before marks are selected by."""
    for item in items:
        if item.name in OPTIONAL:
            item.add_marker(OPTIONAL[item.name])
