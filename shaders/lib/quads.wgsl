// A 4x4 block as four quads.

struct Block {
    x: vec4<f32>,
    y: vec4<f32>,
    z: vec4<f32>,
    w: vec4<f32>,
}

// the block transposed where asked
fn turn(b: Block, yes: bool) -> Block {
    let m = transpose(mat4x4<f32>(b.x, b.y, b.z, b.w));
    return Block(select(b.x, m[0], yes), select(b.y, m[1], yes), select(b.z, m[2], yes), select(b.w, m[3], yes));
}
