package daemon

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/blobstore/badger"
	"dxd/crypto"
	"dxd/exchange"
)

func TestTheDoctorSaysWhatIsKeptForTooLong(t *testing.T) {
	keys, err := crypto.Generate()
	check(t, err)
	store, err := badger.Open(t.TempDir(), keys.Sealer(), badger.Options{})
	check(t, err)
	defer func() { check(t, store.Close()) }()
	x := exchange.Open(exchange.Config{
		Journal: store, Files: store, Keys: keys, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Retain: exchange.Retention{Sent: 7 * 24 * time.Hour, Received: 90 * time.Minute},
	})
	ofToday := time.Now().UnixMilli()
	for _, c := range []struct {
		place blobstore.Key
		well  bool
	}{
		{placeOf("in", ofToday), true},
		{placeOf("out", ofToday), true},
		{placeOf("out", ofToday-8*24*3600*1000), false},
	} {
		check(t, store.Update(t.Context(), func(tx blobstore.Tx) error { return tx.Set(c.place, make([]byte, 8)) }))
		checks := examineRetention(t.Context(), x, true)
		if len(checks) != 2 || checks[0].OK != c.well || !checks[1].OK {
			t.Errorf("the doctor says %+v", checks)
		}
		for i, starts := range []string{"7d; ", "90m; "} {
			if !strings.HasPrefix(checks[i].Detail, starts) {
				t.Errorf("%s: %q", checks[i].Name, checks[i].Detail)
			}
		}
		if checks := examineRetention(t.Context(), x, false); !checks[0].OK {
			t.Errorf("a daemon that does not run is to blame: %+v", checks)
		}
	}
}

// placeOf is where the exchange keeps what ended at that time.
func placeOf(shelf string, ms int64) blobstore.Key {
	var id [8 + 16]byte
	for i := range 8 {
		id[i] = byte(ms >> (56 - 8*i))
	}
	return blobstore.Key("x/d/"+shelf+"/") + blobstore.Key(id[:])
}
