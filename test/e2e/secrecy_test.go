package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	ethcrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"dxd/client"
	"dxd/internal/devchain"
	"dxd/record"
	"dxd/test/party"
)

// marked is what nobody but the two organisations may learn, in every form in
// which it might stand somewhere.
type marked map[string][]byte

// add marks a value: its bytes, and its encodings. In base64 the bytes look
// different at each of three offsets.
func (m marked) add(what string, value []byte) {
	m[what] = value
	m[what+" in hex"] = []byte(hex.EncodeToString(value))
	m[what+" in upper-case hex"] = bytes.ToUpper(m[what+" in hex"])
	for name, alphabet := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for at := range 3 {
			text := alphabet.EncodeToString(append(make([]byte, at), value...))
			// Characters at either end hold bits of the neighbours, too.
			m[fmt.Sprintf("%s in %s, %d", what, name, at)] = []byte(text[(at*8+5)/6 : len(text)-1])
		}
	}
}

// in lists what stands in the data.
func (m marked) in(data []byte) (found []string) {
	for what, value := range m {
		if bytes.Contains(data, value) {
			found = append(found, what)
		}
	}
	return found
}

// inFiles lists what stands in a file, or in any below a directory, or in its
// name, and how much was searched.
func (m marked) inFiles(t *testing.T, dir string) (found []string, size int64) {
	t.Helper()
	party.Check(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		for _, what := range m.in([]byte(e.Name())) {
			found = append(found, what+" as a name")
		}
		if !e.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		for _, what := range m.in(data) {
			found = append(found, what+" in "+filepath.Base(path))
		}
		size += int64(len(data))
		return err
	}))
	return found, size
}

func random(prefix string) string {
	return prefix + strings.ToLower(rand.Text())
}

// observed is an exchange with all that an observer can get hold of.
type observed struct {
	t      *testing.T
	a, b   *party.Org
	chain  *party.Chain
	marked marked
}

// observe has two organisations exchange a marked document, all marked. put
// stands between their networks. At the end the daemons are stopped.
func observe(t *testing.T, put func(a, b *party.Org)) observed {
	o := observed{t: t, marked: marked{}, a: party.NewOrg(t, random("Alpha ")), b: party.NewOrg(t, random("Beta "))}
	o.a.Alias, o.b.Alias = random("alias-a-"), random("alias-b-")
	put(o.a, o.b)
	o.chain = party.NewChain(t, o.a, o.b)
	for _, org := range []*party.Org{o.a, o.b} {
		org.AnchorAt(o.chain.URL)
		org.Start()
		o.marked.add("the name of "+org.Name[:5], []byte(org.Name))
		o.marked.add("the alias "+org.Alias[:8], []byte(org.Alias))
	}
	party.Pair(o.a, o.b)

	content, name, request := random("content-"), random("name-"), random("request-")
	doc := []byte(strings.Repeat(content, 8000))
	digest := sha256.Sum256(doc)
	o.marked.add("the content", []byte(content))
	o.marked.add("the document's name", []byte(name))
	o.marked.add("the request", []byte(request))
	o.marked.add("the digest", digest[:])
	o.marked["the digest as a CID"] = []byte(record.Digest(digest).String())
	sent, err := o.a.Send(t.Context(), client.Submission{To: []string{o.b.Alias}, Name: name, RequestID: request}, bytes.NewReader(doc), int64(len(doc)))
	party.Check(t, err)
	id := sent.Transfers[0].ID
	for _, org := range []*party.Org{o.a, o.b} {
		if v := org.WaitFor(party.Patience, id, "anchored"); v.Anchor != "final" || v.Name != name {
			t.Fatalf("%+v", v)
		}
	}
	c, err := o.b.Content(t.Context(), id)
	party.Check(t, err)
	got, err := io.ReadAll(c)
	party.Check(t, err)
	party.Check(t, c.Close())
	if !bytes.Equal(got, doc) {
		t.Fatal("another document")
	}
	o.exchangeMore()
	o.a.Stop()
	o.b.Process.Kill() // its journal's log remains as it was
	o.chain.Stop()
	return o
}

// disks searches state directories, backups, logs and the chain, and shows that
// what stands there would be found.
func (o observed) disks() {
	o.t.Helper()
	places := o.places()
	for name, p := range places {
		found, size := p.marked.inFiles(o.t, p.path)
		o.t.Logf("%s: %d bytes", name, size)
		if len(found) > 0 || size == 0 {
			o.t.Errorf("%s, %d bytes: %v", name, size, found)
		}
	}
	for _, name := range []string{senderState, recipientState, senderLog, recipientLog, senderBackup} {
		o.plantIn(places[name])
	}
	o.plantOnChain(places[chainState].marked)
	for name, p := range places {
		found, _ := p.marked.inFiles(o.t, p.path)
		seen := map[string]bool{}
		for _, f := range found {
			seen[f[:strings.LastIndex(f, " in ")]] = true
		}
		for what := range p.marked {
			if !seen[what] {
				o.t.Errorf("%s: %s was planted and is not found", name, what)
			}
		}
	}
}

// plantIn puts everything that is marked into a file, or into one of a
// directory.
func (o observed) plantIn(p place) {
	o.t.Helper()
	path := p.path
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "payloads", "planted")
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	party.Check(o.t, err)
	for _, value := range p.marked {
		_, err = fmt.Fprintf(f, "before%safter\n", value)
		party.Check(o.t, err)
	}
	party.Check(o.t, f.Close())
}

