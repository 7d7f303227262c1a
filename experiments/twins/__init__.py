"""Our networks and losses in plain PyTorch, for `experiments.beside_torch`.

Sub-modules carry the names of MMSelfSup's, so that `jssl.interop.mmselfsup.export_state` gives
their weights. Everything is written as PyTorch's users write it: nothing here is slowed down.
"""
