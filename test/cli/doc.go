// Package cli tests the command line as a person or a script uses it: the
// built binary, daemons in the background, and a dev chain.
//
// It never looks behind the command line: what is not printed or written to a
// file that was asked for is tested elsewhere.
package cli
