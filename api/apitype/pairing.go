package apitype

import (
	"time"

	"dxd/record"
)

// Pair asks to become partners with another organisation.
type Pair struct {
	Ticket string `json:"ticket,omitempty" doc:"That the other side issued; without one, this side issues one"`
}

// Pairing is how far a pairing is: one line of the answer to Pair. Whoever
// reads the lines holds the pairing: it ends with the connection.
type Pairing struct {
	ID    string `json:"id"`
	State string `json:"state" enum:"waiting,calling,asking,agreed,added,failed"`
	// Ticket is a secret; it is of use once, until Expires.
	Ticket  string    `json:"ticket,omitempty" doc:"To hand over to the other side, while this side waits; a secret"`
	Expires time.Time `json:"expires" doc:"The ticket; once both sides have met, the question"`
	// Other is the other side, once both have met, and Partner the same once it
	// is added.
	Other   *Met     `json:"other,omitempty" doc:"The other side, once both have met"`
	Partner *Partner `json:"partner,omitempty" doc:"Once added"`
	// Confirmed is false where the last word of the other side was lost.
	Confirmed bool     `json:"confirmed" doc:"Once added: whether the other side has said that it added this one, too"`
	Problem   *Problem `json:"problem,omitempty" doc:"Why it failed"`
}

// Met is the other side as its card shows it.
type Met struct {
	Alias       string             `json:"alias" doc:"That it has, or gets unless the answer names another"`
	Known       bool               `json:"known" doc:"Whether it is a partner already"`
	Org         record.OrgID       `json:"org"`
	Name        string             `json:"name" doc:"A claim of its card"`
	Fingerprint record.Fingerprint `json:"fingerprint" doc:"To be compared with what the other side's people say it is"`
	Serial      int64              `json:"serial" doc:"Of its card"`
	Expires     time.Time          `json:"expires" doc:"Its card"`
	Addresses   []string           `json:"addresses" doc:"Where its node can be reached (multiaddrs)"`
}

// AnswerPairing is the word of the person here about the other side.
type AnswerPairing struct {
	Accept bool   `json:"accept"`
	Alias  string `json:"alias,omitempty" doc:"For the other side, if not the one that was proposed"`
}
