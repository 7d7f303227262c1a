"""Whether the groups of parameters are those of the reference, one parameter after the other.

A rule by names is only right if it picks the same parameters under the names that these have here.
So the model is traced in shapes, every parameter gets its name there, and both rules are asked.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from jssl.algorithm import Algorithm
from jssl.interop.configs.optimizer import Parameter, Rules
from jssl.interop.mmselfsup import reference_key
from jssl.optim.parameter_groups import ParameterGroup, name_of, parameter_groups

Config = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Found:
    """A parameter of a model.

    Attributes:
      name: here.
      there: as the rules of the reference see it.
      shape: of its array.
    """

    name: str
    there: Parameter
    shape: tuple[int, ...]


def parameters(shapes: Any, algorithm: Algorithm) -> list[Found]:
    """The parameters of a model.

    Args:
      shapes: their tree, of arrays or shapes.
      algorithm: whose they are.
    """
    return list(_walk(shapes, algorithm))


def _walk(shapes: Any, algorithm: Algorithm) -> Iterator[Found]:
    leaves = jax.tree.leaves_with_path(shapes)
    norms = {path[:-1] for path, _ in leaves if _last(path) == 'scale'}
    for path, leaf in leaves:
        names = ['params', *(str(key.key) for key in path)]
        there = reference_key(names, algorithm) or name_of(path)
        name = name_of(path)
        parameter = Parameter(there, _dims(there, leaf.shape), path[:-1] in norms)
        yield Found(name, parameter, tuple(leaf.shape))


def _last(path: Any) -> str:
    return str(path[-1].key)


def _dims(name: str, shape: tuple[int, ...]) -> int:
    """The number of axes there, which is that here."""
    del name
    return len(shape)


def used(keys: Mapping[str, Config], found: list[Found]) -> dict[str, Config]:
    """The keys that pick something; jssl refuses the others."""
    return {key: group for key, group in keys.items() if any(key in p.name for p in found)}


def differing(
    rules: Rules, keys: Mapping[str, Config], vectors: Config, shapes: Any, found: list[Found]
) -> list[str]:
    """The names of the parameters that the groups of jssl treat otherwise than the rules do.

    Args:
      rules: of the reference.
      keys, vectors: of an optimizer here.
      shapes: the tree of the parameters.
      found: the parameters in it.
    """
    groups = parameter_groups(shapes, keys, vectors=vectors)
    is_group = lambda x: isinstance(x, ParameterGroup)  # noqa: E731
    here = jax.tree.leaves(groups, is_leaf=is_group)
    wanted = (ParameterGroup(**rules.settings(parameter.there)) for parameter in found)
    pairs = zip(found, here, wanted, strict=True)
    return [parameter.there.name for parameter, ours, theirs in pairs if ours != theirs]
