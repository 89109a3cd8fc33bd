// Four short rows to a lane, one after another. Declared elsewhere: LENGTH, which is P.n, IN_LAST, P, OUT, work(), which loads
// the four with the first, and put_all(), which stores what it kept of them.

alias Out = vec4<f32>;

// which of the four has its turn: known where the text is compiled
var<private> four_row: u32;
// elements from the first on that there are
var<private> four_left: u32;
// the quad of the result that they begin with
var<private> four_out: u32;

fn aim(at: u32, lane: u32) {}

// values of a row's last quad, or zeros past its end
fn inside(v: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(), v, IN_LAST);
}

// what there is of a quad that the last row ends in; elsewhere the loop is left at once
fn put_part(v: vec4<f32>) {
    let end = select(0u, four_left & 3u, four_left < 4u * LENGTH);
    for (var k = 0u; k < end; k++) { OUT[four_out + (four_left >> 2u)][k] = v[k]; }
}

fn run(four: u32, lane: u32, t: u32) {
    let row = 4u * four;
    four_left = (P.rows - row) * LENGTH;
    four_row = 0u;
    work(row, lane, t);
    four_row = 1u;
    if row + 1u < P.rows { work(row + 1u, lane, t); }
    four_row = 2u;
    if row + 2u < P.rows { work(row + 2u, lane, t); }
    four_row = 3u;
    if row + 3u < P.rows { work(row + 3u, lane, t); }
    put_all();
}
