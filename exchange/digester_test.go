package exchange

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"dxd/record"
)

// content is a document of n random bytes, sealed in memory.
func content(t *testing.T, n int) (*Content, []byte) {
	t.Helper()
	document := make([]byte, n)
	rand.Read(document)
	sealed, key, nonce, err := sealInMemory(document)
	if err != nil {
		t.Fatal(err)
	}
	view := View{Transfer: Transfer{Size: int64(n), Digest: sha256.Sum256(document), SealedLength: int64(len(sealed)), BodyNonce: nonce}}
	return &Content{View: view, file: memoryFile{bytes.NewReader(sealed)}, key: key}, document
}

func TestADocumentOfAnotherSizeIsSaidToBeLongerOrShorter(t *testing.T) {
	for _, test := range []struct {
		announced, n int64
		want         string
	}{
		{-1, 5, ""}, {5, 5, ""}, {5, 3, "announced with 5 bytes, and is shorter"}, {5, 6, "announced with 5 bytes, and is longer"},
	} {
		err := checkSize(test.announced, test.n)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%d bytes, announced with %d: %v, want %q", test.n, test.announced, err, test.want)
		}
	}
}

func TestADocumentIsReadAsItWasSigned(t *testing.T) {
	for _, n := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 5*chunkSize + 7} {
		c, document := content(t, n)
		r, err := c.Verified()
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(r, document); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// TestTheLastBytesOfAnotherDocumentAreHeldBack changes what was signed.
func TestTheLastBytesOfAnotherDocumentAreHeldBack(t *testing.T) {
	for _, n := range []int{0, 1, chunkSize, 3*chunkSize + 7} {
		c, document := content(t, n)
		c.Digest[0] ^= 1
		r, err := c.Verified()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if record.KindOf(err) != record.Damaged || n > 0 && len(got) == len(document) {
			t.Errorf("of %d bytes of another document came %d: %v", n, len(got), err)
		}
	}
}

// TestWhoeverStopsReadingLeavesNothingBehind has synctest look for goroutines.
func TestWhoeverStopsReadingLeavesNothingBehind(t *testing.T) {
	for name, read := range map[string]int64{"nothing": 0, "a little": 10, "some blocks": 3*chunkSize + 1, "all": 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := content(t, 10*chunkSize)
			r, err := c.Verified()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, r, read); err != nil && err != io.EOF {
				t.Errorf("%s: %v", name, err)
			}
			if err := c.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestACopyEndsWithItsReaderAndItsWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		if n, _, err := copyDigested(io.Discard, iotest.TimeoutReader(bytes.NewReader(make([]byte, 3*chunkSize)))); !errors.Is(err, iotest.ErrTimeout) || n != chunkSize {
			t.Errorf("%d bytes of a reader that breaks: %v", n, err)
		}
		r, w := io.Pipe()
		r.CloseWithError(broken)
		if n, _, err := copyDigested(w, bytes.NewReader(make([]byte, chunkSize))); err != broken || n != 0 {
			t.Errorf("%d bytes to a writer that breaks: %v", n, err)
		}
	})
}

func TestAFeedGivesWhatWasWrittenThenWhyItEnded(t *testing.T) {
	for _, why := range []error{nil, context.Canceled} {
		f := newFeed(4)
		sent := make([]byte, 3*chunkSize+5) // has room
		rand.Read(sent)
		if err := inBlocks(sent, f.give); err != nil {
			t.Fatal(err)
		}
		f.end(why)
		f.end(errors.New("too late"))
		got, err := io.ReadAll(iotest.OneByteReader(f))
		if !bytes.Equal(got, sent) || err != why {
			t.Errorf("%d bytes came of %d: %v", len(got), len(sent), err)
		}
	}
}

func TestAWriterIsToldThatNobodyReadsAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(4)
		go close(f.gone)
		if err := inBlocks(make([]byte, 5*chunkSize), f.give); err != errGone {
			t.Error(err)
		}
	})
}

func TestWhatIsWrittenBehindIsWrittenInOrder(t *testing.T) {
	var got bytes.Buffer
	b := newTrailing(&got)
	sent := make([]byte, 40*sealedChunk+5)
	rand.Read(sent)
	for part := range slices.Chunk(sent, 100_001) {
		if n, err := b.Write(part); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := b.close(); err != nil || !bytes.Equal(got.Bytes(), sent) {
		t.Errorf("%d bytes of %d are written: %v", got.Len(), len(sent), err)
	}
}

// TestAWriteBehindThatFailsIsTold ends with no goroutine left.
func TestAWriteBehindThatFailsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTrailing(&badFile{short: 2 * sealedChunk})
		var err error
		for err == nil {
			_, err = b.Write(make([]byte, sealedChunk))
		}
		if err := b.close(); err != errDisk {
			t.Error(err)
		}
	})
}
