// Package partner keeps the other organisations whose cards this one has
// accepted, under local aliases, and answers for the network's gate who may
// come in and which addresses may be dialed.
//
// It never talks to a partner: cards and presences are handed to it, by a
// person or by an authenticated connection, and it says whether they hold.
package partner

import (
	"slices"
	"time"

	"dxd/record"
)

// State says what a partner may do.
type State string

// The states. Only an active partner passes the gate.
const (
	Active    State = "active"
	Suspended State = "suspended"
	Removed   State = "removed"
)

// Partner is another organisation as this one knows it.
type Partner struct {
	Org      record.OrgID
	Alias    string
	State    State
	Card     record.Signed[record.Card]
	Presence []record.Signed[record.Presence]
	// Private allows addresses of private networks: whoever accepted the
	// card by hand saw such an address on it.
	Private  bool
	Knows    record.RecordID // the card of ours that it last said to have; zero if it never did
	Limits   Limits          // where its quota differs from that of all
	Added    time.Time
	LastSeen time.Time // zero if never
}

// Name is what the partner calls itself: a claim of its card.
func (p Partner) Name() string { return p.Card.Body.Name }

// Expired tells whether the card was no longer valid at that time.
func (p Partner) Expired(at time.Time) bool { return at.UnixMilli() >= p.Card.Body.Expires }

// Addresses lists where the node was last said to be.
func (p Partner) Addresses(node record.NodeID) []string {
	for _, pr := range p.Presence {
		if pr.Body.Node == node {
			return pr.Body.Addresses
		}
	}
	return nil
}

// AllAddresses lists the addresses of all nodes on the card.
func (p Partner) AllAddresses() []string {
	var all []string
	for _, node := range p.Card.Body.Nodes {
		all = append(all, p.Addresses(node)...)
	}
	return all
}

// has tells whether nothing in the file is new.
func (p Partner) has(file record.OpenedCardFile) bool {
	if p.Card.ID() != file.Card.ID() {
		return false
	}
	for _, theirs := range file.Presence {
		older := func(known record.Signed[record.Presence]) bool {
			return known.Body.Node == theirs.Body.Node && known.Body.Created >= theirs.Body.Created
		}
		if !slices.ContainsFunc(p.Presence, older) {
			return false
		}
	}
	return true
}

// CheckAlias tells whether s can be an alias: [A-Za-z0-9][A-Za-z0-9._-]{0,62}.
func CheckAlias(s string) error {
	alnum := func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	}
	ok := len(s) >= 1 && len(s) <= 63 && alnum(s[0])
	for i := range len(s) {
		ok = ok && (alnum(s[i]) || s[i] == '.' || s[i] == '_' || s[i] == '-')
	}
	if !ok {
		return record.WithHint(record.Errorf(record.Invalid, "not an alias: %q", record.Printable(s, 80)),
			"an alias is a letter or digit, then up to 62 letters, digits, dots, dashes or underscores")
	}
	return nil
}

// mergePresence keeps the newest presence of each node on the card.
func mergePresence(card record.Signed[record.Card], lists ...[]record.Signed[record.Presence]) []record.Signed[record.Presence] {
	newest := map[record.NodeID]record.Signed[record.Presence]{}
	for _, list := range lists {
		for _, p := range list {
			known, ok := newest[p.Body.Node]
			if slices.Contains(card.Body.Nodes, p.Body.Node) && (!ok || p.Body.Created > known.Body.Created) {
				newest[p.Body.Node] = p
			}
		}
	}
	merged := make([]record.Signed[record.Presence], 0, len(newest))
	for _, node := range card.Body.Nodes {
		if p, ok := newest[node]; ok {
			merged = append(merged, p)
		}
	}
	return merged
}
