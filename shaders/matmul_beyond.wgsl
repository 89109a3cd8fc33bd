// One to four rows and columns beyond a tile of 32 x 32, where they are the last: their operands are the same for all lanes, which
// share out loading them, a pair each. Other tiles compute them, too, and leave them.
//
// Declared elsewhere: BELOW and BESIDE, whether there are rows and columns, and over the sums below (of beyond's rows by a lane's columns)
// and beside (of beyond's columns by a lane's rows) multiply_.. and all_..

var<private> lane_beyond: u32;
var<private> row_beyond: u32;
var<private> col_beyond: u32;
// where this lane's pairs begin: of a row's four depths, and of a depth's four columns
var<private> a_pair: u32;
var<private> b_pair: vec2<u32>;
// of beyond's rows by its columns each lane has a pair in a row
var<private> corner: vec2<f32>;

fn begin_beyond(row0: u32, col0: u32, lane: u32) {
    lane_beyond = lane;
    row_beyond = row0 + 32u;
    col_beyond = col0 + 32u;
    a_pair = a_at + min(row_beyond + lane / 2u, P.rows - 1u) * P.a.row;
    b_pair = b_at + min(col_beyond + lane % 2u * 2u + vec2<u32>(0u, 1u), vec2<u32>(P.cols - 1u)) * P.b.col;
}

fn a_beyond(k: u32, end: u32) -> vec2<f32> {
    let q = k + lane_beyond % 2u * 2u + vec2<u32>(0u, 1u);
    let at = a_pair + min(q, vec2<u32>(end - 1u)) * P.a.col;
    return select(vec2(A[at.x], A[at.y]), vec2<f32>(), q >= vec2<u32>(end));
}

fn b_beyond(k: u32, end: u32) -> vec2<f32> {
    let q = k + lane_beyond / 2u;
    let at = b_pair + min(q, end - 1u) * P.b.row;
    return select(vec2(B[at.x], B[at.y]), vec2<f32>(), q >= end);
}

fn multiply_beyond(a: Block, b: Block, k: u32, end: u32) {
    var far_a = vec2<f32>();
    var far_b = vec2<f32>();
    if BELOW { far_a = a_beyond(k, end); }
    if BESIDE { far_b = b_beyond(k, end); }
    multiply_below(a, b, far_a, far_b);
    multiply_beside(a, b, far_a, far_b);
    if BELOW && BESIDE {
        // the row's other two depths are the neighbour's
        let other = subgroupShuffleXor(far_a, 1u);
        let odd = lane_beyond % 2u;
        let x = select(vec4(far_a, other), vec4(other, far_a), odd == 1u);
        corner += x.x * subgroupShuffle(far_b, odd);
        corner += x.y * subgroupShuffle(far_b, odd + 2u);
        corner += x.z * subgroupShuffle(far_b, odd + 4u);
        corner += x.w * subgroupShuffle(far_b, odd + 6u);
    }
}

fn put_beyond(row0: u32, col0: u32, lane: u32) {
    // any other tile has 32 and more behind it
    let rows = select(0u, P.rows - row_beyond, BELOW && P.rows - row_beyond <= 4u);
    let beside = BESIDE && P.cols - col_beyond <= 4u;
    if BELOW {
        var block = all_below();
        for (var i = 0u; i < rows; i++) {
            put_quad(row_beyond + i, col0 + lane * 4u, block.x);
            block = Block(block.y, block.z, block.w, block.x);
        }
    }
    if !BESIDE { return; }
    aim(col_beyond);
    var block = turn(all_beside(), true);
    for (var i = 0u; i < 4u * one; i++) {
        let row = row0 + lane * 4u + i;
        put_quad(min(row, P.rows - 1u), select(P.cols, col_beyond, beside && row < P.rows), block.x);
        block = Block(block.y, block.z, block.w, block.x);
    }
    if BELOW {
        let pairs = vec4(corner, subgroupShuffleXor(corner, 1u));
        for (var i = 0u; i < rows; i++) {
            put_quad(row_beyond + i, select(P.cols, col_beyond, beside && lane == 2u * i), pairs);
        }
    }
}
