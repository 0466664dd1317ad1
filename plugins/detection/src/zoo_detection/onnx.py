"""ONNX implementations of this package's operators. Imported only for ONNX export: needs onnxscript."""

# The function's body is never run: onnxscript parses it, with its annotations, into a graph.
# Its names must differ from the outputs' names: the exporter inlines the function.
# mypy: ignore-errors

from onnxscript import FLOAT, INT64, opset18 as op, script

FLOATS, INTS = FLOAT.dtype, INT64.dtype


@script()
def keypoint_peaks(logits: FLOAT, boxes: FLOAT) -> tuple[FLOAT, FLOAT]:
    """:func:`zoo_detection.keypoints.keypoints_of`, box by box."""
    maps = op.Slice(op.Shape(logits), [1], [2])
    cells = op.Squeeze(op.Shape(logits, start=3))
    cell = op.Cast(op.Range(-2, cells + 2, 1), to=FLOATS)
    padded = op.Pad(logits, [0, 0, 2, 2, 0, 0, 2, 2], mode="edge")
    peaks = op.Expand(0.0, op.Concat([0], maps, [3], axis=0))
    peak_logits = op.Expand(0.0, op.Concat([0], maps, axis=0))
    for i in range(op.Squeeze(op.Shape(boxes, end=1))):
        box = op.Gather(boxes, i)
        corner = op.Slice(box, [0], [2])
        size = op.Max(op.Slice(box, [2], [4]) - corner, 1.0)
        whole = op.Ceil(size)
        width, height = op.Split(op.Cast(whole, to=INTS), num_outputs=2)
        # The weight of each cell for every row of pixels; below, for every column.
        scale = op.Concat(op.Expand(op.Gather(whole, 1), height), op.Expand(op.Gather(whole, 0), width), axis=0)
        rows, columns = op.Range(0, op.Squeeze(height), 1), op.Range(0, op.Squeeze(width), 1)
        position = (op.Cast(op.Concat(rows, columns, axis=0), to=FLOATS) + 0.5) * op.Cast(cells, to=FLOATS) / scale
        d = op.Abs(op.Unsqueeze(position - 0.5, [1]) - cell)
        near = (1.25 * d - 2.25) * d * d + 1.0
        far = ((d - 5.0) * d + 8.0) * d * -0.75 + 3.0
        weights = op.Where(d <= 1.0, near, op.Where(d < 2.0, far, 0.0))
        y, x = op.Split(weights, op.Concat(height, width, axis=0))
        enlarged = op.MatMul(op.MatMul(y, op.Gather(padded, i)), op.Transpose(x, perm=[1, 0]))
        flat = op.Flatten(enlarged, axis=1)  # [K, height * width]
        place = op.ArgMax(flat, axis=1)
        pixel = op.Cast(op.Concat(op.Mod(place, width), place / width, axis=1), to=FLOATS) + 0.5
        visible = op.Expand(1.0, op.Shape(place))
        point = op.Concat(pixel * (size / whole) + corner, visible, axis=1)
        peaks = op.Concat(peaks, op.Unsqueeze(point, [0]), axis=0)
        peak_logits = op.Concat(peak_logits, op.Unsqueeze(op.ReduceMax(flat, [1], keepdims=0), [0]), axis=0)
    return peaks, peak_logits
