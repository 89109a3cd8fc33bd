// For index_add: chains the places of an index that hold the same number. CHAIN[j] is the next such place after j (the count
// where there is none), with the top bit set where j is not the first, or its number is out of range.

struct Params {
    count: u32,
    size: u32,
    command: u32,
    index: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> INDEX: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> CHAIN: array<u32>;
@group(0) @binding(3) var<storage, read_write> STATUS: array<atomic<u32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let j = (wg.x + wg.y * groups.x) * 64u + t;
    if j >= P.count { return; }
    let c = INDEX[P.index + j];
    if c.y != 0u || c.x >= P.size {
        report(P.command, c);
        CHAIN[j] = P.count | 0x80000000u;
        return;
    }
    var first = true;
    for (var k = 0u; k < j && first; k++) { first = any(INDEX[P.index + k] != c); }
    var next = j + 1u;
    while next < P.count && any(INDEX[P.index + min(next, P.count - 1u)] != c) { next++; }
    CHAIN[j] = next | select(0x80000000u, 0u, first);
}
