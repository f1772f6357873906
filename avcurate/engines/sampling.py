"""Sampling whose randomness belongs to the response: its seed, its step and the token, whatever shares its batch.

The noise of a token is a hash of those three numbers, so it is computed where the logits are, for the tokens that can
be drawn and no others. Responses do not depend on batching, order or device, up to the last bits of the logits
themselves, which batched kernels may round differently.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avcurate.engines.base import Sampling

# multipliers of 32-bit integer hashes (Wellons' lowbias32, Steele and Vigna's LCG constants), as signed numbers
_MIX_1, _MIX_2, _TOKEN = 0x7FEB352D, 0x846CA68B - (1 << 32), 0x2C1B3C6D
_BLOCK = 256
_NUCLEUS = 1024


class SeededSampler:
    """Draws one token per row and step by the Gumbel-max trick.

    Args:
        seeds: one per row, in [0, 2**63).
        sampling: decoding values; temperature 0 is greedy.
        banned: token ids that are never drawn (media placeholders).
        device: where the logits are.
    """

    def __init__(
        self, seeds: list[int], sampling: Sampling, banned: list[int], device: torch.device | str = "cpu"
    ) -> None:
        self.sampling = sampling
        self.banned = torch.tensor(banned, dtype=torch.long, device=device)
        halves = [(_signed(s & 0xFFFFFFFF), _signed(s >> 32)) for s in seeds]
        self._keys = torch.tensor(halves, dtype=torch.int32, device=device).reshape(-1, 2)
        self._step = 0

    def keep(self, rows: Tensor) -> None:
        """Continue with these rows only, in this order: int64 (R',)."""
        self._keys = self._keys[rows]

    def draw(self, logits: Tensor) -> Tensor:
        """Token ids (R,) from logits (R, vocabulary), on their device."""
        step, self._step = self._step, self._step + 1
        sampling = self.sampling
        if sampling.temperature == 0:
            return self._highest(logits, 1)[1][:, 0]
        if sampling.top_k > 0:
            scores, tokens = self._highest(logits, sampling.top_k)
            scores = _nucleus(scores / sampling.temperature, sampling.top_p, None)
        elif sampling.top_p < 1:
            scores, tokens = self._nucleus_of_all(logits)
        else:
            scores, tokens = self._without_banned(logits) / sampling.temperature, None
        drawn = self._noise(step, scores.shape[1], tokens).add_(scores).argmax(-1)
        return drawn if tokens is None else tokens.gather(1, drawn[:, None])[:, 0]

    def _without_banned(self, logits: Tensor) -> Tensor:
        return logits.float().index_fill(1, self.banned, -torch.inf) if len(self.banned) else logits.float()

    def _highest(self, logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The ``count`` likeliest tokens that may be drawn, likeliest first: scores and ids (R, count).

        The highest ``n`` of a row lie in the ``n`` blocks with the highest maxima, so one pass over the vocabulary
        finds the blocks and the rest is small.
        """
        size = logits.shape[1]
        count = min(count, size - len(self.banned))
        wanted = count + len(self.banned)
        whole = size // _BLOCK * _BLOCK
        if whole // _BLOCK <= wanted:
            scores, tokens = logits.float().topk(wanted)
        else:
            blocks = logits[:, :whole].reshape(len(logits), -1, _BLOCK)
            best = blocks.amax(-1).topk(wanted).indices
            inside = torch.arange(_BLOCK, device=logits.device)
            candidates = (best[:, :, None] * _BLOCK + inside).flatten(1)
            rest = torch.arange(whole, size, device=logits.device).expand(len(logits), -1)
            candidates = torch.cat([candidates, rest], 1)
            scores, at = logits.gather(1, candidates).float().topk(wanted)
            tokens = candidates.gather(1, at)
        if len(self.banned):
            scores = scores.masked_fill(torch.isin(tokens, self.banned), -torch.inf)
            scores, at = scores.topk(count)
            tokens = tokens.gather(1, at)
        return scores, tokens

    def _nucleus_of_all(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and ids of the tokens that hold ``top_p`` of the probability, the others at -inf.

        On a CPU, sorting the vocabulary costs more than the rest of a step, and few tokens nearly always hold that
        share.
        """
        temperature, top_p = self.sampling.temperature, self.sampling.top_p
        allowed = self._without_banned(logits)
        total = (allowed / temperature).logsumexp(-1, keepdim=True)
        count = _NUCLEUS
        while not logits.is_cuda and 4 * count < logits.shape[1]:
            scores, tokens = self._highest(logits, count)
            scores = scores / temperature
            if bool(((scores - total).exp().sum(-1) >= top_p).all()):
                return _nucleus(scores, top_p, total), tokens
            count *= 8
        scores, tokens = allowed.sort(descending=True)
        return _nucleus(scores / temperature, top_p, total), tokens

    def _noise(self, step: int, size: int, tokens: Tensor | None) -> Tensor:
        """Gumbel noise (R, size) of these tokens, by default of ids 0 to ``size`` - 1."""
        high = self._keys[:, 1:]
        low = high + _signed((step * 0x9E3779B9 + 1) & 0xFFFFFFFF)
        low = _mix(low, torch.empty_like(low)).bitwise_xor_(self._keys[:, :1])
        if tokens is not None:
            return _gumbel(_hash(tokens.int(), low, high))
        ids = torch.arange(size, dtype=torch.int32, device=low.device)[None]
        if low.is_cuda:
            return _gumbel(_hash(ids.repeat(len(low), 1), low, high))
        # row by row in the same memory: a row stays in the processor's cache
        noise, row, spare = torch.empty(len(low), size), torch.empty_like(ids), torch.empty_like(ids)
        for i in range(len(low)):
            _gumbel(_hash(row.copy_(ids), low[i : i + 1], high[i : i + 1], spare), noise[i : i + 1])
        return noise


def _nucleus(scores: Tensor, top_p: float, total: Tensor | None) -> Tensor:
    """Descending scores (R, K), those after the first tokens that hold ``top_p`` of the probability at -inf.

    ``total``: log-sum-exp (R, 1) of all scores; ``None``: of these.
    """
    if top_p >= 1:
        return scores
    share = (scores - (scores.logsumexp(-1, keepdim=True) if total is None else total)).exp()
    return scores.masked_fill(share.cumsum(-1) - share >= top_p, -torch.inf)


def _hash(tokens: Tensor, low: Tensor, high: Tensor, spare: Tensor | None = None) -> Tensor:
    """A 32-bit hash of (token, step, seed), in place of the tokens: int32 (R, K).

    ``low`` (R, 1) holds step and seed, ``high`` (R, 1) half of the seed; ``spare`` is memory like ``tokens``.
    """
    spare = torch.empty_like(tokens) if spare is None else spare
    return _mix(_mix(tokens.mul_(_TOKEN).add_(low), spare).bitwise_xor_(high), spare)


def _mix(x: Tensor, spare: Tensor) -> Tensor:
    """Wellons' lowbias32 in place; int32 multiplication wraps, and masks make the shifts logical."""
    for shift, factor in ((16, _MIX_1), (15, _MIX_2), (16, 1)):
        torch.bitwise_right_shift(x, shift, out=spare)
        x.bitwise_xor_(spare.bitwise_and_((1 << (32 - shift)) - 1))
        if factor != 1:
            x.mul_(factor)
    return x


def _gumbel(bits: Tensor, out: Tensor | None = None) -> Tensor:
    """Standard Gumbel noise from 23 bits of each number: a 24th would round to 1, whose noise is infinite."""
    out = torch.empty(bits.shape, device=bits.device) if out is None else out
    out.copy_(bits.bitwise_right_shift_(9).bitwise_and_(0x7FFFFF)).add_(0.5).mul_(2.0**-23)
    return out.log_().neg_().log_().neg_()


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value
