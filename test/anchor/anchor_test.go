package anchor_test

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/blobstore/badger"
	"dxd/crypto"
	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/hashanchor/queue"
	"dxd/internal/devchain"
	"dxd/record"
	"dxd/test/party"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// node is an organisation with a journal and a queue on a dev chain.
type node struct {
	t     *testing.T
	dir   string
	depth int64 // finality
	keys  *crypto.Keyring
	card  record.Signed[record.Card]
	dev   ethereum
	front []string      // endpoints that are asked before it
	stuck time.Duration // as in queue.Config
	store *badger.Store
	queue *queue.Queue
	stop  func()
}

// onEach runs a test on each client, which takes a block for final that has
// depth others on top.
func onEach(t *testing.T, depth int64, test func(t *testing.T, n *node)) {
	t.Parallel()
	for name, launch := range clients() {
		t.Run(name, func(t *testing.T) { test(t, newNode(t, launch, depth)) })
	}
}

// newNode is a node with a chain of its own. Its test runs beside others, since
// all of them mostly wait for blocks.
func newNode(t *testing.T, launch launcher, depth int64) *node {
	t.Parallel()
	keys, err := crypto.Generate()
	must(t, err)
	n := &node{t: t, dir: t.TempDir(), depth: depth, keys: keys}
	now := time.Now().UnixMilli()
	n.card, err = keys.SignCard(record.Card{Header: record.Header{Created: now}, Name: "Alpha", Serial: 1, Expires: now + 3600*1000})
	must(t, err)
	n.dev = launch(t, n.dir+"/chain", party.FreePort(t), n.keys.Account()) // which stays its own while it is down
	_, err = n.chain().Deploy(t.Context())
	must(t, err)
	n.start()
	t.Cleanup(func() {
		n.stop()
		must(t, n.dev.Close())
	})
	return n
}

// chain is our account on the dev chain.
func (n *node) chain() *evm.Chain {
	c, err := evm.New(evm.Config{URLs: append(slices.Clone(n.front), n.dev.URL()), ChainID: devchain.DefaultChainID, Finality: n.depth, Signer: n.keys})
	must(n.t, err)
	return c
}

