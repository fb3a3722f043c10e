"""Splits the graph of ControlNet and UNet into what is worked out once a picture and what every step repeats.

    python split_steps.py FOLDER/unet_controlnet/model.onnx

Writes `conditions.onnx` and `step.onnx` beside it, which the pipeline takes in its place on the CPU. What depends on
neither latents nor timestep goes into `conditions.onnx`: the ControlNet's view of the picture, the text's keys and
values, the pooled text. Attention becomes one operator a block. Both files hold next to no weights: they point at those
inside model.onnx, so run it again whenever that changes; `model.onnx.sha256` tells which one they were made of. Needs the
package onnx.

Where the weights lie beside model.onnx, the text's keys and values stay in `step.onnx`. Two for each attention, they were 2.5 %
of the weights of test/bench/memory's model, in memory two to three times (onnxruntime's, the pipeline's, the last picture's),
and saved 1.4 % of a step.
"""

import hashlib
import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

EVERY_STEP = {"sample", "timestep", "conditioning_scale"}
TEXT = {"encoder_hidden_states"}
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16}
# Smaller constants stay in the graph: onnxruntime folds shapes with them while it loads.
INLINE_BYTES = 256


class Graph:
    """An ONNX graph by its values: who makes and who takes each."""

    def __init__(self, model):
        self.model, self.graph = model, model.graph
        self.weights = {weight.name: weight for weight in self.graph.initializer}
        self.index()

    def index(self):
        self.maker = {value: node for node in self.graph.node for value in node.output}
        self.takers = {}
        for node in self.graph.node:
            for value in node.input:
                self.takers.setdefault(value, []).append(node)

    def constant(self, value):
        """The number array behind a value, None when it is worked out."""
        if value in self.weights:
            return numpy_helper.to_array(self.weights[value])
        node = self.maker.get(value)
        if node is None or node.op_type != "Constant":
            return None
        return numpy_helper.to_array(node.attribute[0].t)

    def only_taker(self, value, op_type):
        takers = self.takers.get(value, [])
        return takers[0] if len(takers) == 1 and takers[0].op_type == op_type else None

    def replace(self, old, new):
        place = next(i for i, node in enumerate(self.graph.node) if node is old)
        self.graph.node.insert(place, new)
        self.graph.node.remove(old)
        self.index()

    def reachable(self, outputs, stops):
        """Nodes that `outputs` need, in order, and the values where that ends: weights, inputs, `stops`."""
        nodes, ends, seen, ahead = set(), set(), set(), list(outputs)
        while ahead:
            value = ahead.pop()
            if not value or value in seen:
                continue
            seen.add(value)
            node = self.maker.get(value)
            if node is None or value in stops:
                ends.add(value)
                continue
            nodes.add(id(node))
            ahead += node.input
        return [node for node in self.graph.node if id(node) in nodes], ends


def fuse_attention(g):
    """softmax(q k) v of split heads -> MultiHeadAttention on the projections; scaled by 1 / sqrt(width of a head)."""

    def projection(value):
        # Back over the scaling and the transposition to where the heads were split.
        while (node := g.maker.get(value)) is not None and node.op_type in ("Mul", "Transpose"):
            value = node.input[0]
        if node is None or node.op_type != "Reshape":
            return None, None
        shape = g.maker.get(node.input[1])
        heads = g.constant(shape.input[2]) if shape is not None and shape.op_type == "Concat" else None
        return node.input[0], None if heads is None else int(heads.item())

    fused = 0
    for softmax in [node for node in g.graph.node if node.op_type == "Softmax"]:
        scores = g.maker[softmax.input[0]]
        mixed = g.only_taker(softmax.output[0], "MatMul")
        turned = mixed and g.only_taker(mixed.output[0], "Transpose")
        joined = turned and g.only_taker(turned.output[0], "Reshape")
        if scores.op_type != "MatMul" or not joined:
            continue
        found = [projection(value) for value in (*scores.input, mixed.input[1])]
        heads = {head for _, head in found}
        if len(heads) != 1 or None in heads:
            continue
        name = softmax.name.rsplit("/", 1)[0] + "/MultiHeadAttention"
        inputs = [value for value, _ in found]
        attention = helper.make_node(
            "MultiHeadAttention", inputs, joined.output[:], name, domain="com.microsoft", num_heads=heads.pop()
        )
        g.replace(joined, attention)
        fused += 1
    if fused:
        g.model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return fused


