package partner

import (
	"context"
	"reflect"
	"slices"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/record"
)

// The room's keys: p/self (our own card), p/c/<card> (every card that was ever
// accepted), p/o/<organisation> (a row each), p/s/<organisation> (its standing),
// p/a/<alias> (its organisation), p/presence (how late our own presences are).
// Cards, organisations and aliases stand in keys only as the journal's index.
const (
	KeyPrefix    blobstore.Key = "p/" // begins them all
	keySelf      blobstore.Key = "p/self"
	prefixCards  blobstore.Key = "p/c/"
	prefixRows   blobstore.Key = "p/o/"
	prefixStand  blobstore.Key = "p/s/"
	prefixAlias  blobstore.Key = "p/a/"
	keyPresence  blobstore.Key = "p/presence"
	cardValidity               = 2 * 365 * 24 * time.Hour
)

// row is a partner as the journal holds it.
type row struct {
	Org      record.OrgID      `json:"org"`
	Alias    string            `json:"alias"`
	State    State             `json:"state"`
	Card     record.Envelope   `json:"card"`
	Expires  int64             `json:"expires"` // the card's, so that it need not be opened to ask
	Presence []record.Envelope `json:"presence"`
	Private  bool              `json:"private"`
	Added    int64             `json:"added"`
	LastSeen int64             `json:"last_seen"`
	Knows    record.RecordID   `json:"knows,omitzero"` // the card of ours that it has
	Limits   Limits            `json:"limits,omitzero"`
}

// standing is what of a row each transfer asks for. It stands once more by
// itself, since a row holds a card, of some kilobytes.
type standing struct {
	State   State  `json:"state"`
	Expires int64  `json:"expires"`
	Limits  Limits `json:"limits,omitzero"`
}

// presented is how late the latest presence of ours is. Partners keep the latest
// one that they have, and a restart must not begin below it.
type presented struct {
	Created int64 `json:"created"` // ms since 1970
}

func getPresented(tx blobstore.ReadTx) (p presented, err error) {
	raw, err := tx.Get(keyPresence)
	if err == nil {
		err = record.Load(raw, &p)
	}
	switch record.KindOf(err) {
	case record.NotFound, record.Damaged, record.Invalid:
		return presented{}, nil // the clock says as much, unless it was set back
	}
	return p, err
}

// rawRow is a row with the bytes that it was read from.
type rawRow struct {
	row
	raw string
}

func rowKey(tx blobstore.ReadTx, org record.OrgID) blobstore.Key {
	return prefixRows + tx.Index("org", []byte(org.Key()))
}

func standingKey(tx blobstore.ReadTx, org record.OrgID) blobstore.Key {
	return prefixStand + tx.Index("org", org.Key())
}

func aliasKey(tx blobstore.ReadTx, alias string) blobstore.Key {
	return prefixAlias + tx.Index("alias", []byte(alias))
}

func cardKey(tx blobstore.ReadTx, id record.RecordID) blobstore.Key {
	return prefixCards + tx.Index("card", id[:])
}

// decodeRow reads a row. What does not decode is a journal that this version
// did not write, which is fatal to whoever reads it.
func decodeRow(raw []byte) (rawRow, error) {
	r := rawRow{raw: string(raw)}
	if err := record.Load(raw, &r.row); err != nil {
		return r, record.Errorf(record.Damaged, "the row of a partner: %w", err)
	}
	return r, r.State.check()
}

func (s State) check() error {
	switch s {
	case Active, Suspended, Removed:
		return nil
	}
	return record.Errorf(record.Damaged, "a partner in the unknown state %q", s)
}

func getRow(tx blobstore.ReadTx, org record.OrgID) (rawRow, error) {
	raw, err := tx.Get(rowKey(tx, org))
	if err != nil {
		return rawRow{}, err
	}
	return decodeRow(raw)
}

func (r row) standing() standing { return standing{r.State, r.Expires, r.Limits} }

// getStanding reads the standing of a partner.
func getStanding(tx blobstore.ReadTx, org record.OrgID) (s standing, err error) {
	raw, err := tx.Get(standingKey(tx, org))
	if err != nil {
		return s, err
	}
	if err := record.Load(raw, &s); err != nil {
		return s, record.Errorf(record.Damaged, "the standing of a partner: %w", err)
	}
	return s, s.State.check()
}

