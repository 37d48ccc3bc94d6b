import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.transformer import byte_tokenizer, training
from secmlops.web_attacks.transformer import network as networks
from secmlops.web_attacks.transformer.classifier import TransformerClassifier
from secmlops.web_attacks.transformer.fitting import (
    GENERATED,
    GENERATED_SHARE,
    Bags,
    Schedule,
    _witness_weight,
    fit,
    logits_of,
    padded,
    validation_loss,
)
from secmlops.web_attacks.transformer.windows import Windower
from tests.unit.web_attacks import small_traffic
from tests.unit.web_attacks.test_transformer import TINY, files_of

SCHEDULE = Schedule(epochs=2, tokens_per_epoch=4_000, batch_requests=8, learning_rate=3e-3)


def network(architecture="distilbert", vocabulary=400, seed=0):
    torch.manual_seed(seed)
    return networks.from_configuration(
        architecture, vocabulary=vocabulary, max_tokens=32, width=32, layers=1, heads=2
    ).eval()


@pytest.fixture(scope="module")
def windower():
    texts = [record.request.uri for record in small_traffic.records(100, seed=1)]
    return Windower(byte_tokenizer.train(texts, 400), max_tokens=32)


@pytest.mark.parametrize("architecture", ["distilbert", "mobilebert"])
def test_the_shares_of_the_tokens_and_the_bias_add_up_to_the_logit(architecture):
    ids, mask = padded([(1, 5, 40, 41, 42, 2), (1, 5, 43, 2)])
    with torch.inference_mode():
        net = network(architecture)
        logit, classes, shares = net(ids, mask)
    assert classes.shape == (2, 13)
    assert shares[1, 4:].abs().max() == 0
    torch.testing.assert_close(shares.sum(dim=1) + net.bias[0], logit)


@pytest.mark.parametrize("architecture", ["distilbert", "mobilebert"])
def test_what_training_reads_is_what_is_served(architecture):
    batch = padded([(1, 5, 40, 41, 42, 2), (1, 5, 43, 2)])
    with torch.inference_mode():
        net = network(architecture)
        torch.testing.assert_close(net.logits(*batch), net(*batch)[:2])


def test_windows_are_padded_on_the_right():
    ids, mask = padded([(1, 5, 43, 2), (1, 5, 40, 41, 42, 2)])
    assert ids.tolist() == [[1, 5, 43, 2, 0, 0], [1, 5, 40, 41, 42, 2]]
    assert mask.tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]]


@pytest.mark.parametrize("architecture", ["distilbert", "mobilebert"])
def test_padding_does_not_change_a_logit(architecture):
    net = network(architecture)
    window = (1, 5, 40, 41, 42, 2)
    with torch.inference_mode():
        alone = net(*padded([window]))[0]
        beside = net(*padded([window, (1, 5, *range(30, 55), 2)]))[0]
    torch.testing.assert_close(alone[0], beside[0], atol=1e-5, rtol=0)


def test_the_same_seed_trains_the_same_network(windower):
    train, validation = (
        Bags(small_traffic.records(60, seed=1), windower),
        Bags(small_traffic.records(30, seed=2), windower),
    )

    def trained(seed):
        torch.manual_seed(seed)
        net = network(seed=seed)
        fit(net, train, validation, SCHEDULE, max_tokens=32, seed=seed, on_progress=lambda *_: None)
        return logits_of(net, validation.windows)

    np.testing.assert_array_equal(trained(1), trained(1))
    assert not np.array_equal(trained(1), trained(2))


def test_training_stops_early_and_keeps_the_best_weights(windower):
    train = Bags(small_traffic.records(60, seed=1), windower)
    swapped = [
        LabelledRequest(r.request, "normal" if r.is_attack else "attack", "" if r.is_attack else "sqli")
        for r in small_traffic.records(30, seed=2)
    ]
    validation = Bags(swapped, windower)  # the better it learns, the worse it does here
    net = network()
    patient = replace(SCHEDULE, epochs=9, patience=2)
    done = fit(net, train, validation, patient, max_tokens=32, seed=1, on_progress=lambda *_: None)
    assert done.epochs == done.best_epoch + 2 < 9
    assert validation_loss(validation, logits_of(net, validation.windows)) == pytest.approx(done.validation_loss)


