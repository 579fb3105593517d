"""Arrays -> logits: the table of models, their cards, and ONNX Runtime."""
