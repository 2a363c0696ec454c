"""A trained model as an ONNX file, which other programs run without torch."""

import copy
import json
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from l2m.errors import UserError, cause, require
from l2m.files import write_whole
from l2m.trained import Trained


class Exported(nn.Module):
    """From stored samples, such as pixels from 0 to 255, to probabilities, values or pixels."""

    scale: Tensor | None
    shift: Tensor | None

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.model = copy.deepcopy(trained.model).cpu()
        self.predicted = trained.predicted
        split, fitted = trained.data.train, trained.data.preprocessing
        scale, shift = split.scale, split.shift
        if scale is None and "sd" in fitted:  # a published table
            mean, sd = (torch.tensor(fitted[key], dtype=torch.float64) for key in ("mean", "sd"))
            scale, shift = (1 / sd).float(), (-mean / sd).float()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, samples: Tensor) -> Tensor:
        inputs = samples if self.scale is None or self.shift is None else samples.float() * self.scale + self.shift
        return self.predicted(self.model(inputs)).float()


def export(trained: Trained, file: Path) -> None:
    """Write an ONNX model of one input ``samples`` (N, ...), of any number N, and one output ``predictions``.

    It normalises pixels in uint8 and measurements of a published table itself. Tokens are int32; rows of a user's table
    must be prepared by :func:`l2m.data.own.columns.apply`. The names of the classes are in the metadata, as JSON.

    Raises:
        UserError: a package is missing, torch cannot export the model, or the file cannot be written.
    """
    require("onnx=", "onnx", "onnx", "onnxscript")
    import onnx

    blank = trained.data.train.inputs
    two = torch.zeros((2, *blank.shape[1:]), dtype=blank.dtype)  # of one the exporter would take the size as constant
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # raised inside torch
            part = Path(folder) / "model.onnx"
            torch.onnx.export(
                Exported(trained).eval(), (two,), part, dynamo=True, external_data=False, verbose=False,
                input_names=["samples"], output_names=["predictions"], dynamic_shapes=({0: torch.export.Dim("N")},),
            )  # fmt: skip
            model = onnx.load(part)
    except Exception as error:  # the exporter raises many types
        raise UserError(
            f"model={trained.config.model['name']} cannot be exported to ONNX by torch {torch.__version__} "
            f"({cause(error)}): use it from Python, with l2m.load"
        ) from error
    onnx.helper.set_model_props(model, {"class_names": json.dumps(trained.class_names)})
    write_whole(file, model.SerializeToString(), remedy="choose another onnx=")