def test_a_sender_s_mark_cannot_be_taken_for_the_attack(windower):
    normal = small_traffic.normals(60, seed=1)
    marked = [
        LabelledRequest(small_traffic.request(f"x{i}' or {i}={i}--", agent="AttackTool/1.0"), "attack", "sqli")
        for i in range(60)
    ]
    bags = Bags(normal + marked, windower)
    learnable = bags.learnable()
    attacks, negatives = learnable.attacks, learnable.normals
    text = [windower.tokenizer.decode(list(ids)) for ids in bags.windows]
    assert len(attacks) == 60
    assert all("attacktool" not in text[i] for bag in attacks for i in bag)
    assert all(any("or" in text[i] for i in bag) for bag in attacks)
    assert not {i for bag in attacks for i in bag} & set(negatives.tolist())


def test_an_identifier_cannot_be_taken_for_the_attack(windower):
    attacks = [
        LabelledRequest(replace(r.request, headers=(*r.request.headers, ("Cookie", f"sid={i * 7919:x}f3"))), "attack")
        for i, r in enumerate(small_traffic.attacks(20, seed=1))
    ]
    bags = Bags(small_traffic.normals(40, seed=1) + attacks, windower)
    text = [windower.tokenizer.decode(list(ids), skip_special_tokens=False) for ids in bags.windows]
    assert any("[COOKIE]" in one for one in text)
    assert not [text[i] for bag in bags.learnable().attacks for i in bag if "[COOKIE]" in text[i]]


def test_the_choice_of_a_witness_sharpens_from_all_windows_to_the_highest():
    logit, bag = torch.tensor([0.0, 2.0, -1.0, 5.0]), torch.tensor([0, 0, 0, 1])
    even, sharp = (_witness_weight(logit, bag, 2, sharpness) for sharpness in (0.0, 50.0))
    torch.testing.assert_close(even, torch.tensor([1 / 3, 1 / 3, 1 / 3, 1.0]))
    torch.testing.assert_close(sharp, torch.tensor([0.0, 1.0, 0.0, 1.0]))


def test_an_attack_made_only_of_normal_windows_keeps_them(windower):
    normal = small_traffic.normals(40, seed=1)
    bags = Bags([*normal, LabelledRequest(normal[0].request, "attack", "other")], windower)
    attacks = bags.learnable().attacks
    assert len(attacks) == 1 and len(attacks[0]) > 0


def test_generated_texts_have_a_bounded_share(windower):
    generated = [replace(record, tags=(GENERATED,)) for record in small_traffic.normals(150, seed=4)]
    bags = Bags([*small_traffic.records(20, seed=1), *generated], windower)
    learnable = bags.learnable()
    own = {i for bag, made in zip(bags.bags, bags.generated, strict=True) for i in bag if not made}
    share = learnable.normal_chance[[i not in own for i in learnable.normals]].sum()
    assert share == pytest.approx(GENERATED_SHARE)
    assert learnable.normal_chance.sum() == pytest.approx(1)


def train(out, **changes):
    steps: list[tuple[int, int, str]] = []
    metrics = training.train(
        small_traffic.records(80, seed=1),
        small_traffic.records(60, seed=2),
        out,
        replace(TINY, epochs=1, tokens_per_epoch=6_000, **changes),
        max_false_positive_rate=0.05,
        site_normals=[record.request for record in small_traffic.normals(20, seed=3)],
        on_progress=lambda done, total, message: steps.append((done, total, message)),
    )
    return metrics, steps


def test_8_bit_weights_out_of_tolerance_are_not_served_and_the_card_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "MIN_VERDICT_AGREEMENT", 1.1)
    metrics, steps = train(tmp_path / "model", mutated_copies=1)
    card = json.loads((tmp_path / "model" / "card.json").read_bytes())
    assert card["network"]["served_as"] == "float32" and not card["equality"]["int8_within_tolerance"]
    assert any("float32" in limit for limit in card["limits"])
    assert card["training"]["site_normals"] == 20
    classifier = TransformerClassifier.from_files(files_of(tmp_path / "model"))
    requests = [record.request for record in small_traffic.records(8, seed=5)]
    assert classifier.score(requests) == [classifier.score([request])[0] for request in requests]
    assert all(math.isfinite(value) for value in metrics.values())
    assert [done for done, _, _ in steps] == sorted(done for done, _, _ in steps)
    assert steps[-1][:2] == (100, 100)


