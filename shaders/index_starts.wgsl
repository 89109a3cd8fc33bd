// Where the elements that point to a place start among all elements in the order of their places.

struct Params {
    // places and one more, and elements
    n: u32,
    count: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> PLACES: array<u32>;
@group(0) @binding(2) var<storage, read> ORDER: array<u32>;
@group(0) @binding(3) var<storage, read_write> STARTS: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let place = (wg.x + wg.y * groups.x) * 64u + t;
    if place >= P.n { return; }
    var low = 0u;
    var high = P.count * one;
    while low < high {
        let middle = (low + high) / 2u;
        if PLACES[ORDER[middle]] < place { low = middle + 1u; } else { high = middle; }
    }
    STARTS[place] = low;
}
