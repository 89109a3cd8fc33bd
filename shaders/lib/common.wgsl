// Small functions that several kernels need. NaN is told by its bits: compilers may assume that there is none.

// NOTE [Hidden bounds]: where a loop or an `if` depends on parameters alone, lavapipe may write their values into the kernel, and
// compile it anew for each dispatch. They are multiplied by this, the number of workgroups in z, which it cannot know to be 1.
var<private> one: u32;

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// 0 for what is below 0, NaN as it is
fn relu(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    return select(x, 0.0, bits >= 0x80000000u && bits <= 0xff800000u);
}

fn relu4(v: vec4<f32>) -> vec4<f32> {
    return vec4(relu(v.x), relu(v.y), relu(v.z), relu(v.w));
}

// x / d for x below 2^31 with inv = 1 / d: exact, and without the scalar divisions that vector units lack
fn divide(x: u32, d: u32, inv: f32) -> u32 {
    var q = u32(f32(x) * inv);
    // two corrections: the first product is off by up to 2^-23 of itself
    let r = i32(x - q * d);
    q = u32(i32(q) + i32(floor(f32(r) * inv)));
    let s = i32(x - q * d);
    return select(select(q, q - 1u, s < 0), q + 1u, s >= i32(d));
}
