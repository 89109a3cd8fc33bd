// What of a loss's gradient falls to the position `at` with target c: nothing where that is ignored or was reported. Declared
// elsewhere: in P classes, reduction, flags, ignore_low, ignore_high, weight, grad and total; WEIGHT, GRAD, TOTAL.

fn target_share(c: vec2<u32>, at: u32) -> f32 {
    if (c.x == P.ignore_low && c.y == P.ignore_high) || c.y != 0u || c.x >= P.classes { return 0.0; }
    var w = 1.0;
    if ((P.flags * one) & 1u) != 0u { w = WEIGHT[P.weight + c.x]; }
    var g = 0.0;
    if P.reduction * one == 0u { g = GRAD[P.grad + at]; } else { g = GRAD[P.grad]; }
    if P.reduction * one == 1u { g /= TOTAL[P.total]; }
    return w * g;
}
