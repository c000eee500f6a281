package fault

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"strings"

	"dxd/api/apitype"
	"dxd/blobstore"
	"dxd/client"
	"dxd/exchange"
	"dxd/internal/config"
	"dxd/internal/daemon"
	"dxd/internal/statedir"
	"dxd/partner"
	"dxd/record"
	"dxd/test/party"
)

// disk is what an organisation's state directory says while no daemon runs:
// rows and files as they lie there, and what the API makes of them.
type disk struct {
	of  *party.Org
	api *client.Client

	rows   map[record.TransferID]exchange.Transfer // bundles included
	marks  map[blobstore.FileID][]record.TransferID
	files  map[blobstore.FileID]blobstore.FileInfo
	uses   partner.Usage
	queued int                           // transfers that wait
	open   int                           // own numbers that have not ended
	told   int                           // news that the partner has not got
	given  map[record.Lane]record.Number // the last of our numbers
	taken  map[record.Lane]map[record.Epoch]map[int64]record.RecordID
	voids  map[blobstore.Key]bool // the partner's, by what a manifest is in a key
	voided func(manifest record.RecordID) bool
	leaf   func(record.RecordID) bool // whether it waits to be anchored

	items  map[record.TransferID]apitype.Transfer
	events map[record.TransferID][]string
	alarms []string
}

// The journal's keys, as the rooms that own them say (exchange/transfer.go,
// hashanchor/queue/rows.go). A partner's name in a key is the same for all
// keys of a journal, and there is one partner here.
const (
	keysOfRows   = "x/t/"
	keysOfMarks  = "x/b/"
	keysOfQueue  = "x/o/"
	keysOfOpen   = "x/j/"
	keysOfNews   = "x/p/"
	keysOfHeads  = "x/h/"
	keysOfTaken  = "x/k/"
	keysOfVoids  = "x/w/"
	keysOfLeaves = "q/r/"
	keysOfUsage  = "u/"   // partner/quota.go
	orgWidth     = 32 + 1 // a partner in a key, and the slash behind it
)

// read opens the state directory of an organisation whose daemon does not run.
func read(o *party.Org, examine func(*disk)) {
	o.T.Helper()
	ctx := o.T.Context()
	off, err := daemon.OpenOffline(ctx, offline(o))
	party.Check(o.T, err)
	defer func() { party.Check(o.T, off.Close()) }()
	api, err := client.New(client.Config{API: "unix:" + off.Socket()})
	party.Check(o.T, err)
	defer api.Close()
	d := &disk{
		of: o, api: api, rows: map[record.TransferID]exchange.Transfer{}, marks: map[blobstore.FileID][]record.TransferID{},
		files: map[blobstore.FileID]blobstore.FileInfo{}, given: map[record.Lane]record.Number{},
		taken: map[record.Lane]map[record.Epoch]map[int64]record.RecordID{}, voids: map[blobstore.Key]bool{},
		items: map[record.TransferID]apitype.Transfer{}, events: map[record.TransferID][]string{},
	}
	for f, err := range off.Store.List() {
		party.Check(o.T, err)
		d.files[f.ID] = f
	}
	party.Check(o.T, off.Store.View(ctx, d.readRows))
	ask := func(of func(tx blobstore.ReadTx) bool) (is bool) {
		party.Check(o.T, off.Store.View(ctx, func(tx blobstore.ReadTx) error {
			is = of(tx)
			return nil
		}))
		return is
	}
	d.leaf = func(id record.RecordID) bool {
		return ask(func(tx blobstore.ReadTx) bool {
			_, err := tx.Get(keysOfLeaves + tx.Index("queue", id[:]))
			return err == nil
		})
	}
	d.voided = func(id record.RecordID) bool {
		return ask(func(tx blobstore.ReadTx) bool { return d.voids[tx.Index("record", id[:])] })
	}
	d.readItems(ctx)
	d.readEvents(ctx)
	examine(d)
}

// offline is how commands open a state directory while no daemon runs.
func offline(o *party.Org) daemon.Options {
	o.T.Helper()
	dir, err := statedir.Open(o.Dir)
	party.Check(o.T, err)
	c, err := config.Load(o.Dir, func(string) (string, bool) { return "", false })
	party.Check(o.T, err)
	keys, err := party.Unlock(dir)
	party.Check(o.T, err)
	return daemon.Options{Dir: dir, Config: c, Keys: keys, Log: slog.New(slog.DiscardHandler)}
}

func (d *disk) readRows(tx blobstore.ReadTx) error {
	for prefix, take := range map[blobstore.Key]func(key string, value []byte) error{
		keysOfRows: func(_ string, value []byte) error {
			var t exchange.Transfer
			err := record.Unmarshal(value, &t)
			d.rows[t.ID] = t
			return err
		},
		keysOfMarks: func(key string, _ []byte) error {
			file := blobstore.FileID([]byte(key[:16]))
			d.marks[file] = append(d.marks[file], record.TransferID([]byte(key[17:])))
			return nil
		},
		keysOfUsage: func(_ string, value []byte) error { return json.Unmarshal(value, &d.uses) }, // there is more
		keysOfQueue: count(&d.queued),
		keysOfOpen:  count(&d.open),
		keysOfNews:  count(&d.told),
		keysOfHeads: func(_ string, value []byte) error {
			var n record.Number
			err := json.Unmarshal(value, &n) // there is more than the number
			d.given[n.Lane] = n
			return err
		},
		keysOfTaken: func(key string, value []byte) error {
			lane, rest, _ := strings.Cut(key[orgWidth:], "/")
			epoch, sequence := record.Epoch([]byte(rest[:len(rest)-8])), int64(binary.BigEndian.Uint64([]byte(rest[len(rest)-8:])))
			of := d.taken[record.Lane(lane)]
			if of == nil {
				of = map[record.Epoch]map[int64]record.RecordID{}
				d.taken[record.Lane(lane)] = of
			}
			if of[epoch] == nil {
				of[epoch] = map[int64]record.RecordID{}
			}
			of[epoch][sequence] = record.RecordID(value)
			return nil
		},
		keysOfVoids: func(key string, _ []byte) error {
			d.voids[blobstore.Key(key[orgWidth:])] = true
			return nil
		},
	} {
		for e, err := range tx.Scan(prefix, "", false) {
			if err == nil {
				err = take(string(e.Key[len(prefix):]), e.Value)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func count(n *int) func(string, []byte) error {
	return func(string, []byte) error { *n++; return nil }
}

func (d *disk) readItems(ctx context.Context) {
	for after := (record.TransferID{}); ; {
		page, err := d.api.Transfers(ctx, client.Filter{After: after, Limit: 1000})
		party.Check(d.of.T, err)
		if len(page) == 0 {
			return
		}
		for _, v := range page {
			d.items[v.ID], after = v, v.ID
		}
	}
}

func (d *disk) readEvents(ctx context.Context) {
	for after := int64(0); ; {
		page, err := d.api.Events(ctx, client.EventFilter{After: &after, Limit: 1000})
		party.Check(d.of.T, err)
		if len(page) == 0 {
			return
		}
		for _, e := range page {
			after = e.Seq
			if e.Type == "alarm" {
				d.alarms = append(d.alarms, e.Text)
			}
			d.events[e.ID] = append(d.events[e.ID], e.Type)
		}
	}
}