// alignStandings writes the standings of rows that another version wrote last,
// which knew of none.
func alignStandings(ctx context.Context, j blobstore.Journal) error {
	var off []rawRow
	err := j.View(ctx, func(tx blobstore.ReadTx) error {
		rows, err := scanRows(tx)
		if err != nil {
			return err
		}
		off = nil
		for _, r := range rows {
			s, err := getStanding(tx, r.Org)
			if kind := record.KindOf(err); err != nil && kind != record.NotFound && kind != record.Damaged {
				return err
			}
			if err != nil || !reflect.DeepEqual(s, r.standing()) {
				off = append(off, r)
			}
		}
		return nil
	})
	if err != nil || len(off) == 0 {
		return err
	}
	return j.Update(ctx, func(tx blobstore.Tx) error {
		for _, r := range off {
			if err := r.putStanding(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

func scanRows(tx blobstore.ReadTx) ([]rawRow, error) {
	var rows []rawRow
	for e, err := range tx.Scan(prefixRows, "", false) {
		if err != nil {
			return nil, err
		}
		r, err := decodeRow(e.Value)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// put writes the row and its alias, unless they stand there already.
func (r rawRow) put(tx blobstore.Tx) error {
	raw, err := record.Marshal(r.row)
	if err != nil || string(raw) == r.raw {
		return err
	}
	if err := tx.Set(rowKey(tx, r.Org), raw); err != nil {
		return err
	}
	if err := r.putStanding(tx); err != nil {
		return err
	}
	if r.State != Removed {
		return tx.Set(aliasKey(tx, r.Alias), r.Org.Key())
	}
	return r.freeAlias(tx)
}

func (r row) putStanding(tx blobstore.Tx) error {
	raw, err := record.Marshal(r.standing())
	if err != nil {
		return err
	}
	return tx.Set(standingKey(tx, r.Org), raw)
}

// put writes the row, and tells of it if more than an address is new.
func (b *Book) put(tx blobstore.Tx, r rawRow) error {
	if err := r.put(tx); err != nil || b.OnChange == nil {
		return err
	}
	if r.raw != "" {
		old, err := decodeRow([]byte(r.raw))
		if err != nil {
			return err
		}
		if old.Alias == r.Alias && old.State == r.State && old.Card.ID() == r.Card.ID() {
			return nil
		}
	}
	return b.OnChange(tx, r.Org, r.State)
}

// freeAlias leaves the alias of a removed partner to others; one may have
// taken it already.
func (r row) freeAlias(tx blobstore.Tx) error {
	owner, err := tx.Get(aliasKey(tx, r.Alias))
	switch {
	case record.KindOf(err) == record.NotFound:
		return nil
	case err != nil:
		return err
	case string(owner) != string(r.Org.Key()):
		return nil
	}
	return tx.Delete(aliasKey(tx, r.Alias))
}

// open verifies what the row holds, but for what known, the partner as it was
// opened before, has in the same bytes.
func (r row) open(known Partner) (Partner, error) {
	p := Partner{Org: r.Org, Alias: r.Alias, State: r.State, Private: r.Private, Knows: r.Knows, Limits: r.Limits, Added: time.UnixMilli(r.Added)}
	if r.LastSeen != 0 {
		p.LastSeen = time.UnixMilli(r.LastSeen)
	}
	var err error
	if p.Card = known.Card; !r.Card.Equal(known.Card.Envelope) {
		if p.Card, err = record.OpenCard(r.Card); err != nil {
			return Partner{}, err
		}
		known.Presence = nil // of another card
	}
	for _, e := range r.Presence {
		i := slices.IndexFunc(known.Presence, func(p record.Signed[record.Presence]) bool { return p.Envelope.Equal(e) })
		if i >= 0 {
			p.Presence = append(p.Presence, known.Presence[i])
			continue
		}
		pr, err := record.OpenPresence(e, p.Card)
		if err != nil {
			return Partner{}, err
		}
		p.Presence = append(p.Presence, pr)
	}
	return p, nil
}

func selfCard(tx blobstore.ReadTx) (record.Envelope, error) {
	raw, err := tx.Get(keySelf)
	if err != nil {
		return record.Envelope{}, err
	}
	return record.ParseEnvelope(raw)
}

func ownCard(tx blobstore.ReadTx) (record.Signed[record.Card], error) {
	e, err := selfCard(tx)
	if err != nil {
		return record.Signed[record.Card]{}, err
	}
	return record.OpenCard(e)
}

// CardByID reads a card that was accepted, or is our own; NotFound if it was not.
func CardByID(tx blobstore.ReadTx, id record.RecordID) (record.Signed[record.Card], error) {
	raw, err := tx.Get(cardKey(tx, id))
	if err != nil {
		return record.Signed[record.Card]{}, err
	}
	e, err := record.ParseEnvelope(raw)
	if err != nil {
		return record.Signed[record.Card]{}, err
	}
	return record.OpenCard(e)
}

// Init makes and keeps the organisation's first card.
func Init(tx blobstore.Tx, keys *crypto.Keyring, name string, now time.Time) (record.Signed[record.Card], error) {
	card, err := keys.SignCard(record.Card{
		Header:  record.Header{Created: now.UnixMilli()},
		Name:    name,
		Serial:  1,
		Expires: now.Add(cardValidity).UnixMilli(),
	})
	if err != nil {
		return card, err
	}
	return card, putSelf(tx, card)
}

// Require tells whether the organisation is an active partner with a valid
// card, as of this transaction. Otherwise the error is of kind Refused and
// does not say why, since it may be told to the partner.
func Require(tx blobstore.ReadTx, org record.OrgID, now time.Time) error {
	s, err := getStanding(tx, org)
	if record.KindOf(err) == record.NotFound {
		return errNotActive()
	}
	if err != nil {
		return err
	}
	if s.State != Active || now.UnixMilli() >= s.Expires {
		return errNotActive()
	}
	return nil
}

func errNotActive() error {
	return record.Errorf(record.Refused, "not an active partner")
}
