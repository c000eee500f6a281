// Package fault lets real daemons exchange documents and messages while
// processes are killed, links fail and clocks go wrong, and then reads both
// state directories: nothing that was accepted is lost, nothing reached an
// application twice, and the two sides agree.
//
// It never forgives: what a daemon accepted is told by the caller that got the
// answer, and what is on the disk by rows and files, not by what the daemon
// says of itself alone. docs/faults.md says how to run it for long.
package fault
