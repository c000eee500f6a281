package crypto_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"filippo.io/age"

	"dxd/crypto"
	"dxd/record"
)

// document gives n bytes that are the same in every run.
func document(n int64) []byte {
	b := make([]byte, n)
	if _, err := rand.NewChaCha8([32]byte{1}).Read(b); err != nil {
		panic(err) // it cannot fail
	}
	return b
}

// sealed seals a document in writes of an odd size.
func sealed(t testing.TB, plain []byte) (crypto.FileKey, []byte) {
	t.Helper()
	var body bytes.Buffer
	w, err := crypto.SealBody(&body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{bytes.NewReader(plain)}, make([]byte, 7777)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if nonce := w.Nonce(); !bytes.HasPrefix(body.Bytes(), nonce[:]) {
		t.Errorf("the body does not begin with the nonce %s", nonce)
	}
	return w.Key(), body.Bytes()
}

const chunk = 64 << 10

// lengths are those at which something changes.
var lengths = []int64{0, 1, 15, 16, 17, chunk - 1, chunk, chunk + 1, 2*chunk - 1, 2 * chunk, 2*chunk + 1, 5*chunk + 123}

func TestBodyOpensAgainAtEveryLength(t *testing.T) {
	for _, n := range lengths {
		plain := document(n)
		key, body := sealed(t, plain)
		if got := crypto.SealedLength(n); got != int64(len(body)) {
			t.Errorf("SealedLength(%d) = %d, the body has %d", n, got, len(body))
		}
		if got, err := crypto.PlainLength(int64(len(body))); err != nil || got != n {
			t.Errorf("PlainLength(%d) = %d, %v, not %d", len(body), got, err, n)
		}
		r, err := crypto.OpenBody(key, iotest.HalfReader(bytes.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("a body of %d bytes does not open: %v", n, err)
		}
		at, size, err := crypto.OpenBodyAt(key, bytes.NewReader(body), int64(len(body)))
		if err != nil || size != n {
			t.Fatalf("OpenBodyAt gives %d bytes, not %d: %v", size, n, err)
		}
		for _, off := range lengths {
			checkReadAt(t, at, plain, off)
		}
	}
}

// checkReadAt reads across a chunk's end from off.
func checkReadAt(t *testing.T, at io.ReaderAt, plain []byte, off int64) {
	t.Helper()
	if off > int64(len(plain)) {
		return
	}
	want := plain[off:min(off+chunk+1, int64(len(plain)))]
	got := make([]byte, chunk+1)
	n, err := at.ReadAt(got, off)
	if !bytes.Equal(got[:n], want) || n < len(got) && err != io.EOF || err != nil && err != io.EOF {
		t.Errorf("of %d bytes, %d were read at %d: %v", len(plain), n, off, err)
	}
}

func TestHeaderAndBodyAreAnAgeFile(t *testing.T) {
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	plain := document(3*chunk + 5)
	key, body := sealed(t, plain)
	header, err := crypto.SealHeader(key, identity.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	if len(header) > crypto.MaxHeader {
		t.Errorf("a header of %d bytes, %d are allowed", len(header), crypto.MaxHeader)
	}
	r, err := age.Decrypt(io.MultiReader(bytes.NewReader(header), bytes.NewReader(body)), identity)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("age reads something else: %v", err)
	}
}

func TestDamagedBodyIsRefused(t *testing.T) {
	plain := document(2*chunk + 100)
	key, body := sealed(t, plain)
	otherKey, otherBody := sealed(t, plain)
	const first, second = 16, 16 + chunk + 16 // where the chunks begin
	flip := func(at int) []byte {
		b := bytes.Clone(body)
		b[at] ^= 1
		return b
	}
	swapped := bytes.Clone(body)
	copy(swapped[first:], body[second:second+chunk+16])
	copy(swapped[second:], body[first:second])

	for name, c := range map[string]struct {
		key    crypto.FileKey
		body   []byte
		intact int // bytes that may come out
	}{
		"a bit of the nonce flipped":           {key, flip(0), 0},
		"a bit of the first chunk flipped":     {key, flip(first), 0},
		"a bit of the first tag flipped":       {key, flip(second - 1), 0},
		"a bit of the second chunk flipped":    {key, flip(second), chunk},
		"a bit of the last tag flipped":        {key, flip(len(body) - 1), 2 * chunk},
		"two chunks swapped":                   {key, swapped, 0},
		"cut inside the last chunk":            {key, body[:len(body)-1], 2 * chunk},
		"cut between two chunks":               {key, body[:second], chunk},
		"cut after the nonce":                  {key, body[:first], 0},
		"cut inside the nonce":                 {key, body[:first-1], 0},
		"empty":                                {key, nil, 0},
		"a byte too many":                      {key, append(bytes.Clone(body), 0), 2 * chunk},
		"another body behind it":               {key, append(bytes.Clone(body), otherBody...), 2 * chunk},
		"the key of another body":              {otherKey, body, 0},
		"the nonce of another body":            {key, append(bytes.Clone(otherBody[:16]), body[16:]...), 0},
		"a chunk of another body in its place": {key, append(bytes.Clone(body[:second]), otherBody[second:]...), chunk},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := crypto.OpenBody(c.key, bytes.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if record.KindOf(err) != record.Damaged {
				t.Errorf("the error is %v", err)
			}
			if len(got) > c.intact || !bytes.HasPrefix(plain, got) {
				t.Errorf("%d bytes came out, not at most %d", len(got), c.intact)
			}
			at, size, err := crypto.OpenBodyAt(c.key, bytes.NewReader(c.body), int64(len(c.body)))
			if err == nil {
				_, err = io.ReadAll(io.NewSectionReader(at, 0, size))
			}
			if kind := record.KindOf(err); kind != record.Damaged && kind != record.Invalid {
				t.Errorf("read at any place, the error is %v", err)
			}
		})
	}
}

func TestErrorOfTheReaderBelowIsReturnedAsItIs(t *testing.T) {
	key, body := sealed(t, document(chunk))
	broken := errors.New("the link is cut")
	for name, n := range map[string]int{"in the nonce": 5, "in a chunk": 500} {
		r, err := crypto.OpenBody(key, io.MultiReader(bytes.NewReader(body[:n]), iotest.ErrReader(broken)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); err != broken {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	if _, _, err := crypto.OpenBodyAt(key, brokenReaderAt{broken}, int64(len(body))); err != broken {
		t.Errorf("at any place: the error is %v", err)
	}
}

type brokenReaderAt struct{ err error }

func (b brokenReaderAt) ReadAt([]byte, int64) (int, error) { return 0, b.err }

func TestErrorOfTheWriterBelowIsReturned(t *testing.T) {
	broken := errors.New("the disk is full")
	if _, err := crypto.SealBody(brokenWriter{broken}); !errors.Is(err, broken) {
		t.Errorf("the error of the first write is %v", err)
	}
}

type brokenWriter struct{ err error }

func (b brokenWriter) Write([]byte) (int, error) { return 0, b.err }

func TestNothingIsReadBeforeTheFirstRead(t *testing.T) {
	key, _ := sealed(t, nil)
	if _, err := crypto.OpenBody(key, iotest.ErrReader(errors.New("read too early"))); err != nil {
		t.Error(err)
	}
}

func TestMemoryDoesNotGrowWithTheBody(t *testing.T) {
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	pr, pw := io.Pipe()
	w := make(chan *crypto.BodyWriter, 1)
	done := make(chan error, 1)
	go func() {
		b, err := crypto.SealBody(pw)
		w <- b
		for block := document(chunk); err == nil; {
			_, err = b.Write(block)
		}
		done <- err
	}()
	first := make([]byte, 16)
	if _, err := io.ReadFull(pr, first); err != nil {
		t.Fatal(err)
	}
	r, err := crypto.OpenBody((<-w).Key(), io.MultiReader(bytes.NewReader(first), pr))
	if err != nil {
		t.Fatal(err)
	}
	skip := func(n int64) {
		if _, err := io.CopyN(io.Discard, r, n); err != nil {
			t.Fatal(err)
		}
	}
	skip(1 << 20)
	before := heap()
	skip(64 << 20)
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("after 64 MiB the heap has grown by %d bytes", grown)
	}
	stop := errors.New("enough")
	pr.CloseWithError(stop)
	if err := <-done; !errors.Is(err, stop) {
		t.Errorf("the writer ends with %v", err)
	}
}

func TestNoBodyHasALengthBetweenThose(t *testing.T) {
	for _, n := range []int64{-1, 0, 15, 16, 31, 16 + chunk + 16 + 1, 16 + chunk + 16 + 16} {
		if plain, err := crypto.PlainLength(n); err == nil {
			t.Errorf("PlainLength(%d) = %d", n, plain)
		}
	}
}

func TestTwoBodiesShareNeitherKeyNorNonce(t *testing.T) {
	_, a := sealed(t, []byte("the same"))
	_, b := sealed(t, []byte("the same"))
	if bytes.Equal(a[:16], b[:16]) || bytes.Equal(a[16:], b[16:]) {
		t.Error("two bodies look alike")
	}
}

func TestOpeningsOpenOnlyUnderTheirOwnFileKey(t *testing.T) {
	key, _ := sealed(t, nil)
	other, _ := sealed(t, nil)
	box := crypto.SealOpenings(key, []byte("openings"))
	if got, err := crypto.OpenOpenings(key, box); err != nil || string(got) != "openings" {
		t.Errorf("openings do not open: %q, %v", got, err)
	}
	if _, err := crypto.OpenOpenings(other, box); record.KindOf(err) != record.Damaged {
		t.Errorf("under another key the error is %v", err)
	}
	for i := range box {
		bad := bytes.Clone(box)
		bad[i] ^= 1
		if _, err := crypto.OpenOpenings(key, bad); record.KindOf(err) != record.Damaged {
			t.Errorf("with byte %d changed the error is %v", i, err)
		}
		if _, err := crypto.OpenOpenings(key, box[:i]); record.KindOf(err) != record.Damaged {
			t.Errorf("cut to %d bytes the error is %v", i, err)
		}
	}
	if strings.Contains(string(box), "openings") {
		t.Error("openings are legible")
	}
}
