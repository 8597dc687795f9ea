from copy import deepcopy

import pytest
import torch

from scenestyle.diffusion import attention
from scenestyle.diffusion.attention import SharedSelfAttention, shared_self_attention
from scenestyle.diffusion.lockstep import Lockstep
from scenestyle.errors import ShapeError
from tests.support.tiny_diffusion import tiny_pipeline


@pytest.fixture(scope="module")
def unet():
    return tiny_pipeline().unet.eval()


@pytest.fixture(scope="module")
def self_attention(unet):
    """In double precision: in single, torch's attention rounds its exponentials as the processor likes."""
    return deepcopy(unet.down_blocks[1].attentions[0].transformer_blocks[0].attn1).double()


def predict(unet, latents, text):
    return unet(
        latents,
        500,
        encoder_hidden_states=text,
        added_cond_kwargs={
            "text_embeds": text.mean(1)[:, :16],
            "time_ids": torch.ones(len(latents), 6),
        },
    ).sample


def guided_batch(num_views, seed=0):
    """Latents and text, unconditional half first, every view different in either half."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(2 * num_views, 4, 8, 6, generator=generator)
    text = torch.randn(2, 1, 24, 32, generator=generator).expand(2, num_views, 24, 32)
    return latents, text.flatten(0, 1)


def random_tokens(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def forget(layers):
    for layer in layers:
        layer.forget()


def literal_attention(layer, x_BLD, num_views, references=None):
    """The paper's formula, one guidance half, view and head at a time; by default all are references."""
    heads, width = layer.heads, layer.to_q.out_features // layer.heads
    outputs = []
    for half in x_BLD.split(num_views):
        for index, view in enumerate(half):
            seen = range(num_views) if references is None else sorted({index, *references})
            everyone = torch.cat([half[other] for other in seen])
            per_head = []
            for head in range(heads):
                rows = slice(head * width, (head + 1) * width)
                query = view @ layer.to_q.weight[rows].T
                keys = everyone @ layer.to_k.weight[rows].T
                values = everyone @ layer.to_v.weight[rows].T
                scores = query @ keys.T / width**0.5
                per_head.append(torch.softmax(scores, dim=-1) @ values)
            outputs.append(torch.cat(per_head, dim=-1) @ layer.to_out[0].weight.T)
    return torch.stack(outputs) + layer.to_out[0].bias


@torch.no_grad()
def test_equals_the_papers_formula(self_attention):
    tokens = random_tokens(2 * 3, 5, 32)
    shared = SharedSelfAttention(3)(self_attention, tokens)
    torch.testing.assert_close(shared, literal_attention(self_attention, tokens, 3))


@torch.no_grad()
def test_with_references_it_equals_the_formula_too(self_attention):
    tokens = random_tokens(2, 5, 7, 32)
    shared = SharedSelfAttention(2)
    parts = [
        shared(self_attention, tokens[:, group].flatten(0, 1)).unflatten(0, (2, -1))
        for group in ([0, 1], [2], [3, 4])
    ]
    expected = literal_attention(self_attention, tokens.flatten(0, 1), 5, references=[0, 1])
    torch.testing.assert_close(torch.cat(parts, dim=1).flatten(0, 1), expected)


@torch.no_grad()
def test_one_view_is_the_stock_unet_bit_for_bit(unet):
    latents, text = guided_batch(num_views=1)
    stock = predict(unet, latents, text)
    with shared_self_attention(unet, 1):
        assert torch.equal(predict(unet, latents, text), stock)


