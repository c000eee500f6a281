package exchange_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/exchange"
	"dxd/hashanchor"
	"dxd/partner"
	"dxd/record"
)

// countedFiles are files that count what is sealed into them.
type countedFiles struct {
	blobstore.Files
	made, bytes atomic.Int64
}

func (f *countedFiles) Create(id blobstore.FileID) (blobstore.Partial, error) {
	f.made.Add(1)
	p, err := f.Files.Create(id)
	return &countedPartial{p, &f.bytes}, err
}

type countedPartial struct {
	blobstore.Partial
	bytes *atomic.Int64
}

func (p *countedPartial) Write(b []byte) (int, error) {
	n, err := p.Partial.Write(b)
	p.bytes.Add(int64(n))
	return n, err
}

// newSender makes a node with partners of these names.
func newSender(t *testing.T, names ...string) (a *node, partners []*node) {
	t.Helper()
	a = newNode(t, "anna")
	for _, name := range names {
		p := newNode(t, name)
		pair(t, a, p)
		partners = append(partners, p)
	}
	return a, partners
}

func TestADocumentForSeveralIsSealedOnce(t *testing.T) {
	a, partners := newSender(t, "bert", "carl", "dora")
	a.halt()
	sealed := &countedFiles{}
	a.files = func(f blobstore.Files) blobstore.Files {
		sealed.Files = f
		return sealed
	}
	a.start()
	doc := randomDocument(1 << 20)
	sent, err := a.Submit(t.Context(), exchange.Submission{To: []string{"bert", "carl", "dora"}, Name: "a.bin", Size: int64(len(doc))}, bytes.NewReader(doc))
	check(t, err)
	if len(sent) != 3 {
		t.Fatalf("%d transfers", len(sent))
	}
	for i, v := range sent {
		a.delivered(v.ID)
		if got := partners[i].document(v.ID); !bytes.Equal(got, doc) {
			t.Errorf("%s got another document", partners[i].name)
		}
	}
	if made, n := sealed.made.Load(), sealed.bytes.Load(); made != 1 || n != sent[0].SealedLength {
		t.Errorf("%d files with %d sealed bytes, where one body has %d", made, n, sent[0].SealedLength)
	}
}

// overheard is a stream that keeps what its node says on it, before it is
// encrypted.
type overheard struct {
	exchange.Stream
	mu    *sync.Mutex // guards words
	words *bytes.Buffer
}

func (o overheard) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.words.Write(p)
	return o.Stream.Write(p)
}

func TestOneOfSeveralRecipientsLearnsNothingOfAnother(t *testing.T) {
	a, partners := newSender(t, "bert", "carl")
	var mu sync.Mutex
	words := map[record.NodeID]*bytes.Buffer{}
	for _, p := range partners {
		words[p.keys.Node()] = &bytes.Buffer{}
	}
	a.wrap = func(s exchange.Stream) exchange.Stream { return overheard{s, &mu, words[s.Node()]} }
	sent, err := a.Submit(t.Context(), exchange.Submission{To: []string{"bert", "carl"}, Name: "a.txt", Size: 3}, strings.NewReader("abc"))
	check(t, err)
	var evidence []*hashanchor.Evidence
	for _, v := range sent {
		a.delivered(v.ID)
		file, err := a.Evidence(t.Context(), v.ID)
		check(t, err)
		e, err := hashanchor.ParseEvidence(file)
		check(t, err)
		evidence = append(evidence, e)
	}
	mu.Lock()
	defer mu.Unlock()
	for i, me := range partners {
		it, its := partners[1-i], evidence[1-i]
		mine, err := evidence[i].Bytes()
		check(t, err)
		heard := append(words[me.keys.Node()].Bytes(), mine...)
		for what, secret := range map[string][]byte{
			"transfer":     []byte(sent[1-i].ID.String()),
			"organisation": []byte(it.keys.Org().String()),
			"card":         []byte(it.book.Self().ID().String()),
			"manifest":     its.Record.Bytes(),
			"its id":       []byte(its.Record.ID().String()),
			"salt":         []byte(its.Opening.Salt.String()),
			"name":         []byte(it.name),
		} {
			if bytes.Contains(heard, secret) {
				t.Errorf("%s is told %s's %s", me.name, it.name, what)
			}
		}
		if !bytes.Contains(heard, []byte(sent[i].ID.String())) {
			t.Errorf("%s was not overheard", me.name)
		}
	}
}

func TestOneBadRecipientRefusesTheCallBeforeTheBodyIsRead(t *testing.T) {
	a, _ := newSender(t, "bert", "carl", "dora")
	for alias, state := range map[string]partner.State{"carl": partner.Suspended, "dora": partner.Removed} {
		_, err := a.book.SetState(t.Context(), alias, state, nothing)
		check(t, err)
	}
	unread := iotest.ErrReader(errors.New("the body is read"))
	for _, bad := range []string{"carl", "dora", "nobody"} {
		for _, to := range [][]string{{"bert", bad}, {bad, "bert"}} {
			if _, err := a.Submit(t.Context(), exchange.Submission{To: to, Name: "a", Size: -1}, unread); record.KindOf(err) != record.Refused {
				t.Errorf("to %v: %v", to, err)
			}
		}
	}
	all, err := a.List(t.Context(), exchange.Filter{})
	check(t, err)
	if len(all) != 0 {
		t.Errorf("%d transfers are left", len(all))
	}
}