func (n *node) start() {
	store, err := badger.Open(n.dir+"/state", n.keys.Sealer(), badger.Options{})
	must(n.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	n.store = store
	n.queue = queue.Open(queue.Config{Journal: store, Chain: n.chain(), Interval: 400 * time.Millisecond, Stuck: n.stuck})
	var owned sync.WaitGroup
	owned.Go(func() {
		if err := n.queue.Run(ctx); err != nil {
			n.t.Error(err)
		}
	})
	n.stop = func() {
		cancel()
		owned.Wait()
		must(n.t, store.Close())
	}
}

// notarise signs a notarisation of a text and queues it.
func (n *node) notarise(text string) (record.Envelope, []byte) {
	opening, err := record.Opening{
		Transfer: record.TransferID{6: 0x70, 8: 0x80}, Kind: record.Notarized, Name: "text.txt", MediaType: "text/plain",
		Length: int64(len(text)), Digest: sha256.Sum256([]byte(text)), Salt: sha256.Sum256([]byte("salt of " + text)),
	}.Bytes()
	must(n.t, err)
	signed, err := n.keys.SignNotarization(record.Notarization{
		Header: record.Header{Card: n.card.ID(), Created: time.Now().UnixMilli()},
		Root:   record.LeafHash(opening), Beacon: n.queue.Beacon(),
	})
	must(n.t, err)
	must(n.t, n.store.Update(n.t.Context(), func(tx blobstore.Tx) error {
		return queue.Add(tx, signed.ID(), signed.Leaf())
	}))
	return signed.Envelope, opening
}

// await waits until a record has one of the states.
func (n *node) await(id record.RecordID, want ...queue.State) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	changed := n.store.Watch(ctx, queue.KeyPrefix)
	for {
		var s queue.State
		must(n.t, n.store.View(ctx, func(tx blobstore.ReadTx) (err error) {
			s, err = queue.StateOf(tx, id)
			return err
		}))
		for _, w := range want {
			if s == w {
				return
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			status, err := n.queue.Status(context.Background())
			n.t.Fatalf("the record is %s, not %s: %+v %v", s, want, status, err)
		}
	}
}

// evidence is the file about a record.
func (n *node) evidence(signed record.Envelope, opening []byte) (file []byte) {
	n.t.Helper()
	must(n.t, n.store.View(n.t.Context(), func(tx blobstore.ReadTx) (err error) {
		file, err = queue.Evidence(tx, queue.Parts{Cards: []record.Envelope{n.card.Envelope}, Records: []record.Envelope{signed}, Opening: opening})
		return err
	}))
	return file
}

// verify is what a stranger does who has the file, the text and an endpoint.
func (n *node) verify(text string, signed record.Envelope, opening []byte) hashanchor.Report {
	n.t.Helper()
	stranger, err := evm.New(evm.Config{URLs: []string{n.dev.URL()}, Finality: n.depth})
	must(n.t, err)
	r, err := hashanchor.Verify(n.t.Context(), documentOf(text), n.evidence(signed, opening), hashanchor.Options{
		Chain: stranger, ChainID: devchain.DefaultChainID, Contract: evm.ContractAddress(), Sender: n.keys.Org().Fingerprint(),
	})
	must(n.t, err)
	return r
}

func documentOf(text string) hashanchor.Document {
	return hashanchor.Document{Digest: sha256.Sum256([]byte(text)), Length: int64(len(text))}
}

func TestFromLeafToVerifiedEvidence(t *testing.T) {
	onEach(t, 3, func(t *testing.T, n *node) {
		signed, opening := n.notarise("hello")
		n.await(signed.ID(), queue.Final)
		if r := n.verify("hello", signed, opening); r.ExitCode() != 0 || r.AnchoredAt == nil {
			t.Errorf("%+v", r.Checks)
		}
		if r := n.verify("jello", signed, opening); r.ExitCode() != 3 {
			t.Errorf("another text: exit code %d", r.ExitCode())
		}
		if n.queue.Beacon().Hash.IsZero() {
			t.Fatal("no final block is known")
		}
		later, laterOpening := n.notarise("later")
		n.await(later.ID(), queue.Final)
		r := n.verify("later", later, laterOpening)
		if r.ExitCode() != 0 || r.NotBefore == nil || r.NotBefore.After(*r.AnchoredAt) {
			t.Errorf("not before %v, anchored at %v: %+v", r.NotBefore, r.AnchoredAt, r.Checks)
		}
	})
}

func TestAStateProofVerifiesWithNoNetwork(t *testing.T) {
	onEach(t, 3, func(t *testing.T, n *node) {
		signed, opening := n.notarise("hello")
		n.await(signed.ID(), queue.Final)
		file, err := n.queue.Prove(t.Context(), n.evidence(signed, opening))
		must(t, err)
		n.verifiesOffline(file)
		n.awaitKept()
		must(t, n.dev.Close()) // the chain is gone, and what was kept is not
		file, err = n.queue.Prove(t.Context(), n.evidence(signed, opening))
		must(t, err)
		n.verifiesOffline(file)
	})
}

// What a partner told was checked down to a block that it may have made itself.
func TestAStateProofOfAPartnerDoesNotStandInForAChainThatWasAsked(t *testing.T) {
	onEach(t, 3, func(t *testing.T, n *node) {
		n.dev.Pause()
		signed, opening := n.notarise("hello")
		b := hashanchor.NewBatch([]record.Hash{signed.Leaf(), {1}})
		p, err := hashanchor.Proof{Record: signed.ID(), Path: b.Path(0), Anchor: hashanchor.Anchor{
			ChainID: devchain.DefaultChainID, Contract: evm.ContractAddress(), Account: n.keys.Account(), Root: b.Root(), Block: 1 << 40, Time: 1 << 40,
		}}.Bytes()
		must(t, err)
		state := &hashanchor.State{Header: []byte{1}, Account: [][]byte{{1}}, Slots: [][][]byte{{{1}}}}
		must(t, n.store.Update(t.Context(), func(tx blobstore.Tx) error {
			return queue.Receive(tx, p, state, func(record.RecordID, record.Account) (record.Hash, error) { return signed.Leaf(), nil })
		}))
		if _, err := n.queue.Prove(t.Context(), n.evidence(signed, opening)); record.KindOf(err) != record.Unavailable {
			t.Errorf("the file has the state proof of another chain: %v", err)
		}
	})
}

// verifiesOffline fails unless a file about "hello" verifies for whoever knows
// the block to which it leads, and for nobody else.
func (n *node) verifiesOffline(file []byte) {
	n.t.Helper()
	o := hashanchor.Options{Contract: evm.ContractAddress(), CheckState: evm.CheckState}
	r, err := hashanchor.Verify(n.t.Context(), documentOf("hello"), file, o)
	must(n.t, err)
	if r.ExitCode() != 4 || len(r.StateBlocks) != 1 {
		n.t.Fatalf("exit code %d: %+v", r.ExitCode(), r.Checks)
	}
	for hash, want := range map[record.Hash]int{r.StateBlocks[0].Hash: 0, {1}: 3} {
		o.Blocks = []record.Hash{hash}
		r, err := hashanchor.Verify(n.t.Context(), documentOf("hello"), file, o)
		must(n.t, err)
		if r.ExitCode() != want {
			n.t.Errorf("with block %s the exit code is %d: %+v", hash, r.ExitCode(), r.Checks)
		}
	}
	n.t.Logf("%d bytes, down to block %d", len(file), r.StateBlocks[0].Block)
}

// awaitKept waits until the state proofs of all that is final are kept.
func (n *node) awaitKept() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	changed := n.store.Watch(ctx, queue.KeyPrefix)
	for {
		kept, wanted := 0, 0
		must(n.t, n.store.View(ctx, func(tx blobstore.ReadTx) error {
			for prefix, count := range map[blobstore.Key]*int{"q/s/": &kept, "q/w/": &wanted} {
				*count = 0
				for _, err := range tx.Scan(prefix, "", false) {
					must(n.t, err)
					*count++
				}
			}
			return nil
		}))
		if kept > 0 && wanted == 0 {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			n.t.Fatalf("%d state proofs are kept, and %d wanted", kept, wanted)
		}
	}
}

