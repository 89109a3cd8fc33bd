// Joins the accumulators of a workgroup in a fixed tree; the result is invocation 0's. All invocations have to call it.
// Declared before it: WtAcc, wt_join, WT_GROUP (a power of two).

var<workgroup> wt_share: array<WtAcc, WT_GROUP>;

fn wt_block(acc: WtAcc, lid: u32) -> WtAcc {
    wt_share[lid] = acc;
    workgroupBarrier();
    for (var w = WT_GROUP / 2u; w > 0u; w = w >> 1u) {
        if lid < w {
            wt_share[lid] = wt_join(wt_share[lid], wt_share[lid + w]);
        }
        workgroupBarrier();
    }
    return wt_share[0];
}
