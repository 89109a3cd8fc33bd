// What sorting by runs shares: the parameters, the pairs, and which run an invocation has. Declared elsewhere: WT_DIGITS, and
// wt_key(), the key of a pair's first word.

struct Params {
    rows: u32,
    n: u32,
    runs: u32,
    // elements of a run
    each: u32,
    // where the digit's bits are
    shift: u32,
    mask: u32,
    // xor of keys: all bits where the greatest come first
    flip: u32,
    // added to what is not a float, to make the least of its dtype 0
    bias: u32,
    // where the results begin
    values: u32,
    indices: u32,
}

@group(0) @binding(0) var<uniform> P: Params;
// an element or its key, and its position
@group(0) @binding(1) var<storage, read> PAIRS: array<vec2<u32>>;

struct Run {
    row: u32,
    // its place in the row
    place: u32,
    // its pairs
    first: u32,
    end: u32,
}

fn run_of(g: u32) -> Run {
    let row = g / P.runs;
    let place = g - row * P.runs;
    let at = row * P.n;
    return Run(row, place, at + place * P.each, at + min((place + 1u) * P.each, P.n) * one);
}

// how many digits there are
fn digits() -> u32 {
    return (P.mask + 1u) * one;
}

fn digit(pair: vec2<u32>) -> u32 {
    return ((wt_key(pair.x) >> P.shift) & P.mask) % WT_DIGITS;
}
