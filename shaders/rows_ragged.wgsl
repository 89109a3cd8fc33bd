// Ragged rows in lanes. A row is taken by the quads that the result has there, of which the first and the last may be its neighbours'
// in part. Each lane holds QUADS of them side by side: the last lanes go back over what others have, so that none has too few.
// Declared elsewhere: SIZE, QUADS, P.n, quad(), and put_edges(), which stores the elements of quads that are another row's too.

// The quads at a row's ends are stored by components: several rows' lanes write theirs into one quad, each but its own (tests:
// rows_wave_tests.rs).
alias Out = vec4<f32>;

// the elements of the first quad that are the row's before
var<private> row_skip: u32;
// the lane's first quad, and the first of those that it counts and stores
var<private> row_first: u32;
var<private> row_own: u32;

// rows lie in one quad more or less: as many as it can be
fn first_of(lane: u32) -> u32 {
    return min(lane * QUADS, ((P.n + 6u) >> 2u) - QUADS);
}

// for the row that starts at this place of the result
fn aim(at: u32, lane: u32) {
    row_skip = at & 3u;
    row_own = lane * QUADS;
    row_first = first_of(lane);
}

fn elements(j: u32) -> vec4<u32> {
    return vec4<u32>(4u * (row_first + j)) + vec4<u32>(0u, 1u, 2u, 3u);
}

// the lane's own values that are in the row, or zeros
fn inside(j: u32, v: vec4<f32>) -> vec4<f32> {
    let at = elements(j);
    let in_row = at >= vec4<u32>(row_skip) & at < vec4<u32>(row_skip + P.n);
    return own(j, select(vec4<f32>(), v, in_row));
}

fn own(j: u32, v: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(), v, row_first + j >= row_own);
}

// the values of the first quad, with one of the row's for those that are not
fn after_start(v: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(v.w), v, elements(0u) >= vec4<u32>(row_skip));
}

// the values of one of the last quads, likewise
fn before_end(j: u32, v: vec4<f32>, other: f32) -> vec4<f32> {
    return select(vec4<f32>(other), v, elements(j) < vec4<u32>(row_skip + P.n));
}

// what columns have for a quad of the row, of what they have for this one and the one before in a row that starts with a quad
fn behind(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    let by_two = (row_skip & 2u) != 0u;
    let v = select(b, vec4(a.zw, b.xy), by_two);
    return select(v, vec4(select(a.w, a.y, by_two), v.xyz), (row_skip & 1u) != 0u);
}
