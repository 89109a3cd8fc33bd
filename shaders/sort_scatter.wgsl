// Moves the keys of a tile, with their positions, to where their digits belong; equal digits keep their order. START has the
// running sums of sort_count.wgsl's counts over digits and tiles. Declared elsewhere: WT_EACH.

struct Params {
    rows: u32,
    n: u32,
    tiles: u32,
    // where the digit's bits are
    shift: u32,
    mask: u32,
    // bit 0: the positions are 0, 1 …; bit 1: keys are not needed any more
    flags: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
@group(0) @binding(1) var<storage, read> KEYS: array<u32>;
@group(0) @binding(2) var<storage, read> ORDER: array<u32>;
@group(0) @binding(3) var<storage, read> START: array<u32>;
@group(0) @binding(4) var<storage, read_write> NEW_KEYS: array<u32>;
@group(0) @binding(5) var<storage, read_write> NEW_ORDER: array<u32>;

// an invocation's counts of all digits, two to a word, in 33 words: so that neighbours meet in no bank
var<workgroup> count: array<u32, 2112>;
var<workgroup> start: array<u32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    one = groups.z;
    let g = wg.x + wg.y * groups.x;
    if g >= P.rows * P.tiles { return; }
    let row = g / P.tiles;
    let tile = g - row * P.tiles;
    let at = row * P.n;
    let first = tile * WT_EACH * 64u + t * WT_EACH;
    let end = min(first + WT_EACH, P.n);
    let mine = t * 33u;
    for (var k = 0u; k < 32u; k++) { count[mine + k] = 0u; }
    for (var k = first; k < end; k++) {
        let d = (KEYS[at + k] >> P.shift) & P.mask;
        count[mine + (d >> 1u)] += 1u << ((d & 1u) * 16u);
    }
    let slot = t * P.tiles + tile;
    var before = 0u;
    if slot > 0u { before = START[row * 64u * P.tiles + slot - 1u]; }
    start[t] = before;
    workgroupBarrier();
    // of each pair of digits, what the invocations before have
    if t < 32u {
        var sum = 0u;
        for (var k = 0u; k < 64u; k++) {
            let c = count[k * 33u + t];
            count[k * 33u + t] = sum;
            sum += c;
        }
    }
    workgroupBarrier();
    for (var k = first; k < end; k++) {
        let key = KEYS[at + k];
        let d = (key >> P.shift) & P.mask;
        let shift = (d & 1u) * 16u;
        let c = count[mine + (d >> 1u)];
        count[mine + (d >> 1u)] = c + (1u << shift);
        let to = at + start[d] + ((c >> shift) & 0xffffu);
        var order = k;
        if ((P.flags * one) & 1u) == 0u { order = ORDER[at + k]; }
        NEW_ORDER[to] = order;
        if ((P.flags * one) & 2u) == 0u { NEW_KEYS[to] = key; }
    }
}
