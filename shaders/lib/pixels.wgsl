// The elements of a row by quads, from any place on. Each quad of the buffer is loaded once, and only where the row needs it:
// what a load costs is what its lanes take.
// Declared elsewhere: X4, quad(), shifted().

// the row's first element, one past the last that is wanted, the element at x = 0, and the quad that was loaded last
var<private> row_first: i32;
var<private> row_end: i32;
var<private> row_last: vec4<f32>;

fn row_part(place: i32) -> vec4<f32> {
    var v = vec4<f32>();
    if 4 * place < row_end && 4 * place + 3 >= row_first { v = quad(X4[place]); }
    return v;
}

// Begins a row of `width` elements at x, of which `reach` are wanted; x may have wrapped below 0. Where the row is not `there`
// all elements are 0.
fn start_row(row: u32, x: u32, width: u32, reach: u32, there: bool) {
    row_first = select(0x7fffffff, i32(row), there);
    row_end = select(0, i32(row) + min(i32(width), i32(x + reach)), there);
    row_last = row_part((i32(row) + i32(x)) >> 2u);
}

// the next four elements of the row, which begin at x: 0 beside it
fn row_quad(x: u32, width: u32) -> vec4<f32> {
    // a row that is not there has no elements, whatever this place is
    let at = row_first + i32(x);
    let next = row_part((at >> 2u) + 1);
    let v = shifted(row_last, next, u32(at));
    row_last = next;
    let inside = (vec4(x) + vec4(0u, 1u, 2u, 3u)) < vec4(width);
    return select(vec4<f32>(), v, inside & vec4<bool>(row_first != 0x7fffffff));
}
