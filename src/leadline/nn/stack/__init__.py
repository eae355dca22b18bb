"""Deep stacks of like layers, computed as one."""

from leadline.nn.stack.deep_stack import DeepStack as DeepStack
