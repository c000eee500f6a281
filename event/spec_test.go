package event_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"dxd/blobstore"
	"dxd/event"
	"dxd/record"
)

var update = flag.Bool("update", false, "write docs/spec/testdata/events.json")

// goldenRow is a row of the journal.
type goldenRow struct {
	Name  string `json:"name"`
	Key   string `json:"key"`
	Value string `json:"value"`
}

func parse[T any](t *testing.T, s string, parse func(string) (T, error)) T {
	t.Helper()
	v, err := parse(s)
	check(t, err)
	return v
}

// examples are an event of each sort.
func examples(t *testing.T) []event.Event {
	id := parse(t, "01999999-9999-7999-8999-999999999999", record.ParseTransferID)
	other := parse(t, "01999999-9999-7999-8999-99999999999a", record.ParseTransferID)
	org := parse(t, "bafzaajaiaejcbsfmkdfmpikkzmc77klqmryc7l44k7rz4c6atw6tup2dqsgclx3b", record.ParseOrgID)
	const at = 1790000000000
	return []event.Event{
		{Seq: 1, Type: event.DocumentReceived, Time: at, ID: id, Partner: org, Kind: record.Document},
		{Seq: 2, Type: event.TransferFailed, Time: at + 1, ID: id, Partner: org, Kind: record.Message, Reason: "expired"},
		{Seq: 3, Type: event.AnchorFinal, Time: at + 2, ID: id, Kind: record.Notarized},
		{Seq: 4, Type: event.AnchorFinal, Time: at + 3, Bundle: other, Partner: org, Kind: record.Message},
		{Seq: 5, Type: event.PartnerChanged, Time: at + 4, Partner: org, State: "suspended"},
		{Seq: 6, Type: event.Alarm, Time: at + 5, Partner: org, Text: "a partner signed two records with the number 7 of lane doc"},
	}
}

func TestRowsAreAsTheSpecificationSays(t *testing.T) {
	h := newHouse(t)
	want := examples(t)
	check(t, h.Update(t.Context(), func(tx blobstore.Tx) error {
		for _, e := range want {
			if err := event.Append(tx, e); err != nil {
				return err
			}
		}
		return nil
	}))
	var rows []goldenRow
	check(t, h.View(t.Context(), func(tx blobstore.ReadTx) error {
		got, err := event.After(tx, 0, 100)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read back they are %+v", got)
		}
		rows = nil
		for entry, err := range tx.Scan("e/l/", "", false) {
			check(t, err)
			rows = append(rows, goldenRow{string(want[len(rows)].Type), hex.EncodeToString([]byte(entry.Key)), string(entry.Value)})
		}
		return err
	}))
	var content bytes.Buffer
	enc := json.NewEncoder(&content)
	enc.SetIndent("", "  ")
	check(t, enc.Encode(rows))
	path := filepath.Join("..", "docs", "spec", "testdata", "events.json")
	if *update {
		check(t, os.WriteFile(path, content.Bytes(), 0o644))
	}
	golden, err := os.ReadFile(path)
	check(t, err)
	if !bytes.Equal(golden, content.Bytes()) {
		t.Errorf("the rows are\n%s", content.Bytes())
	}
	page, err := os.ReadFile(filepath.Join("..", "docs", "spec", "events.md"))
	check(t, err)
	if !bytes.Contains(page, []byte(rows[0].Value)) || !bytes.Contains(page, []byte(rows[0].Key)) {
		t.Error("the specification shows another example")
	}
}

func TestARowThatThisVersionDidNotWriteIsDamaged(t *testing.T) {
	h := newHouse(t)
	h.append(1)
	for name, row := range map[string]string{
		"an unknown member": `{"type":"alarm","time":1,"name":"secret.pdf"}`,
		"another order":     `{"time":1,"type":"alarm"}`,
		"no time":           `{"type":"alarm"}`,
		"nothing":           ``,
	} {
		check(t, h.Update(t.Context(), func(tx blobstore.Tx) error {
			return tx.Set("e/l/\x00\x00\x00\x00\x00\x00\x00\x01", []byte(row))
		}))
		err := h.View(t.Context(), func(tx blobstore.ReadTx) error {
			page, err := event.After(tx, 0, 1)
			if page != nil {
				t.Errorf("%s: %+v comes out", name, page)
			}
			return err
		})
		wantKind(t, name, err, record.Damaged)
	}
}

func TestAnEventThatCantBeReadBackIsNotWritten(t *testing.T) {
	h := newHouse(t)
	for name, e := range map[string]event.Event{
		"an id that is none":   {Type: event.Alarm, Time: 1, ID: record.TransferID{1}},
		"a bundle's likewise":  {Type: event.Alarm, Time: 1, Bundle: record.TransferID{1}},
		"text that is no text": {Type: event.Alarm, Time: 1, Text: "\xff"},
	} {
		if err := h.Update(t.Context(), func(tx blobstore.Tx) error { return event.Append(tx, e) }); err == nil {
			t.Errorf("%s is written", name)
		}
	}
	if got := h.numbers(0); len(got) != 0 {
		t.Errorf("written are %v", got)
	}
}
