"""The kernels behind ``convolve``: convolution as implicit matrix products, and channel by channel.

    kernel               rows               columns               summed over
    convolve             output places      output channels       taps by input channels
    weights              output channels    taps by channels      output places, in parts
    depthwise            nothing is multiplied as matrices: each channel sees itself alone, and memory is the limit
    depthwise_weights    the same, summed over output places

All of the geometry is constant, except the batch.
"""

from __future__ import annotations

from .epilogue import finish
from .gemm import multiply_add, stepped
from .language import jit, tl


@jit
def _phase(
    phase,
    TAPS: tl.constexpr,
    STRIDE: tl.constexpr,
    PADDING: tl.constexpr,
    DILATION: tl.constexpr,
    COMMON: tl.constexpr,
    INVERSE: tl.constexpr,
):
    """First tap, base place and number of taps of one phase, as ``convolution.phases`` has them."""
    place = phase + PADDING
    first = (place // COMMON * INVERSE) % (STRIDE // COMMON)
    first = tl.where(place % COMMON == 0, first, TAPS)
    count = (TAPS - first + STRIDE // COMMON - 1) // (STRIDE // COMMON)
    return first, (place - first * DILATION) // STRIDE, tl.maximum(count, 0)


@jit
def _within(place, SIZE: tl.constexpr):
    """Whether 0 <= place < SIZE, in one comparison."""
    return place.to(tl.uint32) < SIZE


@jit
def convolve(
    out_ptr,
    in_ptr,
    weight_ptr,
    bias_ptr,
    operands,
    settings,
    N,
    C: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    K: tl.constexpr,
    OH: tl.constexpr,
    OW: tl.constexpr,
    OUT: tl.constexpr,
    IN: tl.constexpr,
    WEIGHT: tl.constexpr,
    R: tl.constexpr,
    S: tl.constexpr,
    STRIDE: tl.constexpr,
    PADDING: tl.constexpr,
    DILATION: tl.constexpr,
    SPREAD: tl.constexpr,
    COMMON: tl.constexpr,
    INVERSE: tl.constexpr,
    EVEN: tl.constexpr,
    FLAT: tl.constexpr,
    TAP_FIRST: tl.constexpr,
    FUNCTIONS: tl.constexpr,
    FIRST: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STAGES: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """``correlate`` or ``spread``, then the epilogue."""
    # out (N, groups * K, OH, OW) · in (N, groups * C, H, W), their strides in OUT and IN · weight by strides WEIGHT:
    # output channel, input channel, tap down, tap along, group · bias (groups * K) or None
    # one program per tile of output places by output channels; second axis: group by phase
    # the sum runs over tap and channel in one loop: block after block of channels at one tap, or, where channels are
    # few (FLAT), over all pairs of them, in the order that suits the weights
    if SPREAD:
        PHASES_H: tl.constexpr = STRIDE[0]
        PHASES_W: tl.constexpr = STRIDE[1]
    else:
        PHASES_H: tl.constexpr = 1
        PHASES_W: tl.constexpr = 1
    ROWS: tl.constexpr = (OH + PHASES_H - 1) // PHASES_H
    COLUMNS: tl.constexpr = (OW + PHASES_W - 1) // PHASES_W
    TILES_N: tl.constexpr = (K + BLOCK_N - 1) // BLOCK_N
    tile = tl.program_id(0)
    if WIDE:
        tile = tile.to(tl.int64)
        M = N.to(tl.int64) * (ROWS * COLUMNS)
    else:
        M = N * (ROWS * COLUMNS)
    m = tile // TILES_N * BLOCK_M + tl.arange(0, BLOCK_M)
    k = (tile % TILES_N).to(tl.int32) * BLOCK_N + tl.arange(0, BLOCK_N)
    group = tl.program_id(1) // (PHASES_H * PHASES_W)
    phase_h = tl.program_id(1) % (PHASES_H * PHASES_W) // PHASES_W
    phase_w = tl.program_id(1) % PHASES_W
    image = m // (ROWS * COLUMNS)
    place = m % (ROWS * COLUMNS)
    row = (place // COLUMNS).to(tl.int32)
    column = (place % COLUMNS).to(tl.int32)
    if SPREAD:
        first_r, base_h, count_r = _phase(phase_h, R, STRIDE[0], PADDING[0], DILATION[0], COMMON[0], INVERSE[0])
        first_s, base_w, count_s = _phase(phase_w, S, STRIDE[1], PADDING[1], DILATION[1], COMMON[1], INVERSE[1])
        top = row + base_h
        left = column + base_w
        STEP_R: tl.constexpr = STRIDE[0] // COMMON[0]
        STEP_S: tl.constexpr = STRIDE[1] // COMMON[1]
        APART_H: tl.constexpr = -(DILATION[0] // COMMON[0])
        APART_W: tl.constexpr = -(DILATION[1] // COMMON[1])
        if EVEN:  # all phases have as many taps
            count_r = R // STEP_R
            count_s = S // STEP_S
    else:
        first_r = 0
        first_s = 0
        count_r = R
        count_s = S
        top = row * STRIDE[0] - PADDING[0]
        left = column * STRIDE[1] - PADDING[1]
        STEP_R: tl.constexpr = 1
        STEP_S: tl.constexpr = 1
        APART_H: tl.constexpr = DILATION[0]
        APART_W: tl.constexpr = DILATION[1]
    source = in_ptr + group.to(tl.int64) * (C * IN[1])
    taken = weight_ptr + group.to(tl.int64) * WEIGHT[4]
    # a tap moves all places alike: what they see lies at one offset for the place plus one for the tap
    from_place = image * IN[0] + top * IN[2] + left * IN[3]
    from_k = stepped(k, WEIGHT[0], WEIGHT[0] == 1)
    if DOT:
        acc = tl.zeros((BLOCK_M, BLOCK_N), ACC)
    else:  # products are added up at the end: no lane waits for another inside the loop
        acc = tl.zeros((BLOCK_M, BLOCK_K, BLOCK_N), ACC)
    if C > 0:
        if FLAT:
            blocks = (count_r * count_s * C + BLOCK_K - 1) // BLOCK_K
        else:
            CHANNEL_BLOCKS: tl.constexpr = (C + BLOCK_K - 1) // BLOCK_K
            blocks = count_r * count_s * CHANNEL_BLOCKS
        for i in tl.range(0, blocks, num_stages=STAGES):
            if FLAT:
                pair = i * BLOCK_K + tl.arange(0, BLOCK_K)
                if TAP_FIRST:
                    c = pair % C
                    tap = pair // C
                else:
                    c = pair // (count_r * count_s)
                    tap = pair % (count_r * count_s)
                t_r = tap // count_s
                t_s = tap % count_s
                down = t_r * APART_H
                along = t_s * APART_W
                wanted = pair < count_r * count_s * C
                inside = _within(top[:, None] + down[None, :], H) & _within(left[:, None] + along[None, :], W)
                inside = inside & (m < M)[:, None] & wanted[None, :]
                from_pair = stepped(c, IN[1], IN[1] == 1) + (down * IN[2] + along * IN[3])
                a = tl.load(source + (from_place[:, None] + from_pair[None, :]), mask=inside, other=0)
            else:
                tap = i // CHANNEL_BLOCKS
                c = i % CHANNEL_BLOCKS * BLOCK_K + tl.arange(0, BLOCK_K)
                t_r = tap // count_s
                t_s = tap % count_s
                down = t_r * APART_H
                along = t_s * APART_W
                wanted = c < C
                inside = (_within(top + down, H) & _within(left + along, W) & (m < M))[:, None]
                if C % BLOCK_K != 0:
                    inside = inside & wanted[None, :]
                seen = source + (down * IN[2] + along * IN[3])
                a = tl.load(seen + (from_place[:, None] + stepped(c, IN[1], IN[1] == 1)[None, :]), mask=inside, other=0)
            from_tap = (first_r + t_r * STEP_R) * WEIGHT[2] + (first_s + t_s * STEP_S) * WEIGHT[3]
            if FLAT and TAP_FIRST and not SPREAD and WEIGHT[1] == 1 and WEIGHT[3] == C and WEIGHT[2] == S * C:
                from_c = pair  # neighbours in memory, said plainly
            elif FLAT and not TAP_FIRST and not SPREAD and WEIGHT[3] == 1 and WEIGHT[2] == S and WEIGHT[1] == R * S:
                from_c = pair
            else:
                from_c = stepped(c, WEIGHT[1], WEIGHT[1] == 1) + from_tap
            if K % BLOCK_N != 0:
                b = tl.load(taken + from_c[:, None] + from_k[None, :], mask=wanted[:, None] & (k < K)[None, :], other=0)
            elif FLAT or C % BLOCK_K != 0:
                b = tl.load(taken + from_c[:, None] + from_k[None, :], mask=wanted[:, None], other=0)
            else:
                b = tl.load(taken + from_c[:, None] + from_k[None, :])
            if DOT:
                acc = multiply_add(a, b, acc, DOT, PRECISION)
            else:
                acc += a.to(ACC)[:, :, None] * b.to(ACC)[None, :, :]
    if not DOT:
        acc = tl.sum(acc, axis=1)
    if bias_ptr is not None:
        acc += tl.load(bias_ptr + group * K + k, mask=k < K, other=0).to(ACC)[None, :]
    mask = m < M
    if PHASES_H * PHASES_W == 1:
        to = image * OUT[0] + place * OUT[3]
    else:
        h = row * PHASES_H + phase_h
        w = column * PHASES_W + phase_w
        mask = mask & (h < OH) & (w < OW)
        to = image * OUT[0] + h * OUT[2] + w * OUT[3]
    offsets = to[:, None] + stepped(group * K + k, OUT[1], OUT[1] == 1)[None, :]
    mask = mask[:, None] & (k < K)[None, :]
    if len(FUNCTIONS) > 0:
        acc = finish(acc, offsets, mask, FUNCTIONS, FIRST, operands, settings, out_ptr.dtype.element_ty)
    tl.store(out_ptr + offsets, acc.to(out_ptr.dtype.element_ty), mask=mask)


@jit
def weights(
    out_ptr,
    grad_ptr,
    in_ptr,
    N,
    blocks,
    C: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    K: tl.constexpr,
    P: tl.constexpr,
    Q: tl.constexpr,
    TOTAL: tl.constexpr,
    OUT: tl.constexpr,
    GRAD: tl.constexpr,
    IN: tl.constexpr,
    R: tl.constexpr,
    S: tl.constexpr,
    STRIDE: tl.constexpr,
    PADDING: tl.constexpr,
    DILATION: tl.constexpr,
    TAP_FIRST: tl.constexpr,
    TURN: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """``weight_gradient``, in parts."""
    # out (splits, groups * K, C, R, S), TOTAL elements a split, the strides of the rest in OUT: channel, tap ·
    # grad (N, groups * K, P, Q) by strides GRAD · in (N, groups * C, H, W) by strides IN
    # one program per tile of K by (tap, C), flattened so that neighbours are near in memory; second axis: part of the
    # sum over places; third: group
    TILES_N: tl.constexpr = (C * R * S + BLOCK_N - 1) // BLOCK_N
    tile = tl.program_id(0)
    k = tile // TILES_N * BLOCK_M + tl.arange(0, BLOCK_M)
    j = tile % TILES_N * BLOCK_N + tl.arange(0, BLOCK_N)
    split = tl.program_id(1)
    group = tl.program_id(2)
    ONE_TAP: tl.constexpr = TAP_FIRST and C % BLOCK_N == 0
    if ONE_TAP:
        PER_TAP: tl.constexpr = C // BLOCK_N
        tap = tile % TILES_N // PER_TAP
        c = tile % PER_TAP * BLOCK_N + tl.arange(0, BLOCK_N)
    elif TAP_FIRST:
        c = j % C
        tap = j // C
    else:
        c = j // (R * S)
        tap = j % (R * S)
    down = tap // S * DILATION[0] - PADDING[0]
    along = tap % S * DILATION[1] - PADDING[1]
    if WIDE:
        begin = split.to(tl.int64) * blocks * BLOCK_K
        end = tl.minimum(begin + blocks * BLOCK_K, N.to(tl.int64) * (P * Q))
    else:
        begin = split * blocks * BLOCK_K
        end = tl.minimum(begin + blocks * BLOCK_K, N * (P * Q))
    grads = grad_ptr + group.to(tl.int64) * (K * GRAD[1])
    source = in_ptr + group.to(tl.int64) * (C * IN[1])
    from_k = stepped(k, GRAD[1], GRAD[1] == 1)
    from_tap = stepped(c, IN[1], IN[1] == 1) + (down * IN[2] + along * IN[3])
    acc = tl.zeros((BLOCK_M, BLOCK_N), ACC)
    for start in range(begin, end, BLOCK_K):
        m = start + tl.arange(0, BLOCK_K)
        image = m // (P * Q)
        place = m % (P * Q)
        p = (place // Q).to(tl.int32)
        q = (place % Q).to(tl.int32)
        a_mask = (m < end)[None, :]
        if K % BLOCK_M != 0:
            a_mask = a_mask & (k < K)[:, None]
        a = tl.load(grads + ((image * GRAD[0] + place * GRAD[3])[None, :] + from_k[:, None]), mask=a_mask, other=0)
        y = p * STRIDE[0]
        x = q * STRIDE[1]
        if ONE_TAP:
            inside = (_within(y + down, H) & _within(x + along, W) & (m < end))[:, None]
        else:
            inside = _within(y[:, None] + down[None, :], H) & _within(x[:, None] + along[None, :], W)
            inside = inside & (m < end)[:, None]
            if C * R * S % BLOCK_N != 0:
                inside = inside & (j < C * R * S)[None, :]
        from_place = image * IN[0] + y * IN[2] + x * IN[3]
        b = tl.load(source + (from_place[:, None] + from_tap[None, :]), mask=inside, other=0)
        # Tensor cores want float32 with places side by side.  A value computed from what was loaded is turned in
        # registers, and the load can stay 16 bytes wide; loaded straight into place, it would be 4.
        if TURN[0]:
            a += 0.0
        if TURN[1]:
            b += 0.0
        acc = multiply_add(a, b, acc, DOT, PRECISION)
    to_k = (group.to(tl.int64) * K + k) * (C * R * S)
    to = split.to(tl.int64) * TOTAL + to_k[:, None] + (c * OUT[0] + tap * OUT[1])[None, :]
    mask = (k < K)[:, None] & (j < C * R * S)[None, :]
    tl.store(out_ptr + to, acc.to(out_ptr.dtype.element_ty), mask=mask)


@jit
def depthwise(
    out_ptr,
    in_ptr,
    weight_ptr,
    bias_ptr,
    operands,
    settings,
    N,
    EACH: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    K: tl.constexpr,
    OH: tl.constexpr,
    OW: tl.constexpr,
    OUT: tl.constexpr,
    IN: tl.constexpr,
    WEIGHT: tl.constexpr,
    R: tl.constexpr,
    S: tl.constexpr,
    STRIDE: tl.constexpr,
    PADDING: tl.constexpr,
    DILATION: tl.constexpr,
    SPREAD: tl.constexpr,
    FUNCTIONS: tl.constexpr,
    FIRST: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    ACC: tl.constexpr,
):
    """``correlate`` or ``spread`` where each group has one input channel, or one output channel, of its own."""
    # out (N, K, OH, OW) · in (N, K / EACH, H, W) · weight (K, 1, R, S); SPREAD: out (N, K, OH, OW) ·
    # in (N, K * EACH, H, W) · weight (K * EACH, 1, R, S); strides in OUT, IN and WEIGHT (channel, tap down, tap along)
    # · bias (K) or None
    # one program per tile of output places by channels
    TILES_N: tl.constexpr = (K + BLOCK_N - 1) // BLOCK_N
    tile = tl.program_id(0)
    if WIDE:
        tile = tile.to(tl.int64)
        M = N.to(tl.int64) * (OH * OW)
    else:
        M = N * (OH * OW)
    m = tile // TILES_N * BLOCK_M + tl.arange(0, BLOCK_M)
    k = (tile % TILES_N).to(tl.int32) * BLOCK_N + tl.arange(0, BLOCK_N)
    image = m // (OH * OW)
    place = m % (OH * OW)
    row = (place // OW).to(tl.int32)
    column = (place % OW).to(tl.int32)
    acc = tl.zeros((BLOCK_M, BLOCK_N), ACC)
    for tap in range(R * S):
        if SPREAD:  # the input place p with p * stride = output place + padding - tap * dilation, if there is one
            down = row + PADDING[0] - tap // S * DILATION[0]
            along = column + PADDING[1] - tap % S * DILATION[1]
            y = down // STRIDE[0]
            x = along // STRIDE[1]
            inside = (m < M) & (down >= 0) & (along >= 0) & (y * STRIDE[0] == down) & (x * STRIDE[1] == along)
            inside = inside & (y < H) & (x < W)
        else:
            y = row * STRIDE[0] - PADDING[0] + tap // S * DILATION[0]
            x = column * STRIDE[1] - PADDING[1] + tap % S * DILATION[1]
            inside = (m < M) & _within(y, H) & _within(x, W)
        mask = inside[:, None] & (k < K)[None, :]
        there = (image * IN[0] + y * IN[2] + x * IN[3])[:, None]
        if SPREAD:
            for e in tl.static_range(EACH):
                a = tl.load(in_ptr + there + ((k * EACH + e) * IN[1])[None, :], mask=mask, other=0)
                b = tl.load(
                    weight_ptr + (k * EACH + e) * WEIGHT[0] + tap // S * WEIGHT[1] + tap % S * WEIGHT[2],
                    mask=k < K,
                    other=0,
                )
                acc += a.to(ACC) * b.to(ACC)[None, :]
        else:
            a = tl.load(in_ptr + there + (k // EACH * IN[1])[None, :], mask=mask, other=0)
            b = tl.load(weight_ptr + k * WEIGHT[0] + tap // S * WEIGHT[1] + tap % S * WEIGHT[2], mask=k < K, other=0)
            acc += a.to(ACC) * b.to(ACC)[None, :]
    if bias_ptr is not None:
        acc += tl.load(bias_ptr + k, mask=k < K, other=0).to(ACC)[None, :]
    offsets = (image * OUT[0] + place * OUT[3])[:, None] + (k * OUT[1])[None, :]
    mask = (m < M)[:, None] & (k < K)[None, :]
    if len(FUNCTIONS) > 0:
        acc = finish(acc, offsets, mask, FUNCTIONS, FIRST, operands, settings, out_ptr.dtype.element_ty)
    tl.store(out_ptr + offsets, acc.to(out_ptr.dtype.element_ty), mask=mask)


@jit
def depthwise_weights(
    out_ptr,
    grad_ptr,
    in_ptr,
    N,
    blocks,
    EACH: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    K: tl.constexpr,
    P: tl.constexpr,
    Q: tl.constexpr,
    OUT: tl.constexpr,
    GRAD: tl.constexpr,
    IN: tl.constexpr,
    R: tl.constexpr,
    S: tl.constexpr,
    STRIDE: tl.constexpr,
    PADDING: tl.constexpr,
    DILATION: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    ACC: tl.constexpr,
):
    """``weight_gradient`` of the same, in parts."""
    # out (splits, K, 1, R, S), OUT says channel's and tap's stride · grad (N, K, P, Q) · in (N, K / EACH, H, W)
    # one program per block of channels; second axis: part of the sum over places; third: tap
    k = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    split = tl.program_id(1)
    tap = tl.program_id(2)
    down = tap // S * DILATION[0] - PADDING[0]
    along = tap % S * DILATION[1] - PADDING[1]
    if WIDE:
        begin = split.to(tl.int64) * blocks * BLOCK_M
        end = tl.minimum(begin + blocks * BLOCK_M, N.to(tl.int64) * (P * Q))
    else:
        begin = split * blocks * BLOCK_M
        end = tl.minimum(begin + blocks * BLOCK_M, N * (P * Q))
    acc = tl.zeros((BLOCK_M, BLOCK_N), ACC)
    for start in range(begin, end, BLOCK_M):
        m = start + tl.arange(0, BLOCK_M)
        image = m // (P * Q)
        place = m % (P * Q)
        y = (place // Q).to(tl.int32) * STRIDE[0] + down
        x = (place % Q).to(tl.int32) * STRIDE[1] + along
        inside = (m < end) & _within(y, H) & _within(x, W)
        mask = inside[:, None] & (k < K)[None, :]
        a = tl.load(
            grad_ptr + (image * GRAD[0] + place * GRAD[3])[:, None] + (k * GRAD[1])[None, :], mask=mask, other=0
        )
        b = tl.load(
            in_ptr + (image * IN[0] + y * IN[2] + x * IN[3])[:, None] + (k // EACH * IN[1])[None, :], mask=mask, other=0
        )
        acc += a.to(ACC) * b.to(ACC)
    total = tl.sum(acc, axis=0)
    to = split.to(tl.int64) * (K * R * S) + k * OUT[0] + tap * OUT[1]
    tl.store(out_ptr + to, total.to(out_ptr.dtype.element_ty), mask=k < K)
