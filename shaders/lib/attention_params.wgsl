// The parameters of all kernels of attention.

struct Matrix {
    offset: u32,
    row: u32,
    col: u32,
    // strides of up to three batch dims, slowest first
    batch0: u32,
    batch1: u32,
    batch2: u32,
    // of the mask: 1: floats, 2: bytes, 3: words
    kind: u32,
    pad: u32,
}

struct Params {
    queries: u32,
    keys: u32,
    // columns of queries and keys, of values
    depth: u32,
    width: u32,
    // tiles of 64 rows, of a result's columns, and workgroups
    tiles: u32,
    blocks: u32,
    total: u32,
    batch1: u32,
    batch2: u32,
    causal: u32,
    scale: f32,
    // what a query without any key gets
    empty: f32,
    out: u32,
    second: u32,
    // the first query's place in what has one number a query
    first: u32,
    // heads of queries that one of keys serves
    group: u32,
    q: Matrix,
    k: Matrix,
    v: Matrix,
    g: Matrix,
    mask: Matrix,
}

fn place(m: Matrix, z: u32) -> u32 {
    let z2 = z % P.batch2;
    let z1 = z / P.batch2 % P.batch1;
    let z0 = z / P.batch2 / P.batch1;
    return m.offset + z0 * m.batch0 + z1 * m.batch1 + z2 * m.batch2;
}

// finite, since WGSL may know no infinities: what is masked
const LOWEST: f32 = -3.0e38;
// the least that a mask adds
const LEAST: f32 = -2.9e38;
