"""Gates: what hands rows down the tree."""

from mixexp.gates.softmax import GATES, SoftmaxGates, node_information

__all__ = ["GATES", "SoftmaxGates", "node_information"]
