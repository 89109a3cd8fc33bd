// Of the elements that point to a place the last one, counted from 1; what no element points to stays 0. What is out of range
// points past the last place.

struct Params {
    n: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> PLACES: array<u32>;
@group(0) @binding(2) var<storage, read_write> LAST: array<atomic<u32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let i = (wg.x + wg.y * groups.x) * 64u + t;
    if i >= P.n { return; }
    atomicMax(&LAST[PLACES[i]], i + 1u);
}
