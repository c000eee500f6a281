package partner_test

import "testing"

// BenchmarkAdmit is what the gate asks at each stage of each connection.
func BenchmarkAdmit(b *testing.B) {
	h, globex := newHome(b), newOrg(b)
	card := globex.card(nil)
	h.has(file(b, card, globex.presence(card, in(0), publicAddr)), "globex")
	node := globex.nodeID()
	b.ReportAllocs()
	for b.Loop() {
		if !h.Admit(node) || !h.MayDial(node, publicAddr) {
			b.Fatal("the gate is closed")
		}
	}
}
