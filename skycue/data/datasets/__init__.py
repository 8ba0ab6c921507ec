"""Facts of public scene datasets, one module each."""

from skycue.data.datasets.facts import SceneFacts, check_layout
from skycue.data.datasets.known import FACTS, facts_of, identify

__all__ = ["FACTS", "SceneFacts", "check_layout", "facts_of", "identify"]
