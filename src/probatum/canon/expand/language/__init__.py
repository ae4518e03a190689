"""Language models: their canonical graphs, made from sizes and weights, without ONNX (`TEXT-1`)."""
