// The edges of a row that lanes share: the first lane has its start and the last one its end, and each element is stored by a lane.

fn put_edges(q: u32, head: vec4<f32>, tail: vec4<f32>, lane: u32) {
    let start = subgroupBroadcast(head, 0u);
    let finish = subgroupBroadcast(tail, 7u);
    let k = lane & 3u;
    let at_end = (lane & 4u) != 0u;
    let end = row_skip + P.n;
    let starts = lane < 4u && row_skip != 0u && k >= row_skip;
    let ends = lane >= SIZE - 4u && k < (end & 3u);
    let v = select(start, finish, at_end);
    if select(starts, ends, at_end) { OUT[q + select(0u, end >> 2u, at_end)][k] = v[k]; }
}