// plantOnChain puts everything that is marked into a transaction.
func (o observed) plantOnChain(m marked) {
	t := o.t
	t.Helper()
	var data []byte
	for _, value := range m {
		data = append(append(data, value...), '\n')
	}
	o.chain.Start()
	defer o.chain.Stop()
	c, err := ethclient.Dial(o.chain.URL)
	party.Check(t, err)
	defer c.Close()
	key, err := ethcrypto.HexToECDSA(devchain.Key[2:])
	party.Check(t, err)
	from := ethcrypto.PubkeyToAddress(key.PublicKey)
	nonce, err := c.PendingNonceAt(t.Context(), from)
	party.Check(t, err)
	chainID := big.NewInt(devchain.DefaultChainID)
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(chainID), &types.DynamicFeeTx{
		ChainID: chainID, Nonce: nonce, To: &common.Address{1}, Gas: 6_000_000, GasFeeCap: big.NewInt(1e11), GasTipCap: big.NewInt(1e9), Data: data,
	})
	party.Check(t, err)
	party.Check(t, c.SendTransaction(t.Context(), tx))
	party.Until(t, "a transaction in a block", func() string {
		if _, err := c.TransactionReceipt(t.Context(), tx.Hash()); err != nil {
			return err.Error()
		}
		return ""
	})
}

// recording is what a proxy recorded, and where it listens.
type recording interface {
	Tapes() [][]byte
	Hellos() ([][]byte, error)
}

// wire searches a recording, in which there has to be something, and shows
// that what stands there would be found.
func (o observed) wire(r recording, plant net.Conn) {
	o.t.Helper()
	size := 0
	for _, tape := range r.Tapes() {
		size += len(tape)
		if found := o.marked.in(tape); len(found) > 0 {
			o.t.Errorf("on the wire: %v", found)
		}
	}
	o.t.Logf("%d KiB on the wire", size>>10)
	if size < 8000*30 {
		o.t.Errorf("%d bytes are less than the document", size)
	}
	hellos, err := r.Hellos()
	party.Check(o.t, err)
	for _, hello := range hellos {
		if group, err := keyShareGroup(hello); err != nil || group != tls.X25519MLKEM768 {
			o.t.Errorf("key exchange %v (%v), want X25519MLKEM768", group, err)
		}
	}
	o.t.Logf("%d handshakes with X25519MLKEM768", len(hellos))
	if len(hellos) == 0 {
		o.t.Error("no handshake in the recording")
	}
	o.plantOnWire(r, plant)
}

// plantOnWire sends all that is marked over the proxy and expects to find it.
func (o observed) plantOnWire(r recording, plant net.Conn) {
	o.t.Helper()
	defer func() { party.Check(o.t, plant.Close()) }()
	for what, value := range o.marked {
		_, err := plant.Write(append(value, '\n'))
		party.Check(o.t, err)
		party.Until(o.t, what+" in the recording", func() string {
			for _, tape := range r.Tapes() {
				if bytes.Contains(tape, value) {
					return ""
				}
			}
			return "not there"
		})
	}
}

func TestAMarkIsFoundInAnyEncoding(t *testing.T) {
	value := []byte(random("secret-"))
	m := marked{}
	m.add("it", value)
	for at := range 7 {
		within := slices.Concat(bytes.Repeat([]byte("x"), at), value, bytes.Repeat([]byte("y"), 5))
		for name, data := range map[string]string{
			"as it is": string(within), "in hex": hex.EncodeToString(within), "in upper-case hex": fmt.Sprintf("%X", within),
			"in base64": base64.StdEncoding.EncodeToString(within), "in base64url": base64.URLEncoding.EncodeToString(within),
		} {
			if len(m.in([]byte(data))) == 0 {
				t.Errorf("%s, at %d: not found", name, at)
			}
		}
	}
	if found := m.in(bytes.Repeat(value[:len(value)/2], 5)); len(found) != 0 { // all but the end could be followed by it, by chance
		t.Errorf("found in what does not hold it: %v", found)
	}
}

func TestNobodyElseLearnsAnything(t *testing.T) {
	t.Parallel()
	t.Run("over TCP", func(t *testing.T) {
		t.Parallel()
		var l *party.Link
		o := observe(t, func(a, b *party.Org) {
			l = party.NewLink(t, a, b, true)
		})
		o.wire(l, l.ToNobody(t))
		o.disks()
	})
	t.Run("over QUIC", func(t *testing.T) {
		t.Parallel()
		var l *party.PacketLink
		o := observe(t, func(a, b *party.Org) {
			l = party.NewPacketLink(t, a, b)
		})
		plant, err := net.Dial("udp4", l.Fronts[0])
		party.Check(t, err)
		// What nobody answers any more is no handshake without a hello.
		unheard := bytes.Repeat([]byte{0xc0}, 1200)
		_, err = plant.Write(unheard)
		party.Check(t, err)
		party.Until(t, "a packet in the recording", func() string {
			if !slices.ContainsFunc(l.Tapes(), func(tape []byte) bool { return bytes.Equal(tape, unheard) }) {
				return "not there"
			}
			return ""
		})
		o.wire(l, plant)
		o.disks()
	})
}