def dependence(g):
    """The graph's inputs that each value depends on."""
    inputs = {value.name for value in g.graph.input} - set(g.weights)
    depends = {name: {name} for name in inputs}
    for node in g.graph.node:
        of_node = set().union(*(depends.get(value, set()) for value in node.input))
        depends.update((value, of_node) for value in node.output)
    return depends


def sort_for_memory(g, depends):
    """
    Puts what doesn't depend on a step's inputs before the rest. onnxruntime works out a node's inputs from the last in the
    file to the first: else it has the keys and values of all attentions before the first one, and keeps them.
    """
    nodes = sorted(g.graph.node, key=lambda node: any(depends[value] & EVERY_STEP for value in node.output))
    del g.graph.node[:]
    g.graph.node.extend(nodes)
    g.index()


def split(g, types, depends, each_step):
    """Values that the steps take from the conditions: floats, each as late as it depends on none of `each_step`."""
    handed = {
        value
        for node in g.graph.node
        for value in node.output
        if types.get(value) in FLOATS and depends[value] and not depends[value] & each_step
    }
    _, ends = g.reachable([value.name for value in g.graph.output], handed)
    return sorted(ends & handed)


def write_part(path, g, blob, values, inputs, outputs):
    """Writes the nodes that lead from `inputs` to `outputs`, with their weights where they lie in model.onnx."""
    nodes, ends = g.reachable(outputs, set(inputs))
    kept = []
    for name in sorted(ends & set(g.weights)):
        weight = TensorProto()
        weight.CopyFrom(g.weights[name])
        if len(weight.raw_data) > INLINE_BYTES:
            onnx.external_data_helper.set_external_data(weight, "model.onnx", blob.index(weight.raw_data), len(weight.raw_data))
            weight.ClearField("raw_data")
        kept.append(weight)

    taken, given = [values[name] for name in inputs if name in ends], [values[name] for name in outputs]
    graph = helper.make_graph(nodes, path.stem, taken, given, kept)
    model = helper.make_model(graph, opset_imports=g.model.opset_import, ir_version=g.model.ir_version)
    path.write_bytes(model.SerializeToString(deterministic=True))
    print(f"{path}: {len(nodes)} nodes, {len(graph.input)} inputs, {path.stat().st_size} bytes")


def main():
    source = Path(sys.argv[1])
    blob = source.read_bytes()
    # Weights that lie in files beside the graph are never read: their references are copied.
    model = onnx.load_from_string(blob)
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = {value.name: value for value in [*inferred.value_info, *inferred.input, *inferred.output]}
    g = Graph(model)
    print(f"{fuse_attention(g)} attentions in one operator each")
    depends = dependence(g)
    outside = any(onnx.external_data_helper.uses_external_data(weight) for weight in g.graph.initializer)
    if outside:
        sort_for_memory(g, depends)
    types = {name: value.type.tensor_type.elem_type for name, value in values.items()}
    handed = split(g, types, depends, EVERY_STEP | TEXT if outside else EVERY_STEP)
    inputs = [value.name for value in g.graph.input if value.name not in g.weights]
    outputs = [value.name for value in g.graph.output]
    write_part(source.with_name("conditions.onnx"), g, blob, values, inputs, handed)
    write_part(source.with_name("step.onnx"), g, blob, values, [*inputs, *handed], outputs)
    source.with_name("model.onnx.sha256").write_text(hashlib.sha256(blob).hexdigest() + "\n")


if __name__ == "__main__":
    main()
