// Package bench measures what the exchange costs: two real daemons on loopback
// against the bare loops that their work can't do without, in the same run, so
// that what it reports are ratios. docs/performance.md has the command, and what
// was found.
//
// It never fails over a figure: machines differ, and are busy. The table says
// which figures are missed. What is measured stands behind the build tag bench.
package bench
