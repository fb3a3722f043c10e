"""Puts weights into a traced graph: into the file itself, or beside it where they are large."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

DATA_FILE = "model.onnx_data"
# A graph may have 2 GiB. Half of that already lies outside: a file beside the graph is memory-mapped, a graph is copied.
EXTERNAL_BYTES = 2**30
# External data is mapped by page.
ALIGNMENT = 4096
# What follows a weight's name where the graph holds it permuted, or as float16 to be cast.
PERMUTED = ".permuted_"
HALF = ".float16"


def fold_transposes(graph, names):
    """
    Takes away transpositions of weights, as torch writes them for linear layers.
    @returns the transposed weights' new names: (weight, permutation), and the untouched ones with None. unpack.py reads
    the names back.
    """
    stored, kept, renamed = {}, [], {}
    for node in graph.node:
        if node.op_type == "Transpose" and node.input[0] in names:
            permutation = tuple(helper.get_node_attr_value(node, "perm"))
            name = node.input[0] + PERMUTED + "_".join(map(str, permutation))
            stored[name] = (node.input[0], permutation)
            renamed[node.output[0]] = name
        else:
            kept.append(node)
    for node in kept:
        for place, value in enumerate(node.input):
            node.input[place] = renamed.get(value, value)
    del graph.node[:]
    graph.node.extend(kept)
    used = {value for node in kept for value in node.input} | {output.name for output in graph.output}
    stored.update((name, (name, None)) for name in names if name in used)
    return {name: origin for name, origin in stored.items() if name in used}


def fold_constants(model):
    """Works out what depends on nothing, such as the sizes that shapes are put together of."""
    graph = model.graph
    known, kept = {}, []
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            known[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif node.input and len(node.output) == 1 and all(name in known for name in node.input if name):
            inputs = {name: known[name] for name in node.input if name}
            [known[node.output[0]]] = ReferenceEvaluator(node, opsets={"": model.opset_import[0].version}).run(None, inputs)
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    used = {value for node in kept for value in node.input} | {output.name for output in graph.output}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(known[name]), name) for name in known if name in used)


def store(model, weights, path, float32):
    """
    Writes `model` to `path` with `weights` (name -> torch tensor) as initializers, one after the other.
    @param float32 the graph works in float32: weights are stored as float16 and cast when it is loaded.
    """
    graph = model.graph
    ports = [port for port in graph.input if port.name not in weights]
    del graph.input[:]
    graph.input.extend(ports)
    fold_constants(model)
    stored = fold_transposes(graph, weights)
    size = sum(weights[name].nbytes for name, _ in stored.values())
    data = open(path.with_name(DATA_FILE), "wb") if size > EXTERNAL_BYTES else None
    casts = []
    for name, (origin, permutation) in sorted(stored.items()):
        tensor = weights[origin]
        array = (tensor.permute(permutation) if permutation else tensor).contiguous().numpy()
        initializer = TensorProto(dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype), name=name)
        if float32 and array.dtype == np.float16:
            initializer.name = name + HALF
            casts.append(helper.make_node("Cast", [initializer.name], [name], f"{name}.cast", to=TensorProto.FLOAT))
        # Numbers that shapes are made of stay where onnxruntime sees them while it loads.
        if data is None or array.nbytes < 1024:
            initializer.raw_data = array.tobytes()
        else:
            data.write(b"\0" * (-data.tell() % ALIGNMENT))
            initializer.raw_data = b""
            onnx.external_data_helper.set_external_data(initializer, DATA_FILE, data.tell(), array.nbytes)
            initializer.ClearField("raw_data")
            data.write(array.data)
        graph.initializer.append(initializer)
    if data:
        data.close()
    # First, so that onnxruntime runs each right before the node that takes it, where it does not fold them: a node with a
    # lower number waits until the others that its taker needs are done.
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, path)
    return size
