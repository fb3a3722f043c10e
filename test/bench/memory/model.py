"""Writes the unet_controlnet graph of a model folder anew, with random weights of a given size and SDXL's kinds of layers.

    python model.py FOLDER BYTES float32|float16-stored|float16

FOLDER: a model folder, whose configs say how wide inputs and latents are. The weights lie in model.onnx_data, as
export.py writes them. `float16-stored` is `--target cpu`: weights of float16 that are cast to float32 when the graph is
loaded; `float16` is `--target gpu`. Needs the packages onnx and numpy.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

CHANNELS = 1280
HEADS = 20
ALIGNMENT = 4096


class Builder:
    """A graph under construction; its weights go to the file beside it one after the other."""

    def __init__(self, data, kind):
        self.data, self.kind = data, kind
        self.type = TensorProto.FLOAT16 if kind == "float16" else TensorProto.FLOAT
        self.casts, self.nodes, self.weights, self.bytes = [], [], [], 0
        self.random = np.random.default_rng(0)
        # One block of noise, taken again and again: making gigabytes of it would take minutes.
        self.noise = self.random.standard_normal(2**20, dtype=np.float32)

    def op(self, op_type, *inputs, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], **attributes))
        return name

    def constant(self, value, dtype=None):
        array = np.asarray(value, dtype or (np.float16 if self.kind == "float16" else np.float32))
        name = f"c{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(array, name))
        return name

    def weight(self, shape, fan_in):
        stored = np.float32 if self.kind == "float32" else np.float16
        size = int(np.prod(shape))
        # Each begins elsewhere in the noise: onnxruntime keeps equal weights once.
        noise = np.roll(self.noise, 7919 * len(self.weights))
        array = (np.resize(noise, size) / np.sqrt(fan_in)).astype(stored)
        self.data.write(b"\0" * (-self.data.tell() % ALIGNMENT))
        tensor = TensorProto(dims=shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype), name=f"w{len(self.weights)}")
        # The helper wants data to replace.
        tensor.raw_data = b""
        onnx.external_data_helper.set_external_data(tensor, "model.onnx_data", self.data.tell(), array.nbytes)
        tensor.ClearField("raw_data")
        self.data.write(array.data)
        self.weights.append(tensor)
        self.bytes += array.nbytes
        if self.kind != "float16-stored":
            return tensor.name
        self.casts.append(helper.make_node("Cast", [tensor.name], [f"{tensor.name}.cast"], to=TensorProto.FLOAT))
        return self.casts[-1].output[0]

    def linear(self, x, width, out):
        return self.op("MatMul", x, self.weight((width, out), width))

    def conv(self, x, channels, out, stride=1):
        size = 3 if stride == 1 else stride
        return self.op("Conv", x, self.weight((out, channels, size, size), channels * size * size), kernel_shape=[size, size], strides=[stride, stride], pads=[size // 2 if stride == 1 else 0] * 4)

    def silu(self, x):
        return self.op("Mul", x, self.op("Sigmoid", x))

    def heads(self, x):
        split = self.op("Reshape", x, self.constant([0, -1, HEADS, CHANNELS // HEADS], np.int64))
        return self.op("Transpose", split, perm=[0, 2, 1, 3])

    def attention(self, x, states, width):
        """Queries of `x`, keys and values of `states`."""
        query = self.op("Mul", self.heads(self.linear(x, CHANNELS, CHANNELS)), self.constant(1 / np.sqrt(CHANNELS / HEADS)))
        key = self.op("Transpose", self.heads(self.linear(states, width, CHANNELS)), perm=[0, 1, 3, 2])
        value = self.heads(self.linear(states, width, CHANNELS))
        mixed = self.op("MatMul", self.op("Softmax", self.op("MatMul", query, key), axis=-1), value)
        joined = self.op("Reshape", self.op("Transpose", mixed, perm=[0, 2, 1, 3]), self.constant([0, -1, CHANNELS], np.int64))
        return self.op("Add", x, self.linear(joined, CHANNELS, CHANNELS))

    def block(self, x, states, width):
        """A convolution, both attentions and a transformer's two linear layers, as in SDXL's lowest level."""
        x = self.op("Add", x, self.conv(self.silu(x), CHANNELS, CHANNELS))
        shape = self.op("Shape", x)
        rows = self.op("Transpose", self.op("Reshape", x, self.constant([0, CHANNELS, -1], np.int64)), perm=[0, 2, 1])
        rows = self.attention(rows, rows, CHANNELS)
        rows = self.attention(rows, states, width)
        rows = self.op("Add", rows, self.linear(self.silu(self.linear(rows, CHANNELS, 4 * CHANNELS)), 4 * CHANNELS, CHANNELS))
        # As wide as it was: numbers that grow would overflow float16.
        rows = self.op("Mul", rows, self.constant(0.5))
        return self.op("Reshape", self.op("Transpose", rows, perm=[0, 2, 1]), shape)


def main():
    folder, size, kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    unet, vae = (json.loads((folder / part / "config.json").read_text()) for part in ("unet", "vae"))
    width, latents = unet["cross_attention_dim"], vae["latent_channels"]
    pooled = unet["projection_class_embeddings_input_dim"] - 6 * unet["addition_time_embed_dim"]
    path = folder / "unet_controlnet" / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    with path.with_name("model.onnx_data").open("wb") as data:
        b = Builder(data, kind)
        half = (lambda x: b.op("Cast", x, to=b.type)) if kind == "float16" else (lambda x: x)
        control = b.conv("controlnet_cond", 3, CHANNELS, 2 ** (len(vae["block_out_channels"]) - 1))
        control = b.op("Mul", control, b.op("Reshape", half("conditioning_scale"), b.constant([-1, 1, 1, 1], np.int64)))
        facts = b.op("Concat", "text_embeds", half("time_ids"), half(b.op("Reshape", "timestep", b.constant([-1, 1], np.int64))), axis=1)
        facts = b.op("Mul", b.linear(facts, pooled + 7, CHANNELS), b.constant(1e-3))
        facts = b.op("Reshape", facts, b.constant([-1, CHANNELS, 1, 1], np.int64))
        x = b.op("Add", b.op("Add", b.conv("sample", latents, CHANNELS), control), facts)
        # Nearly all of SDXL's weights are at its lowest level.
        levels = 2 ** (len(unet["block_out_channels"]) - 1)
        x = b.conv(x, CHANNELS, CHANNELS, levels)
        while b.bytes < size:
            x = b.block(x, "encoder_hidden_states", width)
        x = b.op("Resize", x, "", b.constant([1, 1, levels, levels], np.float32), mode="nearest")
        b.nodes.append(helper.make_node("Identity", [b.conv(x, CHANNELS, latents)], ["noise_pred"]))
    shapes = {
        "sample": ["batch", latents, "latent_height", "latent_width"],
        "timestep": ["batch"],
        "encoder_hidden_states": ["batch", "tokens", width],
        "text_embeds": ["batch", pooled],
        "time_ids": ["batch", 6],
        "controlnet_cond": ["batch", 3, "height", "width"],
        "conditioning_scale": ["batch"],
    }
    always_float32 = {"timestep", "time_ids", "conditioning_scale"}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT if name in always_float32 else b.type, shape) for name, shape in shapes.items()]
    outputs = [helper.make_tensor_value_info("noise_pred", b.type, shapes["sample"])]
    graph = helper.make_graph([*b.casts, *b.nodes], "unet_controlnet", inputs, outputs, b.weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    print(b.bytes)


main()
