"""``python -m l2m.predict run=RUN data=new.csv``: score new samples with a trained model, or export it.

Nothing heavy is imported before the command line is checked.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

from l2m.cli import interrupts  # noqa: F401
from l2m.config.checking import check_fields
from l2m.config.run import Device
from l2m.errors import UserError, exit_on_error
from l2m.schema import options_of
from l2m.training.output import lasting_output

if TYPE_CHECKING:
    from l2m.comparison.advised import Advised
    from l2m.trained import Trained

ABOUT = """Score new samples with the model that a run has trained, or export it.

  python -m l2m.predict run=outputs/runs/digits/learn2mix data=photographs
  python -m l2m.predict run=outputs/runs/csv data=new.csv output=scores.csv
  python -m l2m.predict run=outputs/runs/csv onnx=model.onnx
"""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The keys of the command line. ``--help`` prints the text beside a field."""

    run: Annotated[str, "the run's directory, a folder above it that holds no other, or a comparison's folder"]
    data: Annotated[str | None, "a CSV file for a table, a folder of images, a folder of .txt or a CSV for texts"] = (
        None
    )
    output: Annotated[str, "the CSV file to write predictions to"] = "predictions.csv"
    threshold: Annotated[
        str | None, "predict the class with the largest p / t, of thresholds NAME:t,...; for two classes one is enough"
    ] = None
    costs: Annotated[str | None, "predict at the least expected cost, of costs NAME:c,... of missing each class"] = None
    priors: Annotated[
        str | None, "correct the probabilities for a population with the shares NAME:share,... of the classes"
    ] = None
    onnx: Annotated[str | None, "an ONNX file to write the model to"] = None
    device: Annotated[Device, "where to compute: auto, cpu, cuda or cuda:N"] = "cpu"
    force: Annotated[bool, "overwrite existing files"] = False
    debug: Annotated[bool, "show the traceback of an error"] = False


@lasting_output()
def main() -> None:
    """Run the command line; a user's error is one sentence, with exit status 1."""
    words = sys.argv[1:]
    if not words or {"-h", "--help"} & set(words):
        print(_help())
        sys.exit(0 if words else 2)
    try:
        with exit_on_error("debug=true" in words):
            _carry_out(_request(words))
    except KeyboardInterrupt:
        print("\nstopped: nothing was written", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def _request(words: Sequence[str]) -> Request:
    """The request of the words ``key=value``; a UserError has a line for each problem with them."""
    problems, options = [], {}
    for word in words:
        key, sign, value = word.partition("=")
        if not (sign and key):
            problems.append(f"{word} is not key=value: write run=, data= or another key before it")
        elif key in options:
            problems.append(f"{key} is given twice: give it one value")
        else:
            options[key] = {"true": True, "false": False}.get(value, value)
    values = check_fields(Request, {}, options, problems)
    if problems:
        raise UserError("\n".join(problems))
    request = Request(**values)
    if not (request.data or request.onnx):
        raise UserError("there is nothing to do: name new samples with data=, or a file to export to with onnx=")
    idle = {"threshold", "costs", "priors", "output"}.intersection(options)
    if idle and not request.data:
        key = min(idle)
        raise UserError(
            f"{key}={options[key]} is for predictions, and onnx= writes the model alone: add data=, or drop it"
        )
    written = {"output": request.data and request.output, "onnx": request.onnx}
    for key, file in ((key, Path(name).expanduser()) for key, name in written.items() if name):
        if file.is_dir():
            raise UserError(f"{key}={file} is a directory: name a file in it")
        if key == "onnx" and request.data and file.resolve() == Path(request.output).expanduser().resolve():
            raise UserError(f"onnx={file} is the file of output=, too: name another file")
        if request.data and file.resolve() == Path(request.data).expanduser().resolve():
            raise UserError(f"{key}={file} would overwrite its input: name another file")
        if file.exists() and not request.force:
            raise UserError(f"{key}={file} exists: name another file, or add force=true to overwrite it")
    return request


def _carry_out(request: Request) -> None:
    from l2m.comparison import advised
    from l2m.trained import load

    folder = Path(request.run).expanduser()
    threshold: str | Sequence[float] | None = request.threshold
    advice = advised.read(folder)
    if advice:
        print(f"{folder} advises {advice.model or advice.run}", flush=True)
        folder = advice.run
        if not (threshold or request.costs or request.priors):
            threshold = advice.thresholds
    if advice and advice.model:
        if request.onnx:
            raise UserError(f"onnx={request.onnx} cannot export {advice.model} of scikit-learn: name a run in run=")
        _write_predictions(request, threshold, advice)
        return
    trained = load(folder, request.device)
    if request.onnx:
        from l2m.evaluation.onnx_export import export

        file = Path(request.onnx).expanduser()
        export(trained, file)
        print(file)
    if request.data:
        _write_predictions(request, threshold, trained)


def _write_predictions(request: Request, threshold: str | Sequence[float] | None, model: Trained | Advised) -> None:
    from l2m.data.fingerprint import is_trained_on
    from l2m.data.own.new_samples import read_unseen
    from l2m.evaluation.decisions import decide
    from l2m.evaluation.predictions import format_csv, predict, summarize, tabulate
    from l2m.files import write_whole
    from l2m.trained import Trained

    decision = decide(model.class_names, model.shares, threshold, request.costs, request.priors)
    named = threshold if isinstance(threshold, str) else ",".join(
        f"{name}:{each:.3g}" for name, each in zip(model.class_names, threshold or (), strict=False)
    )  # fmt: skip
    used = {"threshold": named, "costs": request.costs, "priors": request.priors}
    if words := [f"{option}={value}" for option, value in used.items() if value]:
        print(f"classes by {' and '.join(words)}", flush=True)
    if request.costs and not request.priors and model.is_skewed:
        print(
            f"{model.folder} may make rare classes too probable, and costs choose by the probabilities: add priors= "
            "with the classes' shares, or use a model of classical training",
            file=sys.stderr,
        )
    data = Path(str(request.data)).expanduser()
    inputs, samples = read_unseen(data, model.data, model.config.dataset)
    if isinstance(model, Trained):
        table = predict(model, inputs, samples, decision)
    else:
        table = tabulate(model.values(inputs), model.class_names, samples, decision)
    output = Path(request.output).expanduser()
    write_whole(output, format_csv(table), remedy="choose another output=")
    print(f"{len(table)} sample{'s' * (len(table) != 1)} of {request.data}, scored by {model.folder}")
    print("\n".join(summarize(model.task, model.class_names, table)))
    if "actual" in table and is_trained_on(data, model.config.dataset):
        print(
            f"{request.data} has the samples that the model was trained on: these scores are better than on new ones",
            file=sys.stderr,
        )
    print(output)


def _help() -> str:
    hints = options_of(Request)
    lines = [ABOUT, "Keys", ""]
    for field in fields(Request):
        note = next(note for note in hints[field.name].__metadata__ if isinstance(note, str))
        lines += [f"  {field.name}=", *wrap(note, 79, initial_indent=" " * 6, subsequent_indent=" " * 6)]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
