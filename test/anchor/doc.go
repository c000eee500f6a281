// Package anchor tests the way of a leaf on real parts: journal, queue,
// contract, dev chain, evidence, and a stranger who verifies it.
//
// It never fakes one of them; what can fail in between is tested beside the
// queue and the chain.
package anchor
