"""Features of a pretrained network: computed once, kept whole, and the same for new samples."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from commands import Command, opened
from mutations import assert_sentence
from peak_memory import measure_beyond, write_images
from PIL import Image

from l2m import RunConfig, UserError, compose, predict, train
from l2m.comparison.opponents import suitable
from l2m.data import Data, load
from l2m.data.own import features, image_folder, storage
from l2m.data.own.encoders import Encoder, read_pixels
from l2m.records import Records

CHOICE = ("dataset=image_folder", "dataset.path=photos", "dataset.features=tiny", "model=mlp", "batch_size=8")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """In a folder with 30 photographs of blue and 10 of red; how many samples each call of a small network saw."""
    sizes: list[int] = []

    def load_encoder(kind: str, name: str, weights: str | None, *rest: Any) -> Encoder:
        def apply(samples: Sequence[Any], part: slice) -> torch.Tensor:
            sizes.append(len(samples[part]))
            return read_pixels(samples, part, 8, "stretch").float().mean((2, 3))

        return Encoder(name, "0" * 16, "8 pixels", apply)

    for module in (image_folder, features):
        monkeypatch.setattr(module, "load_encoder", load_encoder)
    rng = np.random.default_rng(0)
    for i in range(40):
        colour = (
            rng.integers(0, 256, (9, 12, 3)) // (4, 4, 1) if i % 4 else rng.integers(0, 256, (9, 12, 3)) // (1, 4, 4)
        )
        file = tmp_path / "photos" / ("blue" if i % 4 else "red") / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(colour.astype(np.uint8)).save(file)
    monkeypatch.chdir(tmp_path)
    return sizes


def config(*more: str) -> RunConfig:
    return compose(*CHOICE, "epochs=20", "device=cpu", "threads=1", *more)


def loaded(*more: str) -> Data:
    load.__globals__["_load"].cache_clear()  # as in another process
    return load(config(*more))


def test_they_are_computed_once_for_all_seeds_and_splits(seen: list[int]) -> None:
    data = loaded()
    assert seen == [32, 8]
    assert data.train.inputs.shape == (32, 3)
    assert torch.allclose(data.train.inputs.mean(0), torch.zeros(3), atol=1e-5)
    again = loaded("data_seed=7", "seed=1")
    assert sum(seen) == 40
    assert not torch.equal(again.train.inputs, data.train.inputs)
    held_out = loaded("validation_fraction=0.25")  # standardised by what is trained on alone
    assert torch.allclose(held_out.train.inputs.mean(0), torch.zeros(3), atol=1e-5)
    shutil.copy("photos/red/0.png", "photos/red/copy.png")
    assert len(loaded().train) + len(loaded().test) == 41
    assert sum(seen) == 40  # its content is known
    Image.new("RGB", (9, 9), (1, 2, 3)).save("photos/red/new.png")
    loaded()
    assert sum(seen) == 81


def scored_folder(override: str, door: Command) -> Records:
    """Train with photographs in two parts, score the second as its records say, and return these."""
    for name in ("blue", "red"):
        shutil.copytree(f"photos/{name}", f"photos/train/{name}")
        shutil.move(f"photos/{name}", f"photos/test/{name}")
    records = train(config(override, "learning_rate=0.01"))
    result = door(f"run={records.path}", "data=photos/test")
    assert result.status == 0, result.err
    table = pd.read_csv("predictions.csv")
    assert np.isclose((table["predicted"] == table["actual"]).mean(), records.final.test_metric)
    return records


def test_a_model_of_features_scores_a_folder_as_its_records_say(
    seen: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    door: Command = opened(predict, monkeypatch, capsys)
    records = scored_folder("dataset.storage=memory", door)
    assert records.final.worst_group > 0.8
    info = json.loads((records.path / "data.json").read_text())
    assert info["features"] == "3 by tiny, weights 0000000000000000"
    monkeypatch.setattr(
        features, "load_encoder", lambda *choice: Encoder("tiny", "1" * 16, "8 pixels", lambda *_: torch.zeros(0))
    )
    result = door(f"run={records.path}", "data=photos/test", "force=true")
    assert result.status == 1
    assert "has weights with the checksum 1111111111111111, but the model was trained on" in result.err


def test_a_comparison_of_features_leaves_boosted_trees_out(seen: list[int]) -> None:
    """They would take longer than all else."""
    data = loaded()
    assert list(suitable(data, "classification", None)) == ["logistic_regression", "logistic_regression_balanced"]
    assert list(suitable(data, "classification", ["boosted_trees_by_prior"])) == ["boosted_trees"]
    assert len(suitable(replace(data, preprocessing={}), "classification", None)) == 4


@pytest.mark.parametrize("words", [(), ("validation_fraction=0.25", "strategy=pike"), ("imbalance=linear",)])
def test_features_in_a_mapped_file_give_the_numbers_of_those_in_memory(seen: list[int], words: Sequence[str]) -> None:
    shutil.copy("photos/red/0.png", "photos/red/copy.png")
    runs = [config(*words, f"dataset.storage={kind}", f"results_dir={kind}") for kind in ("memory", "mapped")]
    memory, mapped = map(train, runs)
    assert memory.path.name == mapped.path.name
    pd.testing.assert_frame_equal(memory.groups, mapped.groups, rtol=1e-4)
    data, stored = load(runs[1]), load(runs[0])
    assert data.train.rows is not None
    assert len(data.train.inputs) == 40
    for part in ("train", "test"):
        inputs = [getattr(each, part).batch(slice(None)).inputs for each in (data, stored)]
        torch.testing.assert_close(inputs[0], inputs[1], rtol=1e-5, atol=1e-5)
    saved = [torch.load(each.path / "model.pt", weights_only=True) for each in (memory, mapped)]
    assert saved[0]["preprocessing"] == saved[1]["preprocessing"]
    assert saved[0]["blank"].keys() == saved[1]["blank"].keys()
    assert sum(seen) == 40


@pytest.mark.parametrize("kind", ["memory", "mapped"])
def test_features_that_are_alike_for_all_stay_so(seen: list[int], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder(
        "flat", "2" * 16, "", lambda samples, part: torch.tensor([[0.1, 0.0, 1e4 / 3]] * len(samples[part]))
    )
    monkeypatch.setattr(image_folder, "load_encoder", lambda *choice: encoder)
    inputs = loaded(f"dataset.storage={kind}").train.batch(slice(None)).inputs
    assert inputs.abs().max() < 1e-3


def test_a_model_of_mapped_features_scores_a_folder(
    seen: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scored_folder("dataset.storage=mapped", opened(predict, monkeypatch, capsys))


def test_what_needs_mapped_features_in_memory_is_refused_or_left_out(seen: list[int]) -> None:
    with pytest.raises(UserError, match=r"use dataset\.storage=memory, or another strategy"):
        train(config("dataset.storage=mapped", "strategy=smote"))
    assert suitable(loaded("dataset.storage=mapped"), "classification", ["logistic_regression"]) == {}


def test_features_that_memory_has_no_room_for_are_refused_beforehand(
    seen: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(storage, "free_memory", lambda: 479)
    for _ in range(2):
        with pytest.raises(
            UserError, match=r"40 samples, 3 numbers each take .* use dataset.storage=mapped or fewer"
        ) as error:
            loaded()
        assert_sentence(str(error.value), Path("data"))
        assert sum(seen) in (32, 72)  # the rest only for the file
        assert len(loaded("dataset.storage=mapped").train) == 32
    assert (
        "computing features of 40 samples, 3 numbers each by tiny once: 0.000458 MiB in data" in capsys.readouterr().out
    )


WIDE = """
import l2m.data.torchvision_import
from l2m.data.own import features, image_folder
from l2m.data.own.encoders import Encoder, read_pixels

