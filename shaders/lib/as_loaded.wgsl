// Blocks that are ready as they are loaded, and multiplied as float32.
alias Lane4 = vec4<f32>;
alias Raw = Block;

fn settle(r: Raw, k: u32, end: u32, of_a: bool) -> Block {
    return r;
}