def test_an_export_that_computes_something_else_is_refused_and_nothing_written(tmp_path, monkeypatch):
    def wrong(net, path, max_tokens):
        with torch.no_grad():
            net.bias[0] += 0.01
        original(net, path, max_tokens)
        with torch.no_grad():
            net.bias[0] -= 0.01

    original = networks.export
    monkeypatch.setattr(networks, "export", wrong)
    with pytest.raises(training.ExportMismatch, match="differs"):
        train(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.fixture(scope="module")
def weights(tmp_path_factory, windower):
    """A folder as Hugging Face writes it, with its own, smaller vocabulary and no location markers."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import DistilBertConfig, DistilBertModel

    folder = tmp_path_factory.mktemp("weights")
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *map(chr, range(33, 127)),
        *[f"##{chr(c)}" for c in range(33, 127)],
    ]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(words[:5])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = DistilBertConfig(
        vocab_size=len(words), dim=32, hidden_dim=64, n_layers=1, n_heads=2, max_position_embeddings=24
    )
    DistilBertModel(config).save_pretrained(folder, safe_serialization=True)
    return folder


def test_weights_from_a_folder_are_fine_tuned_with_their_tokenizer(tmp_path, weights):
    train(tmp_path / "model", weights_uri=str(weights))
    files = files_of(tmp_path / "model")
    assert json.loads(files["preprocess.json"])["max_tokens"] == 24
    assert json.loads(files["card.json"])["network"]["weights"] == str(weights)
    tokenizer = byte_tokenizer.load(files["tokenizer.json"])
    assert tokenizer.get_vocab_size() == 5 + 2 * 94 + 5
    assert 0 <= TransformerClassifier.from_files(files).score([small_traffic.request("[SEP] '")])[0].score <= 1


def test_the_encoder_s_weights_are_the_folder_s(weights):
    from safetensors.torch import load_file

    net, _, _ = networks.from_folder("distilbert", weights)
    stored = load_file(weights / "model.safetensors")["transformer.layer.0.ffn.lin1.weight"]
    torch.testing.assert_close(net.encoder.transformer.layer[0].ffn.lin1.weight, stored)


def without_a_tensor(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["transformer.layer.0.ffn.lin1.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (
            lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
            r"no model\.safetensors",
        ),  # a pickle runs code
        (lambda f: (f / "model.safetensors").write_bytes(b"\x80\x04"), "does not load"),  # a pickle renamed
        (lambda f: (f / "config.json").unlink(), "config.json"),
        (lambda f: (f / "config.json").write_text("[]"), "config.json"),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer"),
        (without_a_tensor, "1 of the encoder's tensors"),  # the library would fill it with random numbers
    ],
)
def test_unusable_weights_are_refused_with_the_reason(tmp_path, weights, spoil, problem):
    import shutil

    folder = shutil.copytree(weights, tmp_path / "weights")
    spoil(folder)
    with pytest.raises(networks.UnusableWeights, match=problem):
        networks.from_folder("distilbert", folder)


def test_weights_of_another_architecture_are_refused(weights):
    with pytest.raises(networks.UnusableWeights, match="distilbert, not a mobilebert"):
        networks.from_folder("mobilebert", weights)


def test_code_in_a_weights_folder_is_not_run(tmp_path, weights):
    import shutil

    folder = shutil.copytree(weights, tmp_path / "weights")
    mark = tmp_path / "ran"
    (folder / "configuration_evil.py").write_text(f"open({str(mark)!r}, 'w')")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "configuration_evil.Evil", "AutoModel": "configuration_evil.Evil"}
    (folder / "config.json").write_text(json.dumps(config))
    networks.from_folder("distilbert", folder)
    assert not mark.exists()
