"""Pretrained networks that make features of images and texts; nothing that lies in a file of weights is executed."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from l2m.data.images import Fit, resize_all
from l2m.errors import UserError, cause, did_you_mean, require


class Encoder(NamedTuple):
    """A frozen network: the user's name for it, a checksum of its parameters, and how it sees samples.

    The latter ends in a digest of its layers, in which networks with the same parameters may differ.
    ``apply`` maps texts or functions that read images, and which of them, to features (m, d), on a GPU if there is one.
    """

    name: str
    weights: str
    preparation: str
    apply: Callable[[Sequence[Any], slice], Tensor]


def load_encoder(kind: str, name: str, weights: str | None, fit: Fit, length: int) -> Encoder:
    """A network of timm for images; for texts one of ``transformers``, pooled as sentence-transformers would.

    Args:
        kind: image or text.
        name: a folder with ``config.json`` and weights; timm's, as resnet18; or the hub's, as timm/resnet18.a1_in1k.
        weights: a file, for images. None: those of the folder, or the hub's.
        fit: of images to the side that the network was trained on, as in ``image_folder``.
        length: tokens of a text at most.

    Raises:
        UserError: the library is not installed, or the network or its weights cannot be had or do not fit.
    """
    if weights and kind == "text":
        raise UserError(f"dataset.weights={weights} is for images: name a folder as dataset.features")
    if weights:
        check_file("dataset.weights", weights)
    folder = Path(name).expanduser()
    place = str(folder) if folder.is_dir() else None
    with reading("timm" if kind == "image" else "transformers", "dataset.features", name, weights or place):
        return _image_encoder(name, weights, place, fit) if kind == "image" else _text_encoder(name, place, length)


@contextmanager
def reading(package: str, key: str, name: str, place: str | None) -> Iterator[None]:
    """Context for reading a pretrained network by its ``name``, from a ``place`` here or the hub.

    What goes wrong is a UserError, and torch's default generator is left as it was.
    """
    from l2m.data.torchvision_import import torchvision  # noqa: F401 (which both packages import, and might fail to)

    require(f"{key}={name}", "pretrained", package)
    try:
        with torch.random.fork_rng([]):
            yield
    except Exception as error:  # whatever the network, the hub or the reader of a file says
        if isinstance(error, UserError):
            raise
        remedy = "name weights of this very network" if place else "fix the name, or name a folder or file here"
        where = f"from {place or 'the hub'} ({cause(error)})"
        raise UserError(f"{key}={name} cannot be loaded {where}: {remedy}") from error


def read_network(source: str, file: str | None, **options: Any) -> Any:
    """A network of timm with the weights of a ``file`` or of its ``source``; to be called inside :func:`reading`.

    A file may hold a classifier of any number of classes, or none; the network has what the file has.
    """
    import timm

    if file:
        values = timm.models.load_state_dict(str(Path(file).expanduser()))  # safetensors, or with weights_only
        last = classifier_of(timm.create_model(source))[0] + ".weight"
        classes = len(values[last]) if last in values else 0
        overlay = {"state_dict": values, "num_classes": classes}  # unlike it, timm would take weights of any network
        options |= {"pretrained_cfg_overlay": overlay, "num_classes": classes}
    return timm.create_model(source, pretrained=True, **options)


def classifier_of(network: Any) -> tuple[str, ...]:
    """The names of the last layers of a network of timm; a distilled one has two."""
    names: str | tuple[str, ...] = network.pretrained_cfg["classifier"]
    return (names,) if isinstance(names, str) else tuple(names)


def check_file(key: str, file: str) -> None:
    if not Path(file).expanduser().is_file():
        raise UserError(f"{key}={file} is not a file (looked for it from {Path.cwd()}): name a file of weights")


def check_name(key: str, name: str, remedy: str) -> None:
    """Refuse a name that timm does not know, with the nearest one that it does."""
    import timm

    if not timm.is_model(name):
        raise UserError(f"{key}={name} is no network of timm{did_you_mean(name, timm.list_models())}{remedy}")


def _image_encoder(name: str, weights: str | None, place: str | None, fit: Fit) -> Encoder:
    import timm

    source = f"local-dir:{place}" if place else f"hf-hub:{name}" if "/" in name else name
    if source == name:
        check_name("dataset.features", name, ", nor a folder: use a name that timm lists")
    network = read_network(source, weights)
    network.reset_classifier(0)
    seen, device = timm.data.resolve_model_data_config(network), _freeze(network)
    side, mean, sd = seen["input_size"][-1], *(torch.tensor(seen[key]).view(-1, 1, 1) for key in ("mean", "std"))

    def apply(readers: Sequence[Any], part: slice) -> Tensor:
        features: Tensor = network(((read_pixels(readers, part, side, fit) / 255 - mean) / sd).to(device))
        return features

    seen_as = f"{side} {fit} {seen['mean']} {seen['std']} {_digest(repr(network))}"
    return Encoder(name, _checksum(network), seen_as, apply)


def read_pixels(readers: Sequence[Any], part: slice, side: int, fit: Fit) -> Tensor:
    """(m, 3, side, side) of the images in ``part``; a UserError lists the unreadable ones of all."""
    try:
        return torch.from_numpy(resize_all(readers[part], side, fit))
    except UserError:
        resize_all(readers, 1, "stretch")
        raise


def _text_encoder(name: str, place: str | None, length: int) -> Encoder:
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()  # or it lists all weights that are missing
    source, pooling = place or name, "1_Pooling/config.json"
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)  # by default it asks
    network, about = transformers.AutoModel.from_pretrained(
        source, trust_remote_code=False, use_safetensors=True, ignore_mismatched_sizes=True, output_loading_info=True
    )
    wrong = {*about["missing_keys"], *(key for key, *_ in about["mismatched_keys"])}
    if wrong := {key for key in wrong if not key.startswith("pooler.")}:
        raise ValueError(f"{len(wrong)} weights are missing or of another shape, {min(wrong)} first")
    if not len(tokenizer.all_special_ids) < len(tokenizer) <= network.get_input_embeddings().num_embeddings:
        raise ValueError(f"its tokenizer has {len(tokenizer)} tokens, which are none or not the network's")
    file = transformers.utils.cached_file(source, pooling, _raise_exceptions_for_missing_entries=False)
    modes = json.loads(Path(file).read_text(encoding="utf-8")) if file else {"pooling_mode_mean_tokens": True}
    (mode,) = (key for key, value in modes.items() if value is True and key.startswith("pooling_mode_"))
    if mode not in ("pooling_mode_mean_tokens", "pooling_mode_cls_token"):
        raise ValueError(f"{pooling} has {mode}, only mean_tokens and cls_token are known")
    device, most = _freeze(network), min(length, tokenizer.model_max_length)

    def apply(texts: Sequence[Any], part: slice) -> Tensor:
        tokens = tokenizer(texts[part], padding=True, truncation=True, max_length=most, return_tensors="pt").to(device)
        states, mask = network(**tokens).last_hidden_state, tokens["attention_mask"][..., None]
        mean = (states * mask).sum(1) / mask.sum(1)
        return nn.functional.normalize(mean if "mean" in mode else states[:, 0])

    by = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else str(sorted(tokenizer.get_vocab().items()))
    seen_as = f"{most} tokens {mode} {_digest(by)} {_digest(repr(network))}"
    return Encoder(name, _checksum(network), seen_as, apply)


def _freeze(network: nn.Module) -> torch.device:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.float().eval().requires_grad_(False).to(device)
    return device


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _checksum(network: nn.Module) -> str:
    """16 hexadecimal digits of the SHA-256 of the parameters' names and values, whatever file they came from."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        digest.update(value.cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
