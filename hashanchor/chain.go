package hashanchor

import (
	"context"

	"dxd/record"
)

// Chain is what a verifier asks of a chain.
type Chain interface {
	// Lookup reports what the contract at a.Contract says of a.Account and
	// a.Root; the caller compares a.Block and a.Time with the answer. That
	// the root is missing is an answer and no error. The error is of kind
	// Invalid if no anchor of this project can stand there: another chain
	// answers, or the address is not that of the genuine contract. Any
	// other error means that nothing is known.
	Lookup(ctx context.Context, a Anchor) (Found, error)

	// Block reports a block of the chain by its number; NotFound if there
	// is none.
	Block(ctx context.Context, number int64) (record.Beacon, error)
}

// Standing says how far a root has come on a chain.
type Standing string

// How a root can stand.
const (
	Missing  Standing = "missing"  // the newest block does not know it
	Included Standing = "included" // the newest block does, the last final one does not, or says otherwise
	Final    Standing = "final"    // the last final block knows it
)

// Found is a chain's answer about one root.
type Found struct {
	Standing  Standing
	Block     int64       // as the contract says; zero if Missing
	Time      int64       // as the contract says, in s since 1970; zero if Missing
	BlockHash record.Hash // of that block; zero if Missing
	Head      int64       // the newest block of whoever answered
}

// Head is how far a chain has come, and an account on it.
type Head struct {
	Block int64         // the newest block
	Nonce int64         // the account's next nonce as of that block: all below are used up
	Final record.Beacon // the last final block; zero if there is none yet
}

// Transaction is a signed one, to be kept before it is sent. Prices are in wei
// per gas.
type Transaction struct {
	Nonce int64       `json:"nonce"`
	Hash  record.Hash `json:"hash"`
	Fee   int64       `json:"fee"` // the most that it pays
	Tip   int64       `json:"tip"`
	Raw   string      `json:"raw"` // the bytes that are sent, 0x in front
}
