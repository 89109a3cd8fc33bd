// Four neighbours of a row by two loads of whole quads, wherever they start: a load by lanes costs by its number, not its width.
// Declared elsewhere: X4.

// a quad of X4; places before the first and after the last give one that is there
fn whole_quad(place: i32) -> vec4<f32> {
    return X4[u32(clamp(place, 0, i32(arrayLength(&X4)) - 1))];
}

// the elements at, at + 1, at + 2, at + 3; `at` may have wrapped below 0
fn loose_quad(at: u32) -> vec4<f32> {
    let place = i32(at) >> 2u;
    let a = whole_quad(place);
    let b = whole_quad(place + 1);
    let by_two = (at & 2u) != 0u;
    let by_one = (at & 1u) != 0u;
    let v = select(a, vec4(a.zw, b.xy), by_two);
    return select(v, vec4(v.yzw, select(b.x, b.z, by_two)), by_one);
}

// the elements of a row of `width` from x on, 0 beside it
fn row_quad(row: u32, x: u32, width: u32, there: bool) -> vec4<f32> {
    let inside = (vec4(x) + vec4(0u, 1u, 2u, 3u)) < vec4(width);
    return select(vec4<f32>(), loose_quad(row + x), inside & vec4<bool>(there));
}
