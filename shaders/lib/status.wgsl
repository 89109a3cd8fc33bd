// Faults that only the device can see. Each stream has four words, by its slot in the command's high byte: its first fault
// claims word 0 for the command; words 1 and 2 hold the value, low and high.

fn report(command: u32, value: vec2<u32>) {
    let slot = (command >> 24u) * 4u;
    var free = true;
    while free {
        let r = atomicCompareExchangeWeak(&STATUS[slot], 0u, command);
        if r.exchanged {
            atomicStore(&STATUS[slot + 1u], value.x);
            atomicStore(&STATUS[slot + 2u], value.y);
        }
        // a weak exchange may fail although the word is free
        free = !r.exchanged && r.old_value == 0u;
    }
}
