package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/hashanchor"
	"dxd/partner"
	"dxd/record"
)

func TestAmountsReadAsPeopleWriteThem(t *testing.T) {
	for wei, want := range map[string]string{
		"0": "0 ether", "1": "0.000000000000000001 ether", "1500000000000000000": "1.5 ether",
		"123000000000000000000": "123 ether", "": "", "nonsense": "",
	} {
		if got := coin(wei); got != want {
			t.Errorf("coin(%q) = %q, want %q", wei, got, want)
		}
	}
	for n, want := range map[int64]string{-1: "not known yet", 0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_960: "1.0 MB", 4 << 30: "4.3 GB", 1 << 62: "4611686.0 TB"} {
		if got := bytesOf(n); got != want {
			t.Errorf("bytesOf(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestWhatCommandsTakeStandsWholeInATable(t *testing.T) {
	alias := strings.Repeat("a", 63)
	if err := partner.CheckAlias(alias); err != nil {
		t.Fatal(err)
	}
	for _, cell := range []string{alias, record.OrgID{}.String()} {
		var out bytes.Buffer
		if err := printRows(&out, []string{"WHO"}, [][]string{{cell}}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), cell+"\n") {
			t.Errorf("%q is cut: %s", cell, out.String())
		}
	}
}

func TestWhatIsAcrossOfADocumentIsSaidWithoutALengthThatNobodyKnows(t *testing.T) {
	for size, want := range map[int64]string{-1: "5.0 kB\n", 20_000: "5.0 kB of 20.0 kB\n"} {
		var out bytes.Buffer
		if err := (&app{out: &out}).printTransfer(apitype.Transfer{State: "receiving", Size: size, BytesDone: 5000}); err != nil {
			t.Fatal(err)
		}
		if _, across, _ := strings.Cut(out.String(), "across "); !strings.HasPrefix(strings.TrimLeft(across, " "), want) {
			t.Errorf("of %d bytes it says %q, not %q", size, out.String(), want)
		}
	}
}

func TestAnEventNamesTheOneTransferThatItIsAbout(t *testing.T) {
	first, second := record.TransferID{1}, record.TransferID{2}
	for want, e := range map[string]apitype.Event{
		first.String():                               {ID: first},
		first.String() + " expired":                  {IDs: []record.TransferID{first}, Reason: "expired"},
		"2 transfers from " + first.String() + " on": {IDs: []record.TransferID{first, second}},
	} {
		if got := eventLine(e); !strings.HasSuffix(got, " "+want) {
			t.Errorf("it says %q, not %q", got, want)
		}
	}
}

func TestATerminalGetsPlainTextOnly(t *testing.T) {
	for text, plain := range map[string]bool{
		"": true, "a line\nand\ta tab\r\n": true, "Grüße, 漢字 🙂": true,
		"\x1b[2J": false, "\x00": false, "\x7f": false, "caf\xe9 bar": false, "\u202egnp": false, "\u009b2J": false,
	} {
		for name, r := range map[string]io.Reader{"at once": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text))} {
			_, err := io.Copy(&textOnly{}, r)
			if (err == nil) != plain {
				t.Errorf("%q %s: %v", text, name, err)
			}
		}
	}
}

func TestTextOnATerminalEndsItsLastLine(t *testing.T) {
	for text, want := range map[string]string{"": "", "hello": "hello\n", "hello\n": "hello\n", "two\nlines": "two\nlines\n"} {
		var out bytes.Buffer
		if err := copyLines(&out, strings.NewReader(text)); err != nil || out.String() != want {
			t.Errorf("%q: %q, error %v", text, out.String(), err)
		}
	}
}

