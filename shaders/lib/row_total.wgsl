// Sums and maxima over a workgroup of 64 by two barriers; every invocation has to call them and gets the result.

var<workgroup> part: array<f32, 64>;
var<workgroup> eights: array<f32, 8>;

fn row_total(x: f32, t: u32) -> f32 {
    part[t] = x;
    workgroupBarrier();
    if t < 8u {
        var s = part[8u * t];
        for (var k = 1u; k < 8u; k++) { s += part[8u * t + k]; }
        eights[t] = s;
    }
    workgroupBarrier();
    return ((eights[0] + eights[1]) + (eights[2] + eights[3])) + ((eights[4] + eights[5]) + (eights[6] + eights[7]));
}

fn row_max(x: f32, t: u32) -> f32 {
    part[t] = x;
    workgroupBarrier();
    if t < 8u {
        var s = part[8u * t];
        for (var k = 1u; k < 8u; k++) { s = max(s, part[8u * t + k]); }
        eights[t] = s;
    }
    workgroupBarrier();
    let a = max(max(eights[0], eights[1]), max(eights[2], eights[3]));
    return max(a, max(max(eights[4], eights[5]), max(eights[6], eights[7])));
}
