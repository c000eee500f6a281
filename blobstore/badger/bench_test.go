package badger

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dxd/blobstore"
)

// BenchmarkUpdate is what one commit point costs: a counter read and written,
// and a row of 300 bytes. Beside it stands the bare price of a sync.
func BenchmarkUpdate(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := open(b, b.TempDir(), Options{})
			defer closeStore(b, s)
			b.ResetTimer()
			runUpdates(b, s, callers)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
			b.ReportMetric(bareSyncs(b), "bare-syncs/s")
		})
	}
}

func runUpdates(b *testing.B, s *Store, callers int) {
	row := make([]byte, 300)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				err := s.Update(context.Background(), func(tx blobstore.Tx) error {
					if _, err := count(tx); err != nil {
						return err
					}
					return tx.Set(blobstore.Key(fmt.Sprintf("row/%016d", n)), row)
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// bareSyncs is how often a second the disk takes 4 KiB for good.
func bareSyncs(b *testing.B) float64 {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const n = 50
	block := make([]byte, 4096)
	start := time.Now()
	for range n {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return n / time.Since(start).Seconds()
}

// BenchmarkView is one value read.
func BenchmarkView(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	defer closeStore(b, s)
	setRows(b, s, 1000)
	for i := 0; b.Loop(); i++ {
		err := s.View(context.Background(), func(tx blobstore.ReadTx) error {
			_, err := tx.Get(blobstore.Key(fmt.Sprintf("row/%016d", i%1000)))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScan is a page of 100 values, from the beginning and from the end.
func BenchmarkScan(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	defer closeStore(b, s)
	setRows(b, s, 1000)
	for _, reverse := range []bool{false, true} {
		b.Run(fmt.Sprintf("reverse=%v", reverse), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				err := s.View(context.Background(), func(tx blobstore.ReadTx) error { return readPage(tx, reverse) })
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func readPage(tx blobstore.ReadTx, reverse bool) error {
	n := 0
	for _, err := range tx.Scan("row/", "", reverse) {
		if n++; err != nil || n == 100 {
			return err
		}
	}
	return fmt.Errorf("%d of 100", n)
}

// BenchmarkBundle is an update of 3,000 rows and 1 MiB, about what receiving a
// bundle of 1,000 messages writes.
func BenchmarkBundle(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	defer closeStore(b, s)
	row := make([]byte, 350)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		err := s.Update(context.Background(), func(tx blobstore.Tx) error {
			for i := range 3000 {
				if err := tx.Set(blobstore.Key(fmt.Sprintf("row/%d/%d", n, i)), row); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPayload writes 256 MiB and commits them, and then does the same with
// a bare file.
func BenchmarkPayload(b *testing.B) {
	const size = 256 << 20
	dir := b.TempDir()
	s := open(b, dir, Options{})
	defer closeStore(b, s)
	chunk := make([]byte, 64<<10)
	var bare time.Duration
	b.SetBytes(size)
	for b.Loop() {
		id := blobstore.NewFileID()
		p, err := s.Create(id)
		if err != nil {
			b.Fatal(err)
		}
		for range size / len(chunk) {
			if _, err := p.Write(chunk); err != nil {
				b.Fatal(err)
			}
		}
		if err := p.Commit(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Remove(id); err != nil {
			b.Fatal(err)
		}
		bare += writeBare(b, filepath.Join(dir, "bare"), chunk, size)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)*size/1e6/bare.Seconds(), "bare-MB/s")
	b.ReportMetric(bare.Seconds()/b.Elapsed().Seconds(), "of-bare")
}

func writeBare(b *testing.B, path string, chunk []byte, size int) time.Duration {
	b.Helper()
	start := time.Now()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for range size / len(chunk) {
		if _, err := f.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	if err := os.Remove(path); err != nil {
		b.Fatal(err)
	}
	return took
}
