// Operands of the product of 16-bit floats, for the core through workgroup memory: packed two to a word, loaded by whole quads and widened
// on their way to the panels, so that memory is read once and in half the bytes. Sums are float32 and are rounded once.
//
// Declared elsewhere: P and its begin(), widen(), widen_one() and narrow().

alias Quad = vec2<u32>;

@group(0) @binding(1) var<storage, read> A4: array<Quad>;
@group(0) @binding(2) var<storage, read> B4: array<Quad>;
@group(0) @binding(3) var<storage, read> BIAS: array<u32>;
// quads of the result, or of partial sums in float32, two for each
@group(0) @binding(4) var<storage, read_write> OUT: array<Quad>;

struct Raw {
    x: Quad,
    y: Quad,
    z: Quad,
    w: Quad,
}

// What lies past an edge is loaded from the last row there is: its results are not stored. Along the depth rows are quads, else depths.
fn a_block(row: u32, k: u32, end: u32) -> Raw {
    let along = P.a.kind != 2u;
    let i = vec4<u32>(0u, 1u, 2u, 3u);
    let rows = min(row + select(vec4<u32>(), i, along), vec4(P.rows - select(4u, 1u, along)));
    let depths = min(k + select(i, vec4<u32>(), along), vec4(P.depth - select(1u, 4u, along)));
    let at = (a_at + rows * P.a.row + depths * P.a.col) / 4u;
    return Raw(A4[at.x], A4[at.y], A4[at.z], A4[at.w]);
}

fn b_block(k: u32, col: u32, end: u32) -> Raw {
    let along = P.b.kind != 2u;
    let i = vec4<u32>(0u, 1u, 2u, 3u);
    let cols = min(col + select(vec4<u32>(), i, along), vec4(P.cols - select(4u, 1u, along)));
    let depths = min(k + select(i, vec4<u32>(), along), vec4(P.depth - select(1u, 4u, along)));
    let at = (b_at + depths * P.b.row + cols * P.b.col) / 4u;
    return Raw(B4[at.x], B4[at.y], B4[at.z], B4[at.w]);
}

// a block by depth, with zeros past the depth's end
fn settle(r: Raw, k: u32, end: u32, of_a: bool) -> Block {
    let along = select(P.b.kind, P.a.kind, of_a) != 2u;
    let inside = k + select(vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(), along) < vec4(end);
    let b = Block(
        select(vec4<f32>(), widen(r.x), inside.x),
        select(vec4<f32>(), widen(r.y), inside.y),
        select(vec4<f32>(), widen(r.z), inside.z),
        select(vec4<f32>(), widen(r.w), inside.w),
    );
    return turn(b, along);
}

fn aim(col: u32) {}

fn bias_one(at: u32) -> f32 {
    return widen_one((BIAS[at / 2u] >> (at % 2u * 16u)) & 65535u);
}

// columns are a multiple of four
fn put_quad(row: u32, col: u32, v: vec4<f32>) {
    let c = min(col, P.cols - 4u);
    let at = (out_at + row * P.cols + c) / 4u;
    if ((P.flags * one) & 4u) != 0u {
        let bits = bitcast<vec4<u32>>(v);
        if col < P.cols {
            OUT[2u * at] = bits.xy;
            OUT[2u * at + 1u] = bits.zw;
        }
        return;
    }
    var y = v * P.alpha;
    if ((P.flags * one) & 1u) != 0u {
        let b = bias_at + row * P.bias.row + c * P.bias.col;
        let step = P.bias.col;
        y += P.beta * vec4(bias_one(b), bias_one(b + step), bias_one(b + 2u * step), bias_one(b + 3u * step));
    }
    if ((P.flags * one) & 2u) != 0u { y = relu4(y); }
    if col < P.cols { OUT[at] = narrow(y); }
}
