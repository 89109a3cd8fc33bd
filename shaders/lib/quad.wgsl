// Four neighbours of a buffer by one load.
alias Quad = vec4<f32>;

fn quad(q: Quad) -> vec4<f32> {
    return q;
}

fn pack(v: vec4<f32>) -> Quad {
    return v;
}
