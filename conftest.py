"""What holds for all tests of the repository: which marked tests cannot run on this machine."""

import pytest

from tests.system_programs import MARKS, skip_reason


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests whose programs are missing, and those marked `gpu` without a CUDA device."""
    for mark in MARKS:
        if reason := skip_reason(mark):
            for item in items:
                if item.get_closest_marker(mark):
                    item.add_marker(pytest.mark.skip(reason=reason))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch  # only where it is asked for: it takes seconds to import

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="gpu: this machine has no CUDA device"))