// stranger makes a partner that is nowhere.
func (n *node) stranger(alias string) {
	n.t.Helper()
	keys, err := crypto.Generate()
	check(n.t, err)
	now := time.Now()
	card, err := keys.SignCard(record.Card{
		Header: record.Header{Created: now.UnixMilli()}, Name: alias, Serial: 1, Expires: now.Add(day).UnixMilli(),
	})
	check(n.t, err)
	_, err = n.book.Add(n.t.Context(), record.OpenedCardFile{Card: card}, alias)
	check(n.t, err)
}

func TestOneCallSendsToAsManyAsTheJournalTakes(t *testing.T) {
	a := newNode(t, "anna")
	var to []string
	for i := range exchange.MaxRecipients {
		to = append(to, fmt.Sprint("p", i))
		a.stranger(to[i])
	}
	body := randomDocument(5 << 10)
	s := exchange.Submission{
		To: to, Name: strings.Repeat(`a"`, 127), MediaType: "text/" + strings.Repeat("x", 120), RequestID: strings.Repeat(`"`, exchange.MaxRequestID), Size: -1,
	}
	sent, err := a.Submit(t.Context(), s, bytes.NewReader(body))
	if check(t, err); len(sent) != len(to) {
		t.Errorf("%d transfers of a document", len(sent))
	}
	s.Name, s.RequestID = "", ""
	if sent, err = a.SubmitMessage(t.Context(), s, bytes.NewReader(body)); err != nil || len(sent) != len(to) {
		t.Errorf("%d transfers of a message: %v", len(sent), err)
	}
	s.To = append(to, "one more")
	if _, err := a.SubmitMessage(t.Context(), s, bytes.NewReader(body)); record.KindOf(err) != record.Invalid || record.Hint(err) == "" {
		t.Errorf("one more: %v", err)
	}
}

func TestARecipientThatIsSuspendedWhileTheBodyIsReadRefusesTheCall(t *testing.T) {
	a, _ := newSender(t, "bert", "carl")
	suspending := readerFunc(func(p []byte) (int, error) {
		_, err := a.book.SetState(t.Context(), "carl", partner.Suspended, nothing)
		check(t, err)
		return 0, io.EOF
	})
	if _, err := a.Submit(t.Context(), exchange.Submission{To: []string{"bert", "carl"}, Name: "a", Size: -1}, suspending); record.KindOf(err) != record.Refused {
		t.Errorf("submitted: %v", err)
	}
	all, err := a.List(t.Context(), exchange.Filter{})
	check(t, err)
	if len(all) != 0 {
		t.Errorf("%d transfers are left", len(all))
	}
	a.keepsNoFile()
}

// startAt stops the node and starts it again with another clock.
func (n *node) startAt(now func() time.Time) {
	n.t.Helper()
	n.halt()
	n.now = now
	n.start()
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestARequestIsKnownWhateverBecameOfItsRecipients(t *testing.T) {
	a, partners := newSender(t, "bert", "carl", "dora")
	for _, p := range partners {
		p.halt()
	}
	submit := func(to ...string) ([]record.TransferID, error) {
		views, err := a.Submit(t.Context(), exchange.Submission{To: to, Name: "a.txt", RequestID: "r", Size: -1}, strings.NewReader("abc"))
		var ids []record.TransferID
		for _, v := range views {
			ids = append(ids, v.ID)
		}
		return ids, err
	}
	first, err := submit("bert", "carl", "dora")
	check(t, err)
	change := func(alias string, s partner.State, more func(blobstore.Tx, record.OrgID) error) func() {
		return func() {
			_, err := a.book.SetState(t.Context(), alias, s, more)
			check(t, err)
		}
	}
	for _, step := range []struct {
		what   string
		change func()
	}{
		{"and nothing else", func() {}},
		{"and one is suspended", change("carl", partner.Suspended, nothing)},
		{"and one is removed", change("dora", partner.Removed, a.Remove)},
		{"and our card has expired", func() { a.startAt(func() time.Time { return time.Now().Add(10 * 365 * 24 * time.Hour) }) }},
	} {
		step.change()
		again, err := submit("dora", "bert", "carl")
		if err != nil || !slices.Equal(again, first) {
			t.Errorf("in another order, %s: %v, %v", step.what, again, err)
		}
	}
	for _, to := range [][]string{{"bert", "carl"}, {"bert", "carl", "nobody"}, {"bert", "carl", "dora", "nobody"}} {
		if _, err := submit(to...); record.KindOf(err) != record.Conflict {
			t.Errorf("to %v: %v", to, err)
		}
	}
	a.startAt(time.Now)
	eve := newNode(t, "dora") // another organisation takes the alias
	pair(t, a, eve)
	if _, err := submit("bert", "carl", "dora"); record.KindOf(err) != record.Conflict {
		t.Errorf("to another organisation with an alias that was free: %v", err)
	}
}