func TestBeforeItsAnchorARecordIsUndecided(t *testing.T) {
	onEach(t, 3, func(t *testing.T, n *node) {
		n.dev.Pause()
		signed, opening := n.notarise("hello")
		if r := n.verify("hello", signed, opening); r.ExitCode() != 4 {
			t.Errorf("exit code %d: %+v", r.ExitCode(), r.Checks)
		}
	})
}

func TestARestartGoesOnWhereTheQueueWas(t *testing.T) {
	onEach(t, 3, func(t *testing.T, n *node) {
		n.dev.Pause()
		signed, opening := n.notarise("hello")
		n.await(signed.ID(), queue.Submitted)
		n.stop()
		n.start()
		n.dev.Resume()
		n.await(signed.ID(), queue.Final)
		if r := n.verify("hello", signed, opening); r.ExitCode() != 0 {
			t.Errorf("%+v", r.Checks)
		}
	})
}

func TestAReorgThatDropsTheTransactionLosesNothing(t *testing.T) {
	const depth = 30
	onEach(t, depth, func(t *testing.T, n *node) {
		must(t, n.dev.Mine(5)) // so that the contract stays
		signed, opening := n.notarise("hello")
		n.await(signed.ID(), queue.Included)
		n.dev.Pause()
		back := int(n.dev.Head() - n.lookup(signed).Block + 1)
		must(t, n.dev.Reorg(back, true))
		n.await(signed.ID(), queue.Submitted)
		n.dev.Resume()
		n.await(signed.ID(), queue.Included)
		must(t, n.dev.Mine(depth))
		n.await(signed.ID(), queue.Final)
		if r := n.verify("hello", signed, opening); r.ExitCode() != 0 {
			t.Errorf("%+v", r.Checks)
		}
	})
}

// lookup asks the chain for a record that is alone in its batch.
func (n *node) lookup(signed record.Envelope) hashanchor.Found {
	a := n.chain().Where()
	a.Root = signed.Leaf()
	found, err := n.chain().Lookup(n.t.Context(), a)
	must(n.t, err)
	return found
}

func TestAChainThatWasAwayTakesEverything(t *testing.T) {
	n := newNode(t, inProcess, 3)
	url := n.dev.URL()
	must(t, n.dev.Close())
	var records []record.Envelope
	var openings [][]byte
	for range 20 {
		signed, opening := n.notarise("hello")
		records, openings = append(records, signed), append(openings, opening)
	}
	n.dev = inProcess(t, n.dir+"/chain", portOf(t, url), n.keys.Account())
	for i := range records {
		n.await(records[i].ID(), queue.Final)
		if r := n.verify("hello", records[i], openings[i]); r.ExitCode() != 0 {
			t.Errorf("%+v", r.Checks)
		}
	}
}
