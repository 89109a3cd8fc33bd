// Lines of a matrix of float32 (rows of a product's first operand, columns of its second) as float16, each times a power of two that
// takes its largest finite number to 2^14 .. 2^15: float16's digits then are TensorFloat32's for whatever is at least 2^-28 of that.
// wt_to_f16() is declared elsewhere.

struct Params {
    total: u32,
    lines: u32,
    depth: u32,
    batch1: u32,
    batch2: u32,
    offset: u32,
    line: u32,
    step: u32,
    by0: u32,
    by1: u32,
    by2: u32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> IN: array<f32>;
// [batch][line][depth], two to a word
@group(0) @binding(2) var<storage, read_write> OUT: array<vec2<u32>>;
// the exponents that take the scaling back
@group(0) @binding(3) var<storage, read_write> BACK: array<i32>;

var<workgroup> largest: atomic<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let id = wg.x + wg.y * groups.x;
    if id >= P.total { return; }
    let z = id / P.lines;
    let z2 = z % P.batch2;
    let z1 = z / P.batch2 % P.batch1;
    let z0 = z / P.batch2 / P.batch1;
    let start = P.offset + z0 * P.by0 + z1 * P.by1 + z2 * P.by2 + id % P.lines * P.line;
    if t == 0u { atomicStore(&largest, 0u); }
    workgroupBarrier();
    var most = 0u;
    for (var k = t; k < P.depth * groups.z; k += 64u) {
        let bits = bitcast<u32>(IN[start + k * P.step]) & 0x7fffffffu;
        most = max(most, select(bits, 0u, bits >= 0x7f800000u));
    }
    atomicMax(&largest, most);
    workgroupBarrier();
    // at most 2^126, so that tiny lines keep a factor that is normal
    let raised = min(268u - (atomicLoad(&largest) >> 23u), 253u);
    let by = bitcast<f32>(raised << 23u);
    if t == 0u { BACK[id] = 127i - i32(raised); }
    for (var k = t * 4u; k < P.depth * groups.z; k += 256u) {
        let at = start + k * P.step;
        let x = wt_to_f16(IN[at] * by);
        let y = wt_to_f16(IN[at + P.step] * by);
        let z = wt_to_f16(IN[at + 2u * P.step] * by);
        let w = wt_to_f16(IN[at + 3u * P.step] * by);
        OUT[(id * P.depth + k) / 4u] = vec2(x | (y << 16u), z | (w << 16u));
    }
}
