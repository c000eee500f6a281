//go:build !anvil

package anchor_test

// others are the clients that take more than Go: -tags anvil adds Anvil.
var others map[string]launcher
