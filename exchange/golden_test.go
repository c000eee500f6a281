package exchange

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"dxd/hashanchor"
	"dxd/record"
)

var update = flag.Bool("update", false, "write the golden files anew")

// wireFrames are the frames of docs/spec/wire.md's worked example, as
// docs/spec/testdata/wire.json has them.
func wireFrames(t *testing.T) []goldenFrame {
	id, err := record.ParseTransferID("0190b8f0-3c5e-7abc-8def-0123456789ab")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join("..", "docs", "spec", "testdata")
	accepted, erasure := goldenRecord(t, dir, "receipt-accepted.json"), goldenRecord(t, dir, "erasure.json")
	proven, err := os.ReadFile(filepath.Join(dir, "card-file-proof.json"))
	if err != nil {
		t.Fatal(err)
	}
	card, err := record.OpenCardFile(proven)
	if err != nil {
		t.Fatal(err)
	}
	nonce := record.BodyNonce{0xaa, 0xbb, 0xcc}
	return []goldenFrame{
		goldenOf(t, "an offer of 32 sealed bytes, all of which come along", frameOffer, offer{
			Version: 1, ID: id, Lane: record.LaneDoc, SealedLength: 32, BodyNonce: nonce, Header: []byte("age-encryption.org/v1\n"), Early: 32,
		}),
		goldenOf(t, "an offer of a bundle", frameOffer, offer{
			Version: 1, ID: id, Lane: record.LaneMsg, SealedLength: 32, BodyNonce: nonce, Header: []byte("age-encryption.org/v1\n"), Early: 32,
		}),
		goldenOf(t, "an offer of a message that is alone", frameOffer, offer{
			Version: 1, ID: id, Lane: record.LaneMsg, SealedLength: 1 << 20, BodyNonce: nonce, Header: []byte("age-encryption.org/v1\n"), Early: maxEarly, Alone: true,
		}),
		goldenOf(t, "an offer of a document that is still being read", frameOffer, offer{
			Version: 1, ID: id, Lane: record.LaneDoc, SealedLength: unknownLength, BodyNonce: nonce, Header: []byte("age-encryption.org/v1\n"), Early: maxEarly,
		}),
		goldenOf(t, "nothing to send yet", frameWait, []byte{}),
		goldenOf(t, "the sender gives the document up", frameRefusal, refusal{Reason: reasonCancelled}),
		goldenOf(t, "three bytes of a body", frameBody, []byte{1, 2, 3}),
		goldenOf(t, "the end of a body", frameBody, []byte{}),
		goldenOf(t, "an answer: go on behind the first mebibyte", frameAnswer, answer{Offset: 1 << 20}),
		goldenOf(t, "a refusal for now", frameRefusal, refusal{Reason: reasonFull, Retry: true}),
		goldenOf(t, "a refusal for good", frameRefusal, refusal{Reason: reasonRejected}),
		goldenOf(t, "news: the application accepted (the receipt of receipt-accepted.json)", frameNews, news{Transfer: id, Receipt: accepted}),
		goldenOf(t, "news: where a card is anchored (the proof of card-file-proof.json)", frameNews, news{Proof: card.Proof}),
		goldenOf(t, "news: where a manifest is anchored, with the state proof (both of evidence-state-proof.json)", frameNews, provenNews(t, id)),
		goldenOf(t, "news: a request to erase", frameNews, news{Transfer: id, Erase: true}),
		goldenOf(t, "news: the answer to one (that of erasure.json)", frameNews, news{Transfer: id, Erasure: erasure}),
		goldenOf(t, "an ack", frameAck, ack{OK: true}),
		goldenOf(t, "an ack that asks for the same again later", frameAck, ack{Retry: true}),
	}
}

// provenNews tells the first proof of the specification's evidence, with the
// slot of its anchor alone.
func provenNews(t *testing.T, id record.TransferID) news {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("..", "docs", "spec", "testdata", "evidence-state-proof.json"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := hashanchor.ParseEvidence(file)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := e.Proofs[0].Bytes()
	if err != nil {
		t.Fatal(err)
	}
	s := e.StateProof[0]
	state, err := record.Marshal(hashanchor.State{Header: s.Header, Account: s.Account, Slots: [][][]byte{s.Slots[0].Nodes}})
	if err != nil {
		t.Fatal(err)
	}
	return news{Transfer: id, Proof: proof, State: state}
}

type goldenFrame struct {
	Name string `json:"name"`
	Hex  string `json:"hex"`
}

// goldenOf is what link sends.
func goldenOf(t *testing.T, name string, kind frameType, content any) goldenFrame {
	t.Helper()
	here, there := net.Pipe()
	sent := make(chan []byte, 1)
	go func() {
		b, err := io.ReadAll(there)
		if err != nil {
			t.Error(err)
		}
		sent <- b
	}()
	l := newLink(inMemory{here})
	var err error
	if raw, ok := content.([]byte); ok {
		copy(l.buffer(len(raw)), raw)
		err = l.flush(kind, len(raw))
	} else {
		err = l.send(kind, content)
	}
	if err != nil {
		t.Fatal(err)
	}
	here.Close()
	return goldenFrame{name, hex.EncodeToString(<-sent)}
}

// inMemory is a stream in memory.
type inMemory struct{ net.Conn }

func (p inMemory) CloseWrite() error   { return p.Close() }
func (p inMemory) Reset() error        { return p.Close() }
func (p inMemory) Node() record.NodeID { return record.NodeID{} }

func TestFramesAreAsTheSpecificationSays(t *testing.T) {
	golden(t, "wire.json", wireFrames(t))
}

// golden compares with a file of docs/spec/testdata, or writes it.
func golden(t *testing.T, name string, content any) {
	t.Helper()
	var got bytes.Buffer
	e := json.NewEncoder(&got)
	e.SetIndent("", "  ")
	if err := e.Encode(content); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "docs", "spec", "testdata", name)
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s is now\n%s", name, got.Bytes())
	}
}

// goldenBundle is docs/spec/testdata/bundle.json.
type goldenBundle struct {
	Plain    string          `json:"plain_hex"`
	Openings []string        `json:"openings"`
	Packed   string          `json:"packed_hex"`
	Leaves   []record.Hash   `json:"leaves"`
	Root     record.Hash     `json:"root"`
	Paths    [][]record.Hash `json:"paths"`
}

func TestABundleIsAsTheSpecificationSays(t *testing.T) {
	var g goldenBundle
	var list [][]byte
	var plain []byte
	id, err := record.ParseTransferID("0190b8f0-3c5e-7abc-8def-0123456789ab")
	if err != nil {
		t.Fatal(err)
	}
	for i, body := range []string{"hello", "", ""} {
		id[15] = byte(i)
		o := record.Opening{
			Transfer: id, Index: int64(i), Kind: record.Message, MediaType: "text/plain",
			Length: int64(len(body)), Digest: sha256.Sum256([]byte(body)), Salt: record.Nonce{1, byte(i)},
		}
		raw, err := o.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		list, plain = append(list, raw), append(plain, body...)
		g.Openings = append(g.Openings, string(raw))
	}
	g.Plain, g.Packed = hex.EncodeToString(plain), hex.EncodeToString(packOpenings(list...))
	g.Leaves, g.Root = leavesOf(list), record.TreeRoot(leavesOf(list))
	for i := range list {
		g.Paths = append(g.Paths, record.TreePath(i, g.Leaves))
	}
	golden(t, "bundle.json", g)
	if _, _, err := split(record.TransferID{}, list, plain); err != nil {
		t.Errorf("the example does not come apart: %v", err)
	}
}
