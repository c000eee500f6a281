package hashanchor

import (
	"time"

	"dxd/record"
)

// The names of the checks, in their order. Scripts may rely on them.
const (
	CheckFile       = "file"        // the evidence file has its one form
	CheckCards      = "cards"       // each card is signed by its root and by each key on it
	CheckRecord     = "record"      // manifest or notarisation is signed, and names these cards
	CheckSender     = "sender"      // is the one that the verifier knows
	CheckRecipient  = "recipient"   // likewise
	CheckOpening    = "opening"     // leads to the record's root
	CheckDocument   = "document"    // has the digest and the length of the opening
	CheckReceipts   = "receipts"    // are the recipient's, about this item
	CheckProofs     = "proofs"      // lead from these records to anchored roots
	CheckStateProof = "state-proof" // leads from the proofs' anchors to the hashes of blocks
	CheckValidity   = "validity"    // no card had expired
	CheckChain      = "chain"       // is the one that the verifier asked for
	CheckStateBlock = "state-block" // those blocks are the chain's, or those that the verifier knows
	CheckAnchor     = "anchor"      // the record's root stands on the chain, and for good
	CheckReceived   = "receipt-anchor"
	CheckNotBefore  = "not-before" // the block that the record names is on the chain
	CheckRevocation = "revocation" // no key that signed had been revoked by a newer card that the verifier has
)

// Check is one step of a verification, in plain words.
type Check struct {
	Name      string `json:"name"`
	OK        bool   `json:"ok"`
	Detail    string `json:"detail"`             // what holds, or what differs
	Meaning   string `json:"meaning"`            // what it finds out, whatever the outcome
	Mend      string `json:"mend,omitzero"`      // who can do what about it
	Undecided bool   `json:"undecided,omitzero"` // not OK, since nothing is known; nothing speaks against it
}

// Party is an organisation as its card describes it. The name is its own
// claim; Confirmed says that the verifier knew the fingerprint.
type Party struct {
	Name        string             `json:"name"`
	Org         record.OrgID       `json:"org"`
	Fingerprint record.Fingerprint `json:"fingerprint"`
	Confirmed   bool               `json:"confirmed"`
	// KnownSerial is the card up to which it is known which keys were revoked;
	// zero if the verifier brought no card of anybody.
	KnownSerial int64 `json:"known_serial,omitzero"`
}

// Report is the outcome of a verification. ChainID and Block are where the
// evidence says that the record stands; the two times are set only if the chain
// confirmed them.
type Report struct {
	Valid      bool       `json:"valid"`
	Checks     []Check    `json:"checks"`
	Sender     *Party     `json:"sender"`
	Recipient  *Party     `json:"recipient"` // nil for a notarisation
	Receipt    string     `json:"receipt"`   // "none", "received", "accepted", "refused"
	AnchoredAt *time.Time `json:"anchored_at"`
	NotBefore  *time.Time `json:"not_before"`
	AnchoredBy string     `json:"anchored_by"` // "sender" or "recipient", "" if there is no proof
	// ReceiptAnchoredBy says likewise whose account anchored a receipt, for good
	// as far as the chain confirmed it; "" if it did not.
	ReceiptAnchoredBy string `json:"receipt_anchored_by"`
	ChainID           int64  `json:"chain_id"`
	Block             int64  `json:"block"`

	StateBlocks []record.Beacon `json:"state_blocks,omitzero"` // to which the file's state proofs lead; whose they are, another has to say
}

// The outcomes of `dxd verify`.
const (
	ExitValid     = 0
	ExitInvalid   = 3 // something does not hold, or is not what was asked for
	ExitUndecided = 4 // all that could be checked holds, but the anchor is missing, not final, or no chain was asked
)

// ExitCode is the command line's exit code for the report.
func (r Report) ExitCode() int {
	code := ExitValid
	for _, c := range r.Checks {
		switch {
		case !c.OK && !c.Undecided:
			return ExitInvalid
		case !c.OK:
			code = ExitUndecided
		}
	}
	if !r.Valid && code == ExitValid { // an empty report confirms nothing
		return ExitInvalid
	}
	return code
}

// add puts a check's outcome into the report: err is what differs, its hint
// who can mend it.
func (r *Report) add(name, holds string, err error) bool {
	c := Check{Name: name, OK: err == nil, Detail: holds, Meaning: Meaning(name)}
	if err != nil {
		c.Detail, c.Mend = record.Printable(err.Error(), 1000), record.Hint(err)
	}
	r.Checks = append(r.Checks, c)
	return c.OK
}

// addUndecided puts in that something could not be found out.
func (r *Report) addUndecided(name, detail, mend string) {
	r.Checks = append(r.Checks, Check{Name: name, Detail: detail, Meaning: Meaning(name), Mend: mend, Undecided: true})
}

// failed tells whether something is known not to hold.
func (r *Report) failed() bool {
	for _, c := range r.Checks {
		if !c.OK && !c.Undecided {
			return true
		}
	}
	return false
}

// finish draws the sum.
func (r *Report) finish() {
	r.Valid = len(r.Checks) > 0
	for _, c := range r.Checks {
		r.Valid = r.Valid && c.OK
	}
}
