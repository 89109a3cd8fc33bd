"""The table of benches/peers/run.sh: medians in ms of its JSON lines, and wgtorch's times divided by the others'.

A * marks a time taken while other processes used more than 0.3 of a core. Several rounds are merged by the median.
"""

import json
import math
import statistics
import sys

GPU = ("wgpu", "vulkan", "gpu", "gl-")


def rows(path):
    """{column: {workload: (median in ms, whether the machine was busy)}} by kind of device."""
    found = {"cpu": {}, "gpu": {}}
    for line in open(path):
        r = json.loads(line)
        if "median_ms" not in r or "rate" in r or r["peer"] == "calib":
            continue
        kind = "gpu" if any(g in r["device"] for g in GPU) else "cpu"
        column = f"{r['peer']} {r['device']}"
        found[kind].setdefault(column, {}).setdefault(r["workload"], []).append(r)
    merge = lambda rs: (statistics.median(r["median_ms"] for r in rs), max(r.get("others_cpu", 0) for r in rs) > 0.3)
    return {k: {c: {w: merge(rs) for w, rs in of.items()} for c, of in cs.items()} for k, cs in found.items()}


def show(head, lines):
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" for _ in head) + " |")
    for line in lines:
        print("| " + " | ".join(line) + " |")
    print()


def main():
    for kind, columns in rows(sys.argv[1]).items():
        # ours first
        names = sorted(columns, key=lambda c: not c.startswith("wgtorch"))
        if not names or not names[0].startswith("wgtorch"):
            continue
        ours, others = columns[names[0]], names[1:]
        print(f"{kind}: medians in ms\n")
        cell = lambda of, w: f"{of[w][0]:.3g}{'*' if of[w][1] else ''}" if w in of else ""
        show(["workload"] + names, [[w] + [cell(columns[c], w) for c in names] for w in ours])
        if not others:
            continue
        print(f"{kind}: wgtorch's time divided by the other's\n")
        ratio = lambda w, c: ours[w][0] / columns[c][w][0]
        lines = [[w] + [f"{ratio(w, c):.2f}" if w in columns[c] else "" for c in others] for w in ours]
        mean = lambda c: math.exp(statistics.fmean(math.log(ratio(w, c)) for w in ours if w in columns[c]))
        lines.append(["geometric mean"] + [f"{mean(c):.2f}" if any(w in columns[c] for w in ours) else "" for c in others])
        show(["workload"] + others, lines)


main()