@torch.no_grad()
def test_permuting_views_permutes_results(unet):
    latents, text = guided_batch(num_views=4)
    order = torch.tensor([2, 0, 3, 1])
    with shared_self_attention(unet, 4) as layers:
        plain = predict(unet, latents, text)
        forget(layers)
        permuted = predict(unet, latents[torch.cat([order, 4 + order])], text)
    expected = plain[torch.cat([order, 4 + order])]
    torch.testing.assert_close(permuted, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("keep", [True, False])
@torch.no_grad()
def test_keys_stay_in_memory_only_for_views_that_follow(unet, keep):
    latents, text = guided_batch(num_views=3)
    with shared_self_attention(unet, 3, keep=keep) as layers:
        first = predict(unet, latents, text)
        assert {layer._kept is not None for layer in layers} == {keep}
        forget(layers)
        assert torch.equal(predict(unet, latents, text), first)


@torch.no_grad()
def test_guidance_halves_do_not_mix_and_views_of_one_half_do(unet):
    latents, text = guided_batch(num_views=3)
    changed = latents.clone()
    changed[3] += 1  # the first view's conditional half
    with shared_self_attention(unet, 3) as layers:
        plain = predict(unet, latents, text)
        forget(layers)
        change = (predict(unet, changed, text) - plain).abs()
    assert torch.equal(change[:3], torch.zeros_like(change[:3]))
    assert change[4:].amax(dim=(1, 2, 3)).min() > 1e-4


@torch.no_grad()
def test_views_are_independent_without_sharing(unet):
    latents, text = guided_batch(num_views=2)
    changed = latents.clone()
    changed[0] += 1
    change = predict(unet, changed, text) - predict(unet, latents, text)
    torch.testing.assert_close(change[1:], torch.zeros_like(change[1:]))


def test_only_self_attention_is_shared_and_all_is_restored_after_an_error(unet):
    before = unet.attn_processors

    def fail_inside():
        with shared_self_attention(unet, 2):
            inside = unet.attn_processors
            for name, processor in before.items():
                is_text = ".attn2." in name
                assert isinstance(inside[name], SharedSelfAttention) != is_text
                assert (inside[name] is processor) == is_text
            raise KeyError("planted")

    with pytest.raises(KeyError, match="planted"):
        fail_inside()
    assert unet.attn_processors == before


def test_a_controlnet_shares_too():
    controlnet = tiny_pipeline().controlnet
    with shared_self_attention(controlnet, 2):
        shared = [type(each) for each in controlnet.attn_processors.values()]
    assert shared.count(SharedSelfAttention) == len(shared) // 2 > 0


def test_an_odd_batch_is_refused(self_attention):
    processor = SharedSelfAttention(3)
    with pytest.raises(ShapeError, match="3 views got a batch of 4"):
        processor(self_attention, torch.zeros(4, 5, 32, dtype=torch.float64))


def statistics(part, dims):
    return part.mean(dims), part.std(dims)


@torch.no_grad()
def test_alignment_gives_every_view_the_statistics_of_the_references(self_attention):
    """Seen through an attention that is near to uniform: the queries and keys themselves are compared."""
    tokens = random_tokens(2, 5, 7, 32)
    tokens *= torch.linspace(0.5, 2, 5).view(1, 5, 1, 1)
    queries = self_attention.to_q(tokens).unflatten(-1, (self_attention.heads, -1))
    wanted = statistics(queries[:, :2], (1, 2))
    shared = SharedSelfAttention(2, align=True)
    shared(self_attention, tokens[:, :2].flatten(0, 1))
    aligned = attention.with_statistics(
        queries[:, 2:].flatten(0, 1).transpose(1, 2), *shared._statistics[0]
    ).unflatten(0, (2, 3))
    for half in range(2):
        for view in range(3):
            mean, deviation = statistics(aligned[half, view].transpose(0, 1), 0)
            torch.testing.assert_close(mean, wanted[0][half])
            torch.testing.assert_close(deviation, wanted[1][half])


@torch.no_grad()
def test_alignment_of_one_view_with_itself_changes_nothing(self_attention):
    tokens = random_tokens(2, 5, 32)
    plain = SharedSelfAttention(1)(self_attention, tokens)
    aligned = SharedSelfAttention(1, align=True)(self_attention, tokens)
    torch.testing.assert_close(aligned, plain)


@torch.no_grad()
def test_alignment_changes_views_that_differ(self_attention):
    tokens = random_tokens(2, 3, 5, 32)
    tokens = (tokens * torch.tensor([0.5, 1, 2]).view(1, 3, 1, 1)).flatten(0, 1)
    plain = SharedSelfAttention(3)(self_attention, tokens)
    assert not torch.allclose(SharedSelfAttention(3, align=True)(self_attention, tokens), plain)


def literal_attention_of_sizes(layer, views, index, seen):
    """The formula for one view of tokens x channels that sees others with as many as they have."""
    query = views[index] @ layer.to_q.weight.T
    everyone = torch.cat([views[other] for other in seen])
    keys, values = everyone @ layer.to_k.weight.T, everyone @ layer.to_v.weight.T
    width = layer.to_q.out_features // layer.heads
    heads = [
        torch.softmax(q @ k.T / width**0.5, dim=-1) @ v
        for q, k, v in zip(
            query.split(width, 1), keys.split(width, 1), values.split(width, 1), strict=True
        )
    ]
    return torch.cat(heads, dim=1) @ layer.to_out[0].weight.T + layer.to_out[0].bias


@torch.no_grad()
def test_references_of_several_sizes_equal_the_formula(self_attention):
    """Two halves of guidance; references of 5, 5 and 3 tokens, then further views of 3 and 7."""
    lockstep = Lockstep()
    shared = SharedSelfAttention((2, 1), lockstep=lockstep)
    tokens = random_tokens(2, 5, 7, 32)
    counts = [5, 3, 5, 3, 7]  # view by view
    halves = [[half[view, :count] for view, count in enumerate(counts)] for half in tokens]

    def batch(views):
        return torch.stack([half[view] for half in halves for view in views])

    def call(views):
        return lambda: shared(self_attention, batch(views))

    references = lockstep.run([call([0, 2]), call([1])])
    outputs = dict(zip([(0, 2), (1,)], references, strict=True))
    outputs |= {views: call(views)() for views in ((3,), (4,))}
    for views, output in outputs.items():
        for half, of_half in enumerate(output.unflatten(0, (2, -1))):
            for view, found in zip(views, of_half, strict=True):
                seen = sorted({view, 0, 1, 2})
                wanted = literal_attention_of_sizes(self_attention, halves[half], view, seen)
                torch.testing.assert_close(found, wanted)


@torch.no_grad()
def test_alignment_is_to_the_references_of_all_sizes(self_attention):
    """As if all tokens of the references were one view's."""
    lockstep = Lockstep()
    shared = SharedSelfAttention((1, 1), align=True, lockstep=lockstep)
    tokens = random_tokens(1, 8, 32)
    lockstep.run(
        [lambda part=part: shared(self_attention, part) for part in tokens.split((5, 3), 1)]
    )
    together = SharedSelfAttention(1, align=True)
    together(self_attention, tokens)
    for found, wanted in zip(shared._statistics, together._statistics, strict=True):
        torch.testing.assert_close(found, wanted)
