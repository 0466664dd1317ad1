"""Engines for :func:`zoo.optimize`: ONNX Runtime and OpenVINO."""