func TestWhoStopsWaitingIsToldThatDeliveryGoesOn(t *testing.T) {
	c, err := client.New(client.Config{API: "unix:" + t.TempDir() + "/none.sock"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var out, stderr bytes.Buffer
	a := &app{out: &out, stderr: &stderr}
	err = a.submit(ctx, c, document{io.NopCloser(strings.NewReader("")), "d", 0}, sendOptions{wait: "delivered"},
		func(context.Context, client.Submission, io.Reader, int64) (apitype.Submitted, error) {
			cancel()
			return apitype.Submitted{Transfers: []apitype.SubmittedTransfer{{To: "bolt", State: "queued"}}}, nil
		})
	if !errors.Is(err, context.Canceled) || !strings.Contains(out.String(), "bolt  queued") || !strings.Contains(stderr.String(), "delivery goes on") {
		t.Errorf("error %v, printed %q, said %q", err, out.String(), stderr.String())
	}
}

func TestADaemonThatStopsWhileItIsWaitedForCantBeReached(t *testing.T) {
	stopping := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		json.NewEncoder(w).Encode(apitype.Problem{Kind: record.Unavailable.String(), Detail: "the daemon is stopping"})
	}))
	defer stopping.Close()
	c, err := client.New(client.Config{API: stopping.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := apitype.Submitted{Transfers: []apitype.SubmittedTransfer{{To: "bolt", State: "queued"}}}
	errs := (&app{stderr: io.Discard}).waitAll(t.Context(), c, &sent, sendOptions{wait: "delivered"})
	if record.KindOf(errs[0]) != record.Unreachable || !strings.Contains(record.Hint(errs[0]), "is queued, and goes on") {
		t.Errorf("got %v (%s)", errs[0], record.Hint(errs[0]))
	}
}

func TestAFileThatIsWrittenToWhileItIsReadIsToldOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	for _, changes := range []bool{false, true} {
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		a := &app{out: io.Discard, stderr: &stderr}
		doc, err := a.openDocument(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.upload(t.Context(), doc, sendOptions{}, func(context.Context, client.Submission, io.Reader, int64) (apitype.Submitted, error) {
			if !changes {
				return apitype.Submitted{}, nil
			}
			return apitype.Submitted{}, os.Chtimes(path, time.Time{}, time.Now().Add(time.Second))
		})
		if told := strings.Contains(stderr.String(), "written to while it was read"); err != nil || told != changes {
			t.Errorf("changes: %v, told: %v, error %v", changes, told, err)
		}
		doc.Close()
	}
}

func TestANameFromASenderIsNeitherHiddenNorAFlag(t *testing.T) {
	for name, want := range map[string]string{".bashrc": "_bashrc", "-rf": "_rf", "a.txt": "a.txt", "a-b": "a-b"} {
		if got := safeName(name); got != want {
			t.Errorf("safeName(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestAPairingEndsForTheReasonThatCameFirst(t *testing.T) {
	theirs := record.Errorf(record.Refused, "the other side did not accept")
	for name, tt := range map[string]struct{ own, err, want error }{
		"both said yes":                    {nil, nil, nil},
		"they said no while we were asked": {context.Canceled, theirs, theirs},
		"they said no before we said yes":  {record.Errorf(record.NotFound, "it has ended"), theirs, theirs},
		"we said no":                       {io.ErrClosedPipe, record.Errorf(record.Invalid, "no"), io.ErrClosedPipe},
	} {
		if got := whichEnded(tt.own, tt.err); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestTheWorstErrorCounts(t *testing.T) {
	late := record.Errorf(record.Timeout, "late")
	refused := failure(apitype.Transfer{State: "failed", Reason: "policy"}, "delivered")
	expired := failure(apitype.Transfer{State: "failed", Reason: "expired"}, "delivered")
	unwanted := failure(apitype.Transfer{State: "refused", Reason: "page 3 is missing"}, "accepted")
	for name, tt := range map[string]struct {
		errs []error
		code int
	}{
		"none":                    {[]error{nil, nil}, 0},
		"one goes on":             {[]error{nil, late}, 8},
		"one failed, one goes on": {[]error{late, expired}, 1},
		"refused beats expired":   {[]error{expired, refused, late}, 7},
		"unwanted beats expired":  {[]error{expired, unwanted, late}, 7},
	} {
		code := 0
		if err := worst(tt.errs); err != nil {
			code = record.KindOf(err).ExitCode()
		}
		if code != tt.code {
			t.Errorf("%s: exit code %d, want %d", name, code, tt.code)
		}
	}
}

func TestReadingAPipeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	silent, other := io.Pipe()
	defer other.Close()
	r := document{silent, "pipe", -1}.until(ctx)
	cancel()
	if _, err := r.Read(make([]byte, 8)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	whole := bytes.Repeat([]byte("dxd"), 1000)
	got, err := io.ReadAll(document{io.NopCloser(iotest.DataErrReader(bytes.NewReader(whole))), "pipe", -1}.until(t.Context()))
	if err != nil || !bytes.Equal(got, whole) {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
}

func TestTheVerdictComesFirstAndNamesTheBrokenLink(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	known := &hashanchor.Party{Name: "Acme \x1b[2J", Confirmed: true}
	for name, tt := range map[string]struct {
		report hashanchor.Report
		first  string
		says   []string
	}{
		"valid": {hashanchor.Report{Valid: true, Checks: []hashanchor.Check{{Name: "file", OK: true}}, Sender: known, AnchoredAt: &at, Block: 7, ChainID: 5}, "VALID: ",
			[]string{"(confirmed)", "in block 7 of chain 5", "chain 5 dates it; sender compared with what you know, chain as the file claims."}},
		"broken": {hashanchor.Report{Checks: []hashanchor.Check{{Name: "anchor", Undecided: true, Detail: "later"}, {Name: "document", Detail: "another file", Mend: "look for the right one", Meaning: "whether it is this"}}},
			"NOT VALID: another file\n  who can mend it: look for the right one\n", []string{"(whether it is this)\n"}},
		"undecided": {hashanchor.Report{Checks: []hashanchor.Check{{Name: "file", OK: true}, {Name: "anchor", Undecided: true, Detail: "no chain was asked", Mend: "ask one"}}},
			"NOT DECIDED: document and signatures hold, but nothing dates them yet: no chain was asked\n", []string{"no chain was asked", "→ ask one"}},
		"dated and undecided": {hashanchor.Report{AnchoredAt: &at, Checks: []hashanchor.Check{{Name: "file", OK: true}, {Name: "revocation", Undecided: true, Detail: "the key is revoked"}}, Sender: known},
			"NOT DECIDED: document and signatures hold, but not all is known about them: the key is revoked\n", nil},
		"dated by a receipt alone": {hashanchor.Report{ReceiptAnchoredBy: "recipient", Checks: []hashanchor.Check{{Name: "anchor", Undecided: true, Detail: "no proof of it"}, {Name: hashanchor.CheckReceived, OK: true}}},
			"NOT DECIDED: document and signatures hold, but only a receipt has dated them, by the recipient's account: no proof of it\n", nil},
		"with a receipt of which nothing is known": {hashanchor.Report{Checks: []hashanchor.Check{{Name: "anchor", Undecided: true, Detail: "the endpoint is behind"}, {Name: hashanchor.CheckReceived, OK: true}}},
			"NOT DECIDED: document and signatures hold, but nothing dates them yet: the endpoint is behind\n", nil},
		"empty": {hashanchor.Report{}, "NOT VALID: nothing was checked", nil},
	} {
		var out bytes.Buffer
		if err := (&app{out: &out}).printReport(tt.report, false); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(out.String(), tt.first) || strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s:\n%s", name, out.String())
		}
		for _, want := range tt.says {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is not in\n%s", name, want, out.String())
			}
		}
	}
}

func TestTheVerdictSaysWhatWasCompared(t *testing.T) {
	claimed, known := &hashanchor.Party{}, &hashanchor.Party{Confirmed: true}
	chain := []hashanchor.Check{{Name: hashanchor.CheckChain, OK: true}}
	block := []hashanchor.Check{{Name: hashanchor.CheckStateBlock, OK: true}}
	for want, r := range map[string]hashanchor.Report{
		"nothing was compared with what you know, sender, recipient and chain as the file claims": {Sender: claimed, Recipient: claimed, ChainID: 1},
		"sender and recipient compared with what you know, chain as the file claims":              {Sender: known, Recipient: known, ChainID: 1},
		"sender, recipient and chain compared with what you know":                                 {Sender: known, Recipient: known, ChainID: 1, Checks: chain},
		"chain compared with what you know, sender as the file claims":                            {Sender: claimed, ChainID: 1, Checks: chain}, // a notarisation
		"block compared with what you know, sender and chain as the file claims":                  {Sender: claimed, ChainID: 1, Checks: block},
		"nothing was compared with what you know, sender and recipient as the file claims":        {Sender: claimed, Recipient: claimed}, // no proof
	} {
		if got := compared(r, checkOf(r, hashanchor.CheckStateBlock) != nil); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

// A name is its owner's choice, and may hold what stands beside a name: another's
// fingerprint, and that it was compared.
func TestNoNameIsTakenForWhatStandsBesideIt(t *testing.T) {
	var other, own record.Fingerprint
	other[0] = 1
	name := "Acme Ltd, fingerprint " + other.String() + " (confirmed)"
	quotedName := `"` + name + `"`
	if got, want := person(hashanchor.Party{Name: name, Fingerprint: own}), quotedName+", "+own.String()+" (as claimed)"; got != want {
		t.Errorf("a verdict says %s", got)
	}
	if got, want := introduce(apitype.Met{Name: name, Fingerprint: own}), "the other side is here: "+quotedName+", fingerprint "+own.String(); got != want {
		t.Errorf("a pairing says %s", got)
	}
	var out bytes.Buffer
	if err := (&app{stderr: &out}).explain(candidate{name: name, fingerprint: own}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), quotedName+"\n") {
		t.Errorf("a question is\n%s", out.String())
	}
	if got := quoted("a\"b\u00a0c ü"); got != `"a\"b\u00a0c ü"` {
		t.Errorf("quoted: %s", got)
	}
}
