package daemon

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"dxd/blobstore"
	"dxd/blobstore/badger"
	"dxd/crypto"
	"dxd/partner"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// almost is after which a card is due in about a day: virtual time is not free.
const almost = (2*365 - 30 - 1) * 24 * time.Hour

func TestTheCardIsRenewedThirtyDaysBeforeItsEnd(t *testing.T) {
	renewedInTime(t, almost, func(context.Context) (bool, error) { return false, nil })
}

func TestTheCardIsRenewedWhileAnAccountCantBeEmptied(t *testing.T) {
	renewedInTime(t, almost+23*time.Hour, func(ctx context.Context) (bool, error) {
		<-ctx.Done()
		return true, ctx.Err()
	})
}

// renewedInTime has a daemon tend to a card of this age, and to older accounts.
func renewedInTime(t *testing.T, age time.Duration, accounts func(context.Context) (bool, error)) {
	t.Helper()
	keys, err := crypto.Generate()
	check(t, err)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store, err := badger.Open(dir, keys.Sealer(), badger.Options{})
		check(t, err)
		defer func() { check(t, store.Close()) }()
		check(t, store.Update(t.Context(), func(tx blobstore.Tx) error {
			_, err := partner.Init(tx, keys, "Acme", time.Now().Add(-age))
			return err
		}))
		renewed := make(chan time.Time, 1)
		book, err := partner.Open(t.Context(), partner.Config{
			Journal: store, Keys: keys, Now: time.Now, OnCard: func() { renewed <- time.Now() },
		})
		check(t, err)
		due := time.UnixMilli(book.Self().Body.Expires).Add(-30 * 24 * time.Hour)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tend(ctx, book, nil, accounts, time.Minute, slog.New(slog.DiscardHandler)) }()
		if at := <-renewed; at.Before(due) || at.After(due.Add(keyPace)) || book.Self().Body.Serial != 2 {
			t.Errorf("due at %s, renewed at %s: serial %d", due, at, book.Self().Body.Serial)
		}
		stop()
		check(t, <-done)
	})
}
