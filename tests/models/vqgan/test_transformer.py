"""The transformer over codes: it sees only what came before, the cache changes nothing, sampling is what it says."""

import pytest
import torch
from torch import Tensor

from ganformer.models.vqgan.transformer import CausalAttention, CodeTransformer, Sampling

CODES, LENGTH = 7, 6
NONE = torch.zeros(3, 0)


def transformer(classes: int = 0, dropout: float = 0.0) -> CodeTransformer:
    torch.manual_seed(0)
    network = CodeTransformer(CODES, LENGTH, classes, layers=2, heads=2, width=8, dropout=dropout)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


def codes(count: int = 3) -> Tensor:
    return torch.randint(CODES, (count, LENGTH), generator=torch.Generator().manual_seed(1))


# ---------------------------------------------------------------------------------------------------- prediction


def test_each_code_is_predicted_from_those_before_it() -> None:
    network, given = transformer(), codes()
    logits = network(given, NONE)
    assert logits.shape == (3, LENGTH, CODES)
    for place in range(LENGTH):
        changed = given.clone()
        changed[:, place] = (changed[:, place] + 1) % CODES
        differs = (network(changed, NONE) != logits).any(dim=2).any(dim=0)
        assert differs.tolist() == [other > place for other in range(LENGTH)]


def test_the_same_with_and_without_the_cache() -> None:
    network, given, labels = transformer(classes=3), codes(), torch.eye(3)
    caches, x, found = network._caches(3), network._start(labels), []
    for place in range(LENGTH):
        found.append(network.next_logits(x, place, caches))
        x = network.embedding(given[:, place])
    torch.testing.assert_close(torch.stack(found, dim=1), network(given, labels))


def test_every_class_has_a_start_of_its_own() -> None:
    network, given = transformer(classes=3), codes()[:1].expand(3, -1)
    logits = network(given, torch.eye(3))
    assert not torch.isclose(logits[0], logits[1]).all()
    assert torch.equal(network(given, torch.eye(3)[[1, 1, 1]])[0], network(given, torch.eye(3)[[1, 0, 2]])[0])
    assert network.starts.shape == (3, 8)
    assert transformer().starts.shape == (1, 8)


@pytest.mark.slow
def test_every_parameter_learns() -> None:
    network = transformer(classes=3)
    network(codes(), torch.eye(3)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_official_size() -> None:
    """The model for faces has the parameters of the official code, and a start of its own instead of a code's."""
    with torch.device("meta"):
        network = CodeTransformer(1024, 256, 0, layers=24, heads=16, width=1664, dropout=0.0)
    assert sum(p.numel() for p in network.parameters()) == 801_798_400 + 1664


def test_weights_begin_as_those_of_gpt_2() -> None:
    torch.manual_seed(0)
    network = CodeTransformer(50, 20, 30, layers=1, heads=2, width=64, dropout=0.0)
    layer = network.blocks[0].layers[0]
    for weight in (network.starts, network.embedding.weight, network.head.weight, layer.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not network.positions.any()
    biases = [value for name, value in network.named_parameters() if name.endswith("bias")]
    assert len(biases) == 2 + 2 + 2 + 1  # of two layers, of attention, and of three normalisations
    assert not any(bias.any() for bias in biases)


def test_dropout_is_for_training_only() -> None:
    network = transformer(dropout=0.5)
    assert not torch.equal(network(codes(), NONE), network(codes(), NONE))
    network.eval()
    assert torch.equal(network(codes(), NONE), network(codes(), NONE))


def test_weights_of_attention_are_dropped_in_training() -> None:
    torch.manual_seed(0)
    attention, x = CausalAttention(8, 2, 0.5), torch.randn(2, LENGTH, 8)
    assert not torch.equal(attention(x), attention(x))
    attention.eval()
    assert torch.equal(attention(x), attention(x))


# ------------------------------------------------------------------------------------------------------ sampling


def test_codes_are_functions_of_label_and_seed() -> None:
    network, labels = transformer(classes=3), torch.eye(3)
    together = network.sample(labels, Sampling(), [5, 6, 7])
    assert together.shape == (3, LENGTH)
    assert torch.equal(network.sample(labels[1:], Sampling(), [6, 7]), together[1:])
    assert not torch.equal(network.sample(labels, Sampling(), [8, 9, 10]), together)


def test_temperature_zero_takes_the_likeliest_codes() -> None:
    network = transformer()
    found = network.sample(NONE, Sampling(temperature=0), [0, 1, 2])
    assert torch.equal(found[0], found[1])
    assert torch.equal(network(found, NONE).argmax(dim=2), found)


@pytest.mark.slow
def test_codes_are_drawn_as_often_as_their_softmax_says() -> None:
    network = transformer()
    first = network(codes(1), NONE[:1])[0, 0]
    for temperature in (1.0, 0.5):
        found = network.sample(torch.zeros(3000, 0), Sampling(temperature=temperature), range(3000))[:, 0]
        expected = (first / temperature).softmax(dim=0)
        torch.testing.assert_close(found.bincount(minlength=CODES) / 3000, expected, atol=0.03, rtol=0)


LOGITS = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.05, 0.15, 0.3, 0.5]]).log()


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(top_k=None), 4),
        (Sampling(top_k=9), 4),
        (Sampling(top_k=2), 2),
        (Sampling(top_k=None, top_p=0.4), 1),
        (Sampling(top_k=None, top_p=0.51), 2),
        (Sampling(top_k=None, top_p=0.94), 3),
        (Sampling(top_k=3, top_p=0.83), 2),  # 0.5 and 0.3 are 0.84 of the three
        (Sampling(top_k=None, top_p=0.83), 3),
        (Sampling(top_k=1, top_p=0.94), 1),
    ],
)
def test_only_the_likeliest_are_kept(sampling: Sampling, kept: int) -> None:
    found = sampling.cut(LOGITS)
    expected = torch.tensor([[place < kept for place in range(4)], [place >= 4 - kept for place in range(4)]])
    assert torch.equal(found.isfinite(), expected)
    assert torch.equal(found[expected], LOGITS[expected])


def test_what_is_cut_is_never_drawn() -> None:
    noise = torch.tensor([[1.0, 1.0, 1e-9, 1e-9], [1e-9, 1e-9, 1.0, 0.1]])
    assert Sampling(top_k=2).choose(LOGITS, noise).tolist() == [0, 3]
    assert Sampling(top_k=None).choose(LOGITS, noise).tolist() == [2, 1]
