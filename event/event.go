// Package event keeps the log of what happened: numbered without gaps, written
// in the very update that does what it tells of, and kept until everyone who
// asked to be told has acknowledged it.
//
// It never holds a document's name, its content or a partner's alias, only
// identifiers; and it never decides what is worth telling: the rooms that do
// it call Append.
package event

import (
	"encoding/binary"

	"dxd/blobstore"
	"dxd/record"
)

// Type says what happened.
type Type string

// The types, as docs/spec/events.md says what each tells. The set is only ever
// appended to.
const (
	DocumentReceived  Type = "document.received"
	MessageReceived   Type = "message.received"
	TransferDelivered Type = "transfer.delivered"
	TransferAccepted  Type = "transfer.accepted"
	TransferRefused   Type = "transfer.refused"
	TransferFailed    Type = "transfer.failed"
	TransferCancelled Type = "transfer.cancelled"
	TransferErased    Type = "transfer.erased"
	TransferHeld      Type = "transfer.held"
	TransferReleased  Type = "transfer.released"
	EraseRequested    Type = "erase.requested"
	EraseAnswered     Type = "erase.answered"
	AnchorIncluded    Type = "anchor.included"
	AnchorFinal       Type = "anchor.final"
	AnchorReorged     Type = "anchor.reorged"
	PartnerChanged    Type = "partner.changed"
	Alarm             Type = "alarm"
)

// Event is one thing that happened. What does not apply is left out.
type Event struct {
	Seq     int64             `json:"-"` // its number, from 1; Append gives it
	Type    Type              `json:"type"`
	Time    int64             `json:"time"`             // ms since 1970
	ID      record.TransferID `json:"id,omitzero"`      // the transfer
	Bundle  record.TransferID `json:"bundle,omitzero"`  // instead of ID: all messages of this bundle
	Partner record.OrgID      `json:"partner,omitzero"` // the transfer's, or who it is about
	Kind    record.ItemKind   `json:"kind,omitzero"`    // of the transfer
	State   string            `json:"state,omitzero"`   // of a partner.changed: the partner's; of an erase.answered: the answer
	Reason  string            `json:"reason,omitzero"`  // why it failed or was refused
	Text    string            `json:"text,omitzero"`    // of an alarm: what contradicts what
	By      string            `json:"by,omitzero"`      // who erased, held or released it here
}

// KeyPrefix begins all keys of this package.
const KeyPrefix blobstore.Key = "e/"

const (
	keyLast            = KeyPrefix + "n"  // the number given last
	keyGone            = KeyPrefix + "g"  // the last number whose event is not kept any more
	prefixLog          = KeyPrefix + "l/" // number → event
	prefixSubscription = KeyPrefix + "s/" // <name> → subscription
)

func logKey(seq int64) blobstore.Key {
	return prefixLog + blobstore.Key(binary.BigEndian.AppendUint64(nil, uint64(seq)))
}

// Append writes an event under the next number. It belongs into the update
// that does what the event tells: then there is never the one without the
// other, and as updates run one after another, the numbers have no gaps.
func Append(tx blobstore.Tx, e Event) error {
	if err := e.check(); err != nil {
		return err
	}
	last, err := number(tx, keyLast)
	if err != nil {
		return err
	}
	raw, err := record.Marshal(e)
	if err != nil {
		return record.Errorf(record.Internal, "couldn't encode an event: %w", err)
	}
	if err := tx.Set(logKey(last+1), raw); err != nil {
		return err
	}
	return setNumber(tx, keyLast, last+1)
}

// check refuses what could not be read back, and would stop every reader.
func (e Event) check() error {
	for _, id := range []record.TransferID{e.ID, e.Bundle} {
		if err := id.Check(); err != nil && !id.IsZero() {
			return err
		}
	}
	return nil
}

// number reads a number of an event; 0 if none is there.
func number(tx blobstore.ReadTx, key blobstore.Key) (int64, error) {
	raw, err := tx.Get(key)
	if record.KindOf(err) == record.NotFound {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(raw) != 8 {
		return 0, record.Errorf(record.Damaged, "the number under %q has %d bytes", key, len(raw))
	}
	return int64(binary.BigEndian.Uint64(raw)), nil
}

func setNumber(tx blobstore.Tx, key blobstore.Key, n int64) error {
	return tx.Set(key, binary.BigEndian.AppendUint64(nil, uint64(n)))
}
