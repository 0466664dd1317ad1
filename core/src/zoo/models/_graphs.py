"""Features of any node of a model's graph, by torchvision's names for nodes."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from torch import fx, nn

from zoo.errors import InvalidArgument, suggest

__all__ = ["create_feature_extractor", "get_graph_node_names"]

Nodes = Sequence[str] | Mapping[str, str]


class _NamingTracer(fx.Tracer):
    """Names every node by its module: ``layer4.0.conv1``, ``layer4.0.add``, ``flatten``."""

    def __init__(self, **kwargs: Any) -> None:
        self.leaves = tuple(kwargs.pop("leaf_modules", ()))
        super().__init__(**kwargs)
        self.names: dict[fx.Node, str] = {}
        self.inside = ""
        self.seen: Counter[str] = Counter()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        blocks = any(kind.__module__.startswith(("zoo.nn.", "zoo.ops.")) for kind in type(m).__mro__)
        leaves = (*self.leaves, nn.MultiheadAttention)
        return blocks or isinstance(m, leaves) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        outer, self.inside = self.inside, self.path_of_module(m)
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            self.inside = outer

    def create_node(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(kind, target, *args, **kwargs)
        name = self.inside
        if kind != "call_module":
            own = target if isinstance(target, str) else target.__name__
            name = ".".join(filter(None, (name if kind.startswith("call") else "", own)))
        name = re.sub(r"(?<=.)_\d+$", "", name)  # so that numbers only count nodes: ln_1 and ln_2 become ln and ln_1
        self.names[node] = f"{name}_{self.seen[name]}" if self.seen[name] else name
        self.seen[name] += 1
        return node


def _trace(
    model: nn.Module, training: bool, tracer_kwargs: Mapping[str, Any] | None, concrete_args: Any
) -> tuple[fx.Graph, dict[str, fx.Node]]:
    tracer, before = _NamingTracer(**(tracer_kwargs or {})), {m: m.training for m in model.modules()}
    try:
        graph = tracer.trace(model.train(training), concrete_args)
        graph._tracer_cls = None  # pickled graphs would be loaded with it
    finally:
        for m, mode in before.items():
            m.training = mode
    return graph, {name: node for node, name in tracer.names.items() if node.op != "output"}


def get_graph_node_names(
    model: nn.Module,
    tracer_kwargs: Mapping[str, Any] | None = None,
    suppress_diff_warning: bool = False,
    concrete_args: dict[str, Any] | None = None,
) -> tuple[list[str], list[str]]:
    """The names of a model's nodes in train and in eval mode, in the order in which they run.

    Args:
        model: a model that ``torch.fx.symbolic_trace`` supports.
        tracer_kwargs: arguments of ``torch.fx.Tracer``, and ``leaf_modules``, classes whose modules stay single nodes.
        suppress_diff_warning: do not warn if the modes differ.
        concrete_args: arguments of ``forward`` that are fixed to a value.
    """
    train, evaluation = (list(_trace(model, mode, tracer_kwargs, concrete_args)[1]) for mode in (True, False))
    if train != evaluation and not suppress_diff_warning:
        warnings.warn(
            f"{type(model).__name__} has other nodes in train mode than in eval mode: choose nodes in both, or "
            "give train_return_nodes and eval_return_nodes. Silence this with suppress_diff_warning=True.",
            stacklevel=2,
        )
    return train, evaluation


class GraphFeatures(fx.GraphModule):
    """Runs the part of a model that some of its nodes need, with one graph for train mode and one for eval mode."""

    def train(self, mode: bool = True) -> GraphFeatures:
        self.graph = self.meta["graphs"][mode]
        return super().train(mode)

    def __reduce__(self) -> tuple[Any, ...]:  # a graph module only pickles the code of one graph
        each = {mode: fx.GraphModule(self, graph) for mode, graph in self.meta["graphs"].items()}
        return _of_graphs, (each, type(self).__name__, self.training)


def _of_graphs(each: Mapping[bool, fx.GraphModule], name: str, training: bool) -> GraphFeatures:
    """Rebuild from one graph module per mode; modules of the same name are shared."""
    features = GraphFeatures(each[True], each[True].graph, name)
    _add_missing(features, each[False], each[False].graph)
    features.meta["graphs"] = {mode: module.graph for mode, module in each.items()}
    return features.train(training)


def create_feature_extractor(
    model: nn.Module,
    return_nodes: Nodes | None = None,
    train_return_nodes: Nodes | None = None,
    eval_return_nodes: Nodes | None = None,
    tracer_kwargs: Mapping[str, Any] | None = None,
    suppress_diff_warning: bool = False,
    concrete_args: dict[str, Any] | None = None,
) -> fx.GraphModule:
    """A module that returns the outputs of nodes inside ``model`` as a dict, and contains only what they need.

    :func:`zoo.feature_extractor` does this for submodules of any model, even if it cannot be traced.

    Args:
        return_nodes: names from :func:`get_graph_node_names`, or name → name of the output. The path of a module means
            the last node inside it.
        train_return_nodes: the nodes for train mode, with ``eval_return_nodes`` for eval mode, instead of
            ``return_nodes``.

    The other arguments are those of :func:`get_graph_node_names`.

    Raises:
        InvalidArgument: the model does not have a node, or no nodes are given.
    """
    in_train = train_return_nodes if return_nodes is None else return_nodes
    in_eval = eval_return_nodes if return_nodes is None else return_nodes
    if not in_train or not in_eval or (return_nodes is not None and (train_return_nodes or eval_return_nodes)):
        raise InvalidArgument("Give return_nodes, or train_return_nodes and eval_return_nodes.")
    graphs = {}
    for training, nodes in ((True, in_train), (False, in_eval)):
        graph, known = _trace(model, training, tracer_kwargs, concrete_args)
        pairs = dict(nodes) if isinstance(nodes, Mapping) else {name: name for name in nodes}
        found = {output: _find(known, str(name)) for name, output in pairs.items()}
        for node in reversed(graph.nodes):
            if node.op == "output":
                graph.erase_node(node)
        graph.output(found)
        fx.GraphModule(model, graph).graph.eliminate_dead_code()  # this checks whether modules are impure
        graphs[training] = graph
    features = GraphFeatures(model, graphs[True], type(model).__name__)
    _add_missing(features, model, graphs[False])
    features.meta["graphs"] = graphs
    return features.train(model.training)


def _find(known: Mapping[str, fx.Node], name: str) -> fx.Node:
    inside = [n for n in known if n == name or n.startswith(f"{name}.")]
    if not inside:
        paths = {n[:i] for n in known for i, c in enumerate(n) if c == "."}
        raise InvalidArgument(
            f"There is no node {name!r}.{suggest(name, {*known, *paths})} See get_graph_node_names(model)."
        )
    return known[name if name in known else inside[-1]]


def _add_missing(features: fx.GraphModule, model: nn.Module, graph: fx.Graph) -> None:
    """The modules and tensors of ``model`` that the nodes of ``graph`` use."""
    for node in graph.nodes:
        if node.op == "call_module":
            features.add_submodule(node.target, model.get_submodule(node.target))
        elif node.op == "get_attr":
            _copy_tensor(model, features, node.target)


def _copy_tensor(model: nn.Module, features: fx.GraphModule, path: str) -> None:
    """A parameter or buffer of a module that is not itself called."""
    module, _, name = path.rpartition(".")
    try:
        own = features.get_submodule(module)
    except AttributeError:
        features.add_submodule(module, own := nn.Module())
    value = getattr(model.get_submodule(module), name)
    if isinstance(value, nn.Parameter):
        own.register_parameter(name, value)
    elif name not in dict(own.named_buffers(recurse=False)):
        own.register_buffer(name, value)
