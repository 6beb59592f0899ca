"""How the vectors of several inputs become one.

A fusion is a module built with ``(n_inputs, width, dropout)``. Where its class says ``reads_tokens
= False``, ``forward(vectors, present)`` takes one vector an input, ``(n, n_inputs, width)``, and
which of them are there, ``(n, n_inputs)``; else ``forward(tokens, there)`` takes the tokens of all
inputs behind one another, ``(n, n_tokens, width)`` and ``(n, n_tokens)``. Both return ``(n,
width)``. The vector of a missing input is an embedding that was learned for it.
"""

from torch import nn

from tasks.registry import Registry

fusions: Registry[type[nn.Module]] = Registry("fusion")
