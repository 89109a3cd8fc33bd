// A word of each element's key, an unsigned number in the order of the values, in rows: key[row, k] is that of the element at
// ORDER[row, k], or at k. Declared elsewhere: wt_key(at) over X, the low and the high word of a key.

struct Params {
    n: u32,
    // elements of a row, and the step between them
    length: u32,
    inner: u32,
    x: u32,
    // bit 0: the high word; bit 1: by ORDER
    flags: u32,
    // xor: all bits where the greatest come first
    flip: u32,
    // added to what is not a float, to make the least of its dtype 0
    bias: u32,
    // reciprocals of length and inner
    per_length: f32,
    per_inner: f32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> X: array<u32>;
@group(0) @binding(2) var<storage, read> ORDER: array<u32>;
@group(0) @binding(3) var<storage, read_write> KEYS: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    let row = divide(i, P.length, P.per_length);
    var k = i - row * P.length;
    if ((P.flags * one) & 2u) != 0u { k = ORDER[i]; }
    let outer = divide(row, P.inner, P.per_inner);
    let key = wt_key(P.x + (outer * P.length + k) * P.inner + row - outer * P.inner);
    KEYS[i] = select(key.x, key.y, (P.flags & 1u) != 0u) ^ P.flip;
}
