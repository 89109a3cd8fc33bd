// Faults that only the device can see. The first one claims word 0 for its command; words 1 and 2 hold the value, low and high.

fn report(command: u32, value: vec2<u32>) {
    var free = true;
    while free {
        let r = atomicCompareExchangeWeak(&STATUS[0], 0u, command);
        if r.exchanged {
            atomicStore(&STATUS[1], value.x);
            atomicStore(&STATUS[2], value.y);
        }
        // a weak exchange may fail although the word is free
        free = !r.exchanged && r.old_value == 0u;
    }
}
