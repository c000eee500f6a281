package exchange

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

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
	raw, err := os.ReadFile(filepath.Join("..", "docs", "spec", "testdata", "receipt-accepted.json"))
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := record.ParseEnvelope(bytes.TrimRight(raw, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	nonce := record.BodyNonce{0xaa, 0xbb, 0xcc}
	return []goldenFrame{
		goldenOf(t, "an offer of 32 sealed bytes, all of which come along", frameOffer, offer{
			Version: 1, ID: id, Lane: record.LaneDoc, SealedLength: 32, BodyNonce: nonce, Header: []byte("age-encryption.org/v1\n"), Early: 32,
		}),
		goldenOf(t, "three bytes of a body", frameBody, []byte{1, 2, 3}),
		goldenOf(t, "the end of a body", frameBody, []byte{}),
		goldenOf(t, "an answer: go on behind the first mebibyte", frameAnswer, answer{Offset: 1 << 20}),
		goldenOf(t, "a refusal for now", frameRefusal, refusal{Reason: reasonFull, Retry: true}),
		goldenOf(t, "a refusal for good", frameRefusal, refusal{Reason: reasonRejected}),
		goldenOf(t, "news: the application accepted (the receipt of receipt-accepted.json)", frameNews, news{Transfer: id, Receipt: accepted}),
		goldenOf(t, "an ack", frameAck, ack{OK: true}),
		goldenOf(t, "an ack that asks for the same again later", frameAck, ack{Retry: true}),
	}
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
	var got bytes.Buffer
	e := json.NewEncoder(&got)
	e.SetIndent("", "  ")
	if err := e.Encode(wireFrames(t)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "docs", "spec", "testdata", "wire.json")
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
		t.Errorf("the frames are\n%s", got.Bytes())
	}
}
