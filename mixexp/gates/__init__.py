"""Gates: which features hand rows down the tree, and the information of a node."""

from mixexp.gates.softmax import GATES, Constant, Gate, Softmax, node_information

__all__ = ["GATES", "Constant", "Gate", "Softmax", "node_information"]
