// The edges of a row that one lane has alone.

fn put_edges(q: u32, head: vec4<f32>, tail: vec4<f32>, lane: u32) {
    if row_skip == 1u { OUT[q].y = head.y; }
    if row_skip == 1u || row_skip == 2u { OUT[q].z = head.z; }
    if row_skip != 0u { OUT[q].w = head.w; }
    let end = row_skip + P.n;
    let last = q + (end >> 2u);
    if (end & 3u) != 0u { OUT[last].x = tail.x; }
    if (end & 3u) > 1u { OUT[last].y = tail.y; }
    if (end & 3u) > 2u { OUT[last].z = tail.z; }
}
