"""IMDB from its three sources, its tokens and their cache, and the transformer that reads them."""

from __future__ import annotations

import collections
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from made_up import compose
from sklearn.model_selection import train_test_split

from l2m import UserError, train
from l2m.data import Data, _load, load
from l2m.data import tokens as words
from l2m.data.paper import text
from l2m.models import transformer
from l2m.models.transformer import Transformer, dropout, sinusoids
from l2m.seeding import generator
from l2m.strategies import Context
from l2m.strategies.smote import Smote
from l2m.training.engine import Trainer

REVIEWS = "aclImdb/{}/{}"
CSV = "imdb/IMDB Dataset.csv"


def loaded(folder: Path, *overrides: str) -> Data:
    """The data set as it is read, not as it was kept in memory."""
    _load.cache_clear()
    return load(compose("dataset=imdb", f"data_dir={folder}", *overrides))


@pytest.fixture
def archive(tiny_data: Path, tmp_path: Path) -> Path:
    """A ``data_dir`` with nothing but a tiny aclImdb."""
    folder = tmp_path / "archive"
    shutil.copytree(tiny_data / "aclImdb", folder / "aclImdb")
    return folder


def pool(folder: Path) -> pd.DataFrame:
    """What lies in aclImdb, as the widespread table has it: review and sentiment."""
    rows = [
        (file.read_text("utf-8"), "negative" if label == "neg" else "positive", part)
        for part in ("train", "test")
        for label in ("pos", "neg")
        for file in (folder / "aclImdb" / part / label).iterdir()
    ]
    return pd.DataFrame(rows, columns=["review", "sentiment", "part"])


def write_csv(file: Path, table: pd.DataFrame) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(file, index=False)


def same(ours: Data, theirs: Data) -> bool:
    return ours.preprocessing == theirs.preprocessing and all(
        torch.equal(getattr(getattr(ours, part), name), getattr(getattr(theirs, part), name))
        for part in ("train", "test")
        for name in ("inputs", "targets", "groups")
    )


# Tokens


@pytest.mark.parametrize(
    ("sentences", "tokens"),
    [
        ("Don't! It's john's.", "do n't ! it 's john 's ."),
        ("I can't, they wouldn't've", "i ca n't , they would n't 've"),
        ("a well-known and/or 8/10", "a well-known and/or 8/10"),
        ("3.5 of 1,000; wait... what--", "3.5 of 1,000 ; wait ... what --"),
        ('one<br /><br />two "quoted"', 'one two " quoted "'),
        ("Café\u2013naïve\x85 it'scool", "café \u2013 naïve it ' scool"),
        ("end.But $5", "end . but $ 5"),
        ("<br />", ""),
        ("这部电影很好。love it 2次", "这 部 电 影 很 好 。 love it 2 次"),
        ("映画はとても", "映 画 は と て も"),
        ("नहीं, यह फ़िल्म", "नहीं , यह फ़िल्म"),
        ("คืนนี้", "คื น นี้"),
        ("می\u200cخواهم رائعًا", "می\u200cخواهم رائعًا"),
        ("cafe\u0301s 영화", "cafés 영화"),
        ("👩\u200d👩\u200d👧👍🏽❤\ufe0f🇩🇪🇫🇷", "👩\u200d👩\u200d👧 👍🏽 ❤\ufe0f 🇩🇪 🇫🇷"),
    ],
)
def test_words_of_any_text(sentences: str, tokens: str) -> None:
    assert words.plain(sentences) == tokens.split()


@pytest.mark.parametrize(
    ("review", "tokens"),  # what nltk 3.10.4 gives, with its trained splitter of sentences
    [
        ("Don't! It's john's.", "do n't ! it 's john 's ."),
        ("I can't, they cannot. You're gonna", "i ca n't , they can not . you 're gon na"),
        ("a well-known and/or 8/10", "a well-known and/or 8/10"),
        ("3.5 of 1,000; wait... what--no", "3.5 of 1,000 ; wait ... what -- no"),
        ("A film.<br /><br />Bad", "a film. < br / > < br / > bad"),
        ('"Quoted." A ("so called") end', "`` quoted . '' a ( `` so called '' ) end"),
        ("see mr. bean, j. doe. the end.", "see mr. bean , j. doe . the end ."),
        ("the end.But the '70s o'clock", "the end.but the ' 70s o'clock"),
        ("good (really good.) yes!? $5 *or* 10%", "good ( really good . ) yes ! ? $ 5 * or * 10 %"),
        ("Café\u2013naïve 'quoted' it's", "café \u2013 naïve ' quoted ' it 's"),
    ],
)
def test_words_of_a_review_are_those_of_nltk(review: str, tokens: str) -> None:
    assert words.as_nltk(review) == tokens.split()


