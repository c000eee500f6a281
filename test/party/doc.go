// Package party is what suites over real daemon processes share: organisations
// whose daemon a test starts, stops and kills, proxies between them, a dev
// chain, and the questions that each suite asks of them. The binary of a test
// that uses it is the daemon, too (Main).
//
// It never reaches into a daemon that runs: it has the client, the state
// directory, the network, signals, and the seam that ends the process at a
// commit point. It never decides what a test is to show.
package party
