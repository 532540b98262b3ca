"""Measures the agent beside what people use today. Figures travel as ratios only.

`python -m bench`, the table of the goals:

    __main__            rounds, and the order of who is measured
    scenes size         what is measured of whom; how much of it
    contenders/         who is measured, a file each; `registry` lists them
    measures/           how, a file for each kind of scene
    figures goals       what is measured; what it has to be
    running             one contender between a broker and a receiver
    surroundings        that broker and that receiver; the load that is published
    load receiver       programs of their own, cheap ones
    processes           started, waited for, ended; their CPU, memory, bytes
    report table plots  the page

And programs of their own: `queue` (a million events waiting), `page` (what an open page costs), `growth` (how cost
grows with its causes).
"""