def test_vocabulary_is_the_training_parts_by_frequency() -> None:
    encoded = words.encode(["b a a c", "C b rare"], ["a new b rare", "a " * 501])
    assert encoded.vocabulary == ["<pad>", "<unknown>", "a", "b", "c"]  # a tie is broken by the alphabet
    assert encoded.train.dtype == encoded.test.dtype == np.int32
    assert encoded.train.shape == encoded.test.shape == (2, 500)
    assert encoded.train[:, :5].tolist() == [[3, 2, 2, 4, 0], [4, 3, 1, 0, 0]]
    assert encoded.test[0, :5].tolist() == [2, 1, 3, 1, 0]
    assert encoded.test[1].tolist() == [2] * 500
    assert not encoded.train[:, 4:].any()


def test_imdb_is_pooled_sorted_and_split_by_label(archive: Path) -> None:
    table = pool(archive)
    rows = sorted(zip((table["sentiment"] == "positive").astype(int), table["review"], strict=True))
    parts = train_test_split(rows, test_size=0.2, random_state=42, stratify=[label for label, _ in rows])
    data = loaded(archive, "imbalance=none")
    counts: collections.Counter[str] = collections.Counter()
    for _, review in parts[0]:
        counts.update(words.as_nltk(review))
    vocabulary = data.preprocessing["vocabulary"]
    assert sorted(vocabulary[2:]) == sorted(word for word, count in counts.items() if count > 1)
    assert data.vocabulary_size == len(vocabulary)
    for split, part in zip((data.train, data.test), parts, strict=True):
        assert split.inputs.shape == (len(part), 500)
        assert (split.inputs.dtype, split.targets.dtype) == (torch.int32, torch.int64)
        assert split.targets.tolist() == split.groups.tolist() == [label for label, _ in part]
        for tokens, (_, review) in zip(split.inputs.tolist(), part, strict=True):
            read = [vocabulary[token] for token in tokens if token]
            assert read == [word if counts[word] > 1 else "<unknown>" for word in words.as_nltk(review)]
    assert torch.bincount(data.test.groups).tolist() == [4, 4]
    assert (data.group_names, data.classes) == (("negative", "positive"), 2)


def test_recipe_leaves_the_vocabulary_and_the_test_set_alone(archive: Path) -> None:
    plain, rare = loaded(archive, "imbalance=none"), loaded(archive)
    assert torch.bincount(plain.train.groups).tolist() == [16, 16]
    assert torch.bincount(rare.train.groups).tolist() == [4, 16]  # 30 % of the negative ones
    assert rare.preprocessing == plain.preprocessing
    assert torch.equal(rare.test.inputs, plain.test.inputs)


def test_another_data_seed_splits_reviews_anew(archive: Path) -> None:
    assert not same(loaded(archive), loaded(archive, "data_seed=43"))


# Sources


@pytest.mark.parametrize("name", [CSV, "IMDB Dataset.csv"])
def test_table_and_archive_give_the_same(archive: Path, tmp_path: Path, name: str) -> None:
    table = pool(archive).sample(frac=1, random_state=0)
    table["review"] = "  " + table["review"] + "\n"
    write_csv(tmp_path / "data" / name, table[["review", "sentiment"]])
    assert same(loaded(tmp_path / "data"), loaded(archive))


def test_archive_comes_before_the_table(archive: Path) -> None:
    first = loaded(archive)
    write_csv(archive / CSV, pd.DataFrame({"review": ["x"], "sentiment": ["y"]}))
    assert same(loaded(archive), first)


