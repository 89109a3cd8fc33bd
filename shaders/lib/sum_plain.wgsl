// Sums that are the product itself.
fn as_was(v: f32, batch: u32, at: u32) -> f32 {
    return v;
}