def load_encoder(kind, name, *rest):
    def apply(samples, part):
        return read_pixels(samples, part, 8, "stretch").float().mean((2, 3)).repeat(1, 16_000)
    return Encoder(name, "0" * 16, "8 pixels", apply)

image_folder.load_encoder = features.load_encoder = load_encoder
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of memory")
@pytest.mark.parametrize("kind", ["mapped", "memory"])
def test_features_ten_times_the_memory_are_trained_on(tmp_path: Path, kind: str) -> None:
    """576 MB of features within 58 MB beyond what a sixth of them takes; in memory they take seven times that."""
    rng = np.random.default_rng(0)
    for name, count in (("few/train", 50), ("few/test", 200), ("many/train", 1300), ("many/test", 200)):
        write_images(tmp_path / name, 9, rng, count)
    taken = measure_beyond(tmp_path, kind, "dataset.features=wide", before=WIDE)
    assert taken < 58 if kind == "mapped" else taken > 400


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def exchange(file: Path) -> None:
    new = Path("photos/red/new.png")
    Image.new("RGB", (9, 9)).save(new)
    loaded()
    new.unlink()
    (other,) = (each for each in file.parent.glob("*.npy") if each != file)
    other.replace(file)


@pytest.mark.parametrize("spoil", [cut, flip, exchange, lambda file: file.write_bytes(b"")])
def test_a_cache_that_is_damaged_or_of_others_is_computed_again(
    spoil: Callable[[Path], None], seen: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    before = loaded().train.inputs
    (file,) = Path("data/features").glob("*.npy")
    spoil(file)
    del seen[:]
    assert torch.equal(loaded().train.inputs, before)
    assert "it is made again" in caplog.text
    assert torch.equal(loaded().train.inputs, before)
    assert seen == [32, 8]


@pytest.mark.parametrize(
    "words", [("resize=32",), ("augmentation=standard",), ("features=null", "weights=a.safetensors")]
)
def test_options_that_would_do_nothing_are_refused(words: Sequence[str], seen: list[int]) -> None:
    with pytest.raises(UserError, match="does nothing with") as error:
        loaded(*(f"dataset.{word}" for word in words))
    assert_sentence(str(error.value), Path("data"))


def test_all_unreadable_photographs_are_listed_and_nothing_is_kept(seen: list[int]) -> None:
    broken = sorted(Path("photos/blue").iterdir())
    for file in broken[:12]:
        file.write_bytes(b"no image " + file.name.encode())
    with pytest.raises(UserError) as error:
        loaded()
    assert len(str(error.value).splitlines()) == 10
    assert str(error.value).endswith("and 2 more")
    assert not list(Path("data/features").glob("*.npy"))


def test_a_full_disk_is_reported_before_all_is_computed(seen: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(UserError, match="0 MiB free") as error:
        loaded()
    assert_sentence(str(error.value), Path("data"))
    assert seen == [32]
    assert not list(Path("data/features").glob("*.npy*"))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs a system that reserves room for a file")
def test_the_room_of_an_array_is_taken_at_once(tmp_path: Path) -> None:
    """Else a disk that becomes full ends the process with a signal."""
    array = storage.new_array(tmp_path / "array.npy", (1000, 25), np.float32)
    assert (tmp_path / "array.npy").stat().st_blocks * 512 >= array.nbytes == 100_000


def test_a_finished_file_is_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    def make(part: Path) -> None:
        storage.new_array(part, (3, 2), np.float32)[:] = 1

    file, lock = tmp_path / "array.npy", tmp_path / "array.lock"
    storage.load_or_make(file, 3, make)
    lock.unlink(missing_ok=True)
    lock.mkdir()  # for root, too, cannot be opened
    assert storage.load_or_make(file, 3, make).sum() == 6


def test_without_the_extra_a_sentence_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from l2m.data.own import encoders

    monkeypatch.setattr("l2m.errors.find_spec", lambda package: None)
    with pytest.raises(UserError, match=re.escape("needs timm: pip install 'learn2mix[pretrained]'")):
        encoders.load_encoder("image", "resnet18", None, "stretch", 0)


def image_encoder(name: str = "test_resnet", weights: str | None = "right.pth") -> Encoder:
    from l2m.data.own.encoders import load_encoder

    return load_encoder("image", name, weights, "stretch", 0)


@pytest.mark.extras
def test_a_network_of_timm_makes_the_features_that_it_makes_itself(weights: Path) -> None:
    import timm

    encoder, network = image_encoder(), timm.create_model("test_resnet", num_classes=0).eval()
    values = torch.load("right.pth")
    network.load_state_dict({name: value for name, value in values.items() if not name.startswith("fc.")})
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8))
    cfg = timm.data.resolve_model_data_config(network)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    mean, sd = (torch.tensor(cfg[key]).view(-1, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        assert torch.allclose(
            encoder.apply([lambda: image], slice(1)), network(((pixels - mean) / sd)[None]), atol=1e-4
        )
    assert image_encoder().weights == encoder.weights
    values["conv1.weight" if "conv1.weight" in values else next(iter(values))] += 1
    torch.save(values, "moved.pth")
    assert image_encoder(weights="moved.pth").weights != encoder.weights


@pytest.mark.extras
def test_networks_with_equal_weights_have_features_of_their_own(weights: Path) -> None:
    """The second pads another way."""
    import timm

    torch.save(timm.create_model("efficientnet_b0").state_dict(), "equal.pth")
    first, second, again = (
        image_encoder(name, "equal.pth") for name in ("efficientnet_b0", "tf_efficientnet_b0", "efficientnet_b0")
    )
    assert first.weights == second.weights
    assert first.preparation == again.preparation != second.preparation


@pytest.mark.extras
@pytest.mark.parametrize(
    ("name", "file", "problem"),
    [
        ("test_resnet", "other.pth", "cannot be loaded from other.pth"),
        ("test_resnet", "none.pth", "cannot be loaded from none.pth"),
        ("test_resnet", "code.pth", "cannot be loaded from code.pth"),
        ("test_resnet", "lost.pth", "is not a file"),
        ("test_resnett", None, "did you mean test_resnet"),
        ("test_resnet", None, "cannot be loaded from the hub"),
        ("timm/test_resnet.r160_in1k", None, "cannot be loaded from the hub"),
        ("empty", None, "cannot be loaded from empty"),
    ],
)
def test_what_is_wrong_with_weights_is_reported(name: str, file: str | None, problem: str, weights: Path) -> None:
    Path("empty").mkdir()
    state = torch.random.get_rng_state()
    with pytest.raises(UserError, match=problem) as error:
        image_encoder(name, file)
    assert_sentence(str(error.value), Path("data"))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not Path("was_executed").exists()


@pytest.fixture
def sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small BERT, and a table of texts."""
    transformers = pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "a", "very"]
    Path("bert").mkdir()
    Path("bert/vocab.txt").write_text("\n".join(words))
    tokenizer = transformers.BertTokenizerFast("bert/vocab.txt", model_max_length=32)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig(vocab_size=len(words), **sizes)).save_pretrained("bert")
    tokenizer.save_pretrained("bert")
    lines = [
        {"text": f"a {'very ' * (i % 3)}{word} film {i}", "label": word} for i in range(20) for word in ("good", "bad")
    ]
    Path("reviews.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


@pytest.mark.extras
def test_texts_are_seen_through_a_network_of_transformers(
    sentences: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("dataset=hugging_face", "dataset.path=reviews.jsonl", "dataset.features=bert", "model=mlp", "batch_size=8")
    records = train(compose(*words, "learning_rate=0.01", "epochs=20", "device=cpu", "threads=1"))
    assert records.final.worst_group > 0.7
    pd.DataFrame({"text": ["a good film", "bad"], "label": ["good", "bad"]}).to_csv("new.csv", index=False)
    result = opened(predict, monkeypatch, capsys)(f"run={records.path}", "data=new.csv")
    assert result.status == 0, result.err
    assert pd.read_csv("predictions.csv")["predicted"].tolist() == ["good", "bad"]


@pytest.mark.extras
def test_a_text_network_that_lacks_weights_is_refused(sentences: Path) -> None:
    from safetensors.torch import load_file, save_file

    from l2m.data.own.encoders import load_encoder

    values = load_file("bert/model.safetensors")
    del values["embeddings.word_embeddings.weight"]
    save_file(values, "bert/model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="1 weights are missing or of another shape") as error:
        load_encoder("text", "bert", None, "stretch", 32)
    assert_sentence(str(error.value), Path("data"))
    with pytest.raises(UserError, match="is for images"):
        load_encoder("text", "bert", "a.safetensors", "stretch", 32)


@pytest.mark.extras
@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda bert: [file.unlink() for file in bert.iterdir() if "token" in file.name or "vocab" in file.name],
         "its tokenizer has 5 tokens, which are none or not the network's"),
        (lambda bert: change(bert, hidden_size=32), "20 weights are missing or of another shape, embeddings"),
        (lambda bert: change(bert, vocab_size=3), "1 weights are missing or of another shape, embeddings.word"),
        (lambda bert: (bert / "model.safetensors").write_bytes(b"no weights"), "SafetensorError"),
        (lambda bert: change(bert, model_type="own", auto_map={"AutoConfig": "own.Own"}), "contains custom code"),
    ],
)  # fmt: skip
def test_a_folder_that_is_not_a_whole_text_network_is_refused(
    sentences: Path, spoil: Callable[[Path], object], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from l2m.data.own.encoders import load_encoder

    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asks whether to run the folder's code"))
    Path("bert/own.py").write_text("from pathlib import Path\nPath('was_executed').touch()\n")
    spoil(Path("bert"))
    with pytest.raises(UserError, match=problem) as error:
        load_encoder("text", "bert", None, "stretch", 32)
    assert_sentence(str(error.value), Path("data"))
    assert not Path("was_executed").exists()


def change(folder: Path, **values: Any) -> None:
    """Change the configuration of a network of transformers."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
