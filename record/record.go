// Package record is the vocabulary that all of dxd shares: identifiers, the
// signed records that organisations hand each other, their strict encoding
// and verification, commitments, error kinds, and text made safe to print.
//
// It is pure. It opens no file, takes no context, reads no clock, draws no
// randomness and holds no key: who signs passes a function that does.
package record
