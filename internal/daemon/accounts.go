package daemon

import (
	"context"
	"errors"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/hashanchor/evm"
	"dxd/hashanchor/queue"
	"dxd/record"
)

// settled is how old our card must be before an account that is not in use is
// dropped: longer than a record takes from its signature, under the card
// before, to the journal.
const settled = 10 * time.Second

// accountsOf has the exchange say which accounts may anchor a record.
func (d *Daemon) accountsOf(tx blobstore.ReadTx, id record.RecordID) ([]record.Account, error) {
	return d.Exchange.AccountsOf(tx, id)
}

// tendAccounts drops the oldest account that nothing needs any more, and whose
// coin is gone for good: its key is all that can move it, so it hands it over
// first. One that has to stay holds up no other. It tells whether there is one
// that may be through soon.
func (d *Daemon) tendAccounts(ctx context.Context) (more bool, err error) {
	signers := d.Keys.AccountSigners()
	if len(signers) < 2 {
		return false, nil
	}
	created := time.UnixMilli(d.Book.Self().Body.Created)
	if time.Since(created) < settled {
		return true, nil
	}
	var errs []error
	for i := len(signers) - 1; i > 0; i-- {
		rest, err := d.emptyAccount(ctx, signers[:i+1], created)
		if rest == evm.Gone {
			err = d.Book.Drop(ctx, crypto.RoleAccount, signers[i].Account().String())
		}
		more, errs = more || rest != evm.Kept, append(errs, err)
		if rest == evm.Gone {
			break // the card is new now, and has to settle again
		}
	}
	return more, errors.Join(errs...)
}

// emptyAccount has the last account hand what it holds to the first, unless it
// is needed. What it was paid up to now, as our card says, counts.
func (d *Daemon) emptyAccount(ctx context.Context, signers []*crypto.AccountSigner, since time.Time) (evm.Rest, error) {
	needed, err := d.needsAccount(ctx, signers)
	if err != nil || needed {
		return evm.Fresh, err
	}
	chain, err := newChain(d.anchor(), signers[len(signers)-1])
	if err != nil || chain == nil {
		return evm.Kept, err // without a chain nobody knows what it holds
	}
	defer chain.Close()
	return chain.Sweep(ctx, signers[0].Account(), d.Queue().Final(), since)
}

// needsAccount tells whether the last account has to anchor something yet.
func (d *Daemon) needsAccount(ctx context.Context, signers []*crypto.AccountSigner) (needed bool, err error) {
	last := len(signers) - 1
	var instead []record.Account
	for _, s := range signers[:last] {
		instead = append(instead, s.Account())
	}
	err = d.Store.View(ctx, func(tx blobstore.ReadTx) (err error) {
		needed, err = queue.Needs(tx, signers[last].Account(), instead, d.accountsOf)
		return err
	})
	return needed, err
}