def test_reviews_are_downloaded_once_and_kept(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real library on Parquet files of this machine, in the published layout, the unlabelled part beside them."""
    datasets = pytest.importorskip("datasets")
    served = tmp_path / "served"
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    table = pool(archive)
    for part in ("train", "test"):
        some = table[table["part"] == part]
        columns = {"text": some["review"].tolist(), "label": (some["sentiment"] == "positive").astype(int).tolist()}
        stored = datasets.Dataset.from_dict(columns, features=features)
        stored.to_parquet(served / f"{part}-00000-of-00001.parquet")
    (served / "unsupervised-00000-of-00001.parquet").write_bytes(b"not read")
    monkeypatch.setattr(text, "HUGGING_FACE", str(served))
    folder = tmp_path / "data"
    first = loaded(folder)
    assert same(first, loaded(archive))
    assert sorted(file.name.partition("-")[0] for file in folder.rglob("*.*")) == ["IMDB Dataset.csv", "tokens"]
    monkeypatch.setattr(text, "HUGGING_FACE", "/nowhere")
    assert same(first, loaded(folder))


def test_download_that_fails_says_what_goes_where(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        loaded(tmp_path)
    message = str(caught.value)
    assert str(tmp_path / "aclImdb") in message
    assert str(tmp_path / CSV) in message
    assert "data_dir=" in message
    assert "offline" in message
    assert "\n" not in message
    assert not any(tmp_path.iterdir())


# Cache


def test_tokens_are_kept_and_read_again(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = loaded(archive)
    (kept,) = (archive / "imdb").iterdir()
    assert kept.suffix == ".npz"
    with monkeypatch.context() as patch:
        patch.setattr(text, "encode", lambda *_, **__: pytest.fail("the cache was not read"))
        assert same(loaded(archive), first)
    file = next((archive / "aclImdb" / "train" / "pos").iterdir())
    file.write_text(file.read_text("utf-8") + " film film", "utf-8")
    assert not same(loaded(archive), first), "another text has another checksum"
    assert len(list((archive / "imdb").iterdir())) == 2


@pytest.mark.parametrize("change", [lambda b: b[:-40], lambda b: b"", lambda b: b[:300] + bytes(40) + b[340:]])
def test_damaged_cache_is_rewritten(archive: Path, change: Callable[[bytes], bytes]) -> None:
    first = loaded(archive)
    (kept,) = (archive / "imdb").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(change(whole))
    assert same(loaded(archive), first)
    with np.load(kept) as rewritten:
        assert rewritten["train"].shape == (32, 500)
    assert [file.name for file in (archive / "imdb").iterdir()] == [kept.name]


def test_folder_that_cannot_be_written_keeps_no_tokens(archive: Path) -> None:
    (archive / "imdb").write_text("in the way")
    first = loaded(archive)
    assert (archive / "imdb").read_text() == "in the way"
    assert same(loaded(archive), first)


# What goes wrong


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("label", ["neg", "pos"])
def test_archive_with_a_missing_part(archive: Path, part: str, label: str) -> None:
    shutil.rmtree(archive / "aclImdb" / part / label)
    with pytest.raises(UserError, match=rf"aclImdb/{part}/{label} holds no reviews: put the whole folder aclImdb"):
        loaded(archive)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"caf\xe9", "cannot be read as UTF-8 text (UnicodeDecodeError"),
        (b"", "is empty"),
        (b" \n", "is empty"),
    ],
)
def test_review_that_cannot_be_read(archive: Path, content: bytes, message: str) -> None:
    file = archive / "aclImdb" / "test" / "neg" / "7_3.txt"
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        loaded(archive)
    assert str(caught.value).startswith(f"{file} {message}")
    assert "\n" not in str(caught.value)


def test_too_few_reviews_of_a_class(archive: Path) -> None:
    table = pool(archive)
    few = table[(table["sentiment"] == "negative") | (table.groupby("sentiment").cumcount() < 4)]
    shutil.rmtree(archive / "aclImdb")
    write_csv(archive / CSV, few)
    with pytest.raises(UserError, match=r"IMDB Dataset.csv has 4 positive reviews: it must have at least five"):
        loaded(archive)
    write_csv(archive / CSV, few[few["sentiment"] == "negative"])
    with pytest.raises(UserError, match=r"has 0 positive reviews"):
        loaded(archive)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text,sentiment\na,positive\n", "has no column review: it must have review and sentiment"),
        (b"review,label\na,1\n", "has no column sentiment: it must have review and sentiment"),
        (
            b"review,sentiment\na,positive\nb,1\n",
            "has sentiment=1 in row 2, perhaps a footer: it must be negative or positive",
        ),
        (b"review,sentiment\na,Positive\n", "has sentiment=Positive in row 1"),
        (b'review,sentiment\n"a\nb",positive\n  ,negative\n', "has no review in row 2"),
        (b"review,sentiment\n,negative\n", "has no review in row 1"),
        (b"review,sentiment\ncaf\xe9,negative\n", "cannot be read as a table (UnicodeDecodeError"),
        (b"review,sentiment\n7,a,positive\n", "has more fields in its lines than columns"),
        (b"review,sentiment\na\n", "has sentiment= in row 1"),
        (b'review,sentiment\n"a,negative\n', "cannot be read as a table"),
        (b"", "cannot be read as a table (EmptyDataError"),
    ],
)
def test_table_that_is_another(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / CSV
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        loaded(tmp_path)
    assert str(caught.value).startswith(f"{file} {message}")
    assert "\n" not in str(caught.value)


# Model


def test_sinusoids_are_those_of_the_formula() -> None:
    positions = sinusoids(500)
    assert positions.shape == (500, 64)
    for p, i in ((0, 0), (1, 0), (7, 3), (499, 31)):
        angle = p / 10_000 ** (2 * i / 64)
        assert positions[p, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-4)
        assert positions[p, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-4)


def built(mask_padding: bool = False, attention_dropout: float = 0.0, train_padding: bool = False) -> Transformer:
    torch.manual_seed(0)
    return Transformer(50, 12, 2, train_padding, mask_padding, attention_dropout).eval()


@pytest.fixture
def _seeded() -> object:
    with torch.random.fork_rng():
        yield


TOKENS = torch.tensor([[5, 9, 3, 7, 0, 0, 0, 0, 0, 0, 0, 0], [2] * 12, [0] * 12], dtype=torch.int32)


@pytest.mark.usefixtures("_seeded")
@pytest.mark.parametrize("mask_padding", [False, True])
def test_transformer_is_attention_then_the_mean(mask_padding: bool) -> None:
    """Against attention written out, head by head and review by review."""
    model = built(mask_padding)
    layer, attention = model.encoder, model.encoder.self_attn
    for tokens, ours in zip(TOKENS, model(TOKENS), strict=True):
        kept = max(int((tokens > 0).sum()), 1) if mask_padding else 12
        x = (model.embedding.weight[tokens.long()] + sinusoids(12))[:kept]
        q, k, v = (x @ attention.in_proj_weight.T + attention.in_proj_bias).split(64, 1)
        heads = [
            torch.softmax(q[:, at : at + 16] @ k[:, at : at + 16].T / 4, 1) @ v[:, at : at + 16]
            for at in range(0, 64, 16)
        ]
        x = layer.norm1(x + attention.out_proj(torch.cat(heads, 1)))
        x = layer.norm2(x + layer.linear2(layer.linear1(x).relu()))
        torch.testing.assert_close(ours, model.head(x.mean(0)), atol=1e-5, rtol=1e-4)


@pytest.mark.usefixtures("_seeded")
@pytest.mark.parametrize("mask_padding", [False, True])
def test_evaluation_without_gradients_gives_the_same(mask_padding: bool) -> None:
    model = built(mask_padding)
    with torch.inference_mode():
        quick = model(TOKENS)
    assert quick.isfinite().all()
    torch.testing.assert_close(quick, model(TOKENS))


@pytest.mark.usefixtures("_seeded")
@pytest.mark.parametrize(("train_padding", "mask_padding"), [(False, False), (True, False), (True, True)])
def test_padding_is_zero_or_trained_or_masked(train_padding: bool, mask_padding: bool) -> None:
    model = built(mask_padding, train_padding=train_padding)
    model(TOKENS[:2]).sum().backward()
    gradient = model.embedding.weight.grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert bool(model.embedding.weight[0].any()) == train_padding
    assert bool(gradient[0].any()) == (train_padding and not mask_padding)
    assert gradient[2].any()


@pytest.mark.usefixtures("_seeded")
@pytest.mark.parametrize("together", [12, 100])
def test_encoder_is_torchs_layer(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs and gradients, a review at a time and all at once, masked and not."""
    monkeypatch.setattr(transformer, "TOKENS_AT_ONCE", together)
    for mask_padding in (False, True):
        model = built(mask_padding).double()

        def theirs(layer: Any, x: torch.Tensor, attended: torch.Tensor | None = None) -> torch.Tensor:
            return type(layer).forward(layer, x, src_key_padding_mask=None if attended is None else ~attended[:, 0, 0])

        found = []
        for encode in (transformer.encoded, theirs):
            with monkeypatch.context() as patch:
                patch.setattr(transformer, "encoded", encode)
                outputs = model(TOKENS)
            found.append([outputs, *torch.autograd.grad(outputs.square().sum(), list(model.parameters()))])
        for ours, expected in zip(*found, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("_seeded")
def test_dropout_draws_each_number_by_itself() -> None:
    torch.manual_seed(0)
    n, p = 400, 0.1
    dropped = torch.stack([dropout(torch.ones(n // 4, 4), p, True).flatten() for _ in range(5000)])
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.9])
    zeros = (dropped == 0).double()
    of_a_share = (p * (1 - p) / 5000) ** 0.5  # its standard deviation, over 5000 masks
    assert (zeros.mean(0) - p).abs().max() < 5 * of_a_share, "the first numbers as the last"
    for distance in (1, 2, 17):
        both = (zeros[:, distance:] * zeros[:, :-distance]).mean()
        assert float(both) == pytest.approx(p * p, abs=5 * (p * p / (5000 * (n - distance))) ** 0.5)
    assert float(zeros.sum(1).var()) == pytest.approx(n * p * (1 - p), rel=5 * (2 / 5000) ** 0.5)
    given = torch.rand(3, 7, requires_grad=True)
    assert torch.equal(dropout(given, p, False), given)
    made = dropout(given, 0.5, True)
    (slope,) = torch.autograd.grad(made.sum(), given)
    torch.testing.assert_close(slope, (made != 0) * 2.0)


@pytest.mark.usefixtures("_seeded")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("mask_padding", [False, True])
def test_attention_weights_are_never_held(training: bool, mask_padding: bool) -> None:
    """No kernel gives the (M, heads, L, L) weights: at 500 reviews of 500 tokens they would be 2 GB."""
    model = Transformer(50, 64, 2, False, mask_padding, 0.0).train(training)
    tokens = torch.randint(1, 50, (32, 64), dtype=torch.int32)
    profiling = torch.profiler.profile(profile_memory=True, acc_events=True)  # without it torch 2.11 warns
    with profiling as profile, torch.inference_mode(not training):
        out = model(tokens)
        if training:
            out.sum().backward()
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert 32 * 64 * 128 * 4 <= largest < 32 * 4 * 64 * 64 * 4  # of the hidden layer, not of the weights


@pytest.mark.usefixtures("_seeded")
def test_attention_dropout_is_an_option() -> None:
    model = built(attention_dropout=0.5)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    assert torch.equal(model(TOKENS), model(TOKENS))
    model.train()
    assert not torch.equal(model(TOKENS), model(TOKENS))


def test_models_refuse_inputs_of_another_kind(tiny_data: Path) -> None:
    small = (f"data_dir={tiny_data}", "batch_size=10", "device=cpu")
    for overrides, message in (
        (("dataset=imdb", "model=mlp"), "model=mlp needs numbers, but this data set has tokens: use model=transformer"),
        (("dataset=imdb", "model=lenet5"), r"model=lenet5 takes images.*shape \(500,\): use model=transformer"),
        (
            ("dataset=mnist", "model=transformer"),
            r"tokens, but this data set has numbers of shape \(1, 28, 28\): use model=mlp",
        ),
        (("dataset=wine_quality", "model=transformer"), r"tokens, but this data set has numbers of shape \(11,\)"),
    ):
        with torch.random.fork_rng(), pytest.raises(UserError, match=message):
            Trainer(compose(*overrides, *small))


# Training


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("model.mask_padding=true",),
        ("model.train_padding=true",),
        ("precision=bf16",),
        ("strategy=smote",),
        ("strategy=focal",),
    ],
)
def test_imdb_trains_and_repeats(tiny_data: Path, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    runs = [
        train(compose("dataset=imdb", *overrides, "epochs=2", "batch_size=10", "device=cpu", "threads=1",
                      f"data_dir={tiny_data}", f"results_dir={tmp_path / again}"))
        for again in ("once", "again")
    ]  # fmt: skip
    first, second = (run.metrics.drop(columns="seconds") for run in runs)
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert first["test_loss"].notna().all()
    saved = torch.load(runs[0].path / "model.pt", weights_only=True)
    vocabulary = saved["preprocessing"]["vocabulary"]
    assert vocabulary[:2] == ["<pad>", "<unknown>"]
    assert saved["parameters"]["embedding.weight"].shape == (len(vocabulary), 64)
    assert "positions" not in saved["parameters"]


def test_smote_truncates_tokens_to_tokens(archive: Path) -> None:
    given = loaded(archive).train
    filled = Smote().prepare(Context(given, 2, 10, 2, lambda purpose: generator(0, purpose)))
    assert torch.bincount(filled.groups).tolist() == [16, 16]
    assert filled.inputs.dtype == torch.int32
    assert torch.equal(filled.inputs[: len(given)], given.inputs)
    old, new = given.inputs[given.groups == 0], filled.inputs[len(given) :]
    assert new.shape == (12, 500)
    assert (old.amin(0) <= new.amin(0)).all()
    assert (new.amax(0) <= old.amax(0)).all()
    copies = (new[:, None] == old).all(2).any(1)
    assert copies.sum() < 4, "only where truncation takes a sample back to where it came from"
