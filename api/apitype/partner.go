package apitype

import (
	"time"

	"dxd/record"
)

// Self is this organisation and this node.
type Self struct {
	Org         record.OrgID       `json:"org"`
	Name        string             `json:"name"`
	Peer        record.NodeID      `json:"peer"`
	Fingerprint record.Fingerprint `json:"fingerprint"`
	Account     record.Account     `json:"account" doc:"The address that anchors on the chain"`
	Addresses   []string           `json:"addresses" doc:"Where the node can be reached (multiaddrs)"`
}

// Partner is another organisation as this one knows it.
type Partner struct {
	Alias       string             `json:"alias"`
	Org         record.OrgID       `json:"org"`
	Name        string             `json:"name" doc:"What the partner calls itself: a claim of its card"`
	State       string             `json:"state" enum:"active,suspended,removed"`
	Connected   bool               `json:"connected"`
	Queued      int64              `json:"queued" doc:"Transfers that wait for it"`
	LastSeen    *time.Time         `json:"last_seen" doc:"Now, as long as it is connected; null if it never was"`
	Fingerprint record.Fingerprint `json:"fingerprint"`
	Serial      int64              `json:"serial" doc:"Of its card"`
	Expires     time.Time          `json:"expires" doc:"Its card"`
	Addresses   []string           `json:"addresses" doc:"Where its nodes were last said to be (multiaddrs)"`
	Lanes       []Lane             `json:"lanes,omitempty" doc:"How far the numbers of records have come; absent in a listing"`
	Quotas      []Quota            `json:"quotas,omitempty" doc:"What it can make this node take and keep, and has used of that; absent in a listing"`
}

// Lane is how far the numbers of records between us and a partner have come,
// in the epochs that are used now.
type Lane struct {
	Lane         string `json:"lane" enum:"doc,msg"`
	Sent         int64  `json:"sent" doc:"The last number that we gave"`
	Acknowledged int64  `json:"acknowledged" doc:"The highest of them that the partner has acknowledged"`
	Received     int64  `json:"received" doc:"The highest number of the partner's that is here"`
	Complete     int64  `json:"complete" doc:"Up to which all of them are"`
	Stopped      bool   `json:"stopped" doc:"The partner signed two records with one number: nothing is taken until the partner is resumed"`
	Held         bool   `json:"held" doc:"The partner says that we did: nothing is sent until the partner is resumed"`
}

// Quota is one bound of what a partner can make this node take and keep, with
// what is used of it.
type Quota struct {
	Name  string `json:"name" enum:"stored,in_flight,partials,transfers_per_minute,unacknowledged_events"`
	Used  int64  `json:"used" doc:"Bytes of stored and in_flight, else a number"`
	Limit int64  `json:"limit" doc:"0: none"`
	Own   bool   `json:"own" doc:"The bound is the partner's own, and not that of the configuration"`
}

// Limits are the bounds that a partner has of its own; for what is left out,
// those of the configuration hold. 0 is no bound.
type Limits struct {
	Stored               *int64 `json:"stored,omitempty" doc:"Bytes that are kept of what it sent, and is sending"`
	InFlight             *int64 `json:"in_flight,omitempty" doc:"Bytes of documents that are on their way in"`
	Partials             *int64 `json:"partials,omitempty" doc:"Half-received documents"`
	TransfersPerMinute   *int64 `json:"transfers_per_minute,omitempty" doc:"Documents and messages a minute"`
	UnacknowledgedEvents *int64 `json:"unacknowledged_events,omitempty" doc:"Documents and messages that a subscription has not acknowledged"`
}

// AddPartner asks to accept a card, or a newer card of a known partner.
type AddPartner struct {
	Alias string `json:"alias,omitempty" doc:"Needed for a new partner"`
	// File is the content of the card file, byte for byte, as a string: its
	// signatures are over these very bytes.
	File string `json:"file" doc:"The content of the card file, unchanged, as a string"`
	// Fingerprint, if it is given, must be that of the card.
	Fingerprint string `json:"fingerprint,omitempty" doc:"If given, must be the fingerprint of the card"`
}
