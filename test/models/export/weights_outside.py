"""Writes a graph anew with its weights beside it in model.onnx_data, as export.py has them of large models.

    python weights_outside.py GRAPH OUT/model.onnx
"""

import sys

import onnx

onnx.save(onnx.load(sys.argv[1]), sys.argv[2], save_as_external_data=True, location="model.onnx_data", size_threshold=1024)
