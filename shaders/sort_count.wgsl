// How often each digit occurs in each tile of a row of keys: COUNT[row, digit, tile]. Declared elsewhere: WT_EACH.

struct Params {
    rows: u32,
    n: u32,
    tiles: u32,
    // where the digit's bits are
    shift: u32,
    mask: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> KEYS: array<u32>;
@group(0) @binding(2) var<storage, read_write> COUNT: array<u32>;

var<workgroup> count: array<atomic<u32>, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let g = wg.x + wg.y * groups.x;
    if g >= P.rows * P.tiles { return; }
    let row = g / P.tiles;
    let tile = g - row * P.tiles;
    atomicStore(&count[t], 0u);
    workgroupBarrier();
    for (var k = 0u; k < WT_EACH; k++) {
        let p = tile * WT_EACH * 64u + k * 64u + t;
        if p < P.n { atomicAdd(&count[(KEYS[row * P.n + p] >> P.shift) & P.mask], 1u); }
    }
    workgroupBarrier();
    COUNT[(row * 64u + t) * P.tiles + tile] = atomicLoad(&count[t]);
}
