package daemon

import (
	"context"
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

// tendAccounts drops the oldest account that nothing needs any more. Before
// that it hands over what it holds, since its key is all that can move it. It
// tells whether there is an older one at all.
func (d *Daemon) tendAccounts(ctx context.Context) (more bool, err error) {
	signers := d.Keys.AccountSigners()
	if len(signers) < 2 {
		return false, nil
	}
	if time.Since(time.UnixMilli(d.Book.Self().Body.Created)) < settled {
		return true, nil
	}
	needed, err := d.needsAccount(ctx, signers)
	if err != nil || needed {
		return true, err
	}
	chain, err := newChain(d.anchor(), signers[len(signers)-1])
	if err != nil || chain == nil {
		return chain != nil, err // without a chain nobody knows what it holds
	}
	defer chain.Close()
	rest, err := chain.Sweep(ctx, signers[0].Account(), d.Queue().Final(), time.UnixMilli(d.Book.Self().Body.Created))
	if err != nil || rest != evm.Gone {
		return true, err
	}
	return true, d.Book.Drop(ctx, crypto.RoleAccount, signers[len(signers)-1].Account().String())
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
