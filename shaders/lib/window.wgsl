// The windows of an average: what one covers, and what its sum is divided by.

struct Params {
    n: u32,
    height: u32,
    width: u32,
    out_h: u32,
    out_w: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    pad_h: u32,
    pad_w: u32,
    // 1: the padding counts; 2: the divisor is given
    flags: u32,
    x: u32,
    out: u32,
    divisor: f32,
    // of the tensor that is written
    per_rows: f32,
    per_cols: f32,
    per_stride_h: f32,
    per_stride_w: f32,
}

struct Window {
    y0: u32,
    y1: u32,
    x0: u32,
    x1: u32,
    divisor: f32,
}

fn window(oy: u32, ox: u32) -> Window {
    // in padded coordinates first
    let top = oy * P.stride_h;
    let left = ox * P.stride_w;
    let bottom = min(top + P.kernel_h, P.height + 2u * P.pad_h);
    let right = min(left + P.kernel_w, P.width + 2u * P.pad_w);
    var w: Window;
    w.y0 = max(top, P.pad_h) - P.pad_h;
    w.x0 = max(left, P.pad_w) - P.pad_w;
    w.y1 = min(max(bottom, P.pad_h) - P.pad_h, P.height);
    w.x1 = min(max(right, P.pad_w) - P.pad_w, P.width);
    var cells = (max(w.y1, w.y0) - w.y0) * (max(w.x1, w.x0) - w.x0);
    if (P.flags & 1u) != 0u { cells = (bottom - top) * (right - left); }
    w.divisor = f32(cells);
    if (P.flags & 2u) != 0u { w.divisor = P.divisor; }
    return w;
}
